"""A VM's volumes go with it to another host: copied, or left where both hosts have them; from every fault they are on one host.

[data]--hv1/hopsight    [data]--hv2/hopsight       [data]--hv1/nfs = hv2/nfs
"""

from __future__ import annotations

import os
from dataclasses import replace
from uuid import uuid4

import pytest

from portal.compute.models import VM, VMState
from portal.compute.moves import request_move, targets_of
from portal.compute.requests import VMProblem
from portal.hosts.models import Host
from portal.operations.models import Operation, OperationState
from portal.topology.models import HostSeen
from portal.volumes.models import Pool, Volume, VolumeState
from portal.volumes.places import places_on
from tasks.hypervisor.disks import files_of
from tasks.hypervisor.domain_xml import format_domain
from tasks.hypervisor.driver import DomainState, HostUnreachable, PoolSeen
from tasks.hypervisor.fake import FakeHypervisor
from tasks.hypervisor.fake_storage import OWN
from tasks.pools import look_at_pools
from tasks.reconcile.orphans import find_orphans
from tasks.sagas import vm_create
from tasks.sagas.engine import StageError
from tasks.sagas.table import SAGAS
from tests.tasks import test_migrate
from tests.tasks.test_changes import has_mark
from tests.tasks.test_migrate import assert_is_on, disk_on, move
from tests.tasks.test_sagas import Killed, expire_lease, with_stage

GIB = 1024**3
NFS = PoolSeen("nfs", "netfs", "/mnt/nfs", 100 * GIB, 90 * GIB, True, source="netfs shelf /export")
FOLDER = PoolSeen("shelf", "dir", "/srv/shelf", 100 * GIB, 90 * GIB, True)
LVM = PoolSeen("fast", "logical", "vg0", 100 * GIB, 90 * GIB, True)
AT = ("disk", "volumes", "move", "tidy")  # every stage: test_faults.py
pair = test_migrate.pair


@pytest.fixture
def moving(pair):
    """hv1 with a VM that runs and has a volume in hv1/hopsight, and hv2 with a pool of its own."""
    fakes, vm, there = pair
    look(fakes)
    attach(fakes, vm)
    return fakes, vm, there


def look(fakes, *more):
    """Both hosts have their own pool and these, all of them offered."""
    for fake in fakes.values():
        fake.pools_told = (*OWN, *more)
    look_at_pools(lambda host: fakes[host.name])
    Pool.objects.update(is_offered=True)


def attach(fakes, vm, pool="hopsight", name="data", size_gib=2):
    """A volume of the VM on hv1 with a word on it, as if it had been there at the VM's start."""
    here, row = fakes["hv1"], Pool.objects.get(host__name="hv1", name=pool)
    target = f"vd{'defg'[vm.volumes.count()]}"
    volume = Volume(team=vm.team, name=name, size_gib=size_gib, vm=vm, target=target, pool=row, state="attached")
    volume.path = f"/{pool}/{volume.file_name}"
    volume.save()
    here.volumes[pool, volume.file_name], here.contents[pool, volume.file_name] = size_gib * GIB, "its word"
    spec = vm_create.domain_spec(vm, vm.host, files_of(vm.host.disks_dir, vm.uuid))
    here.definitions[vm.domain] = format_domain(spec)
    here.plugged[vm.domain] = {one.serial for one in vm.volumes.all()}
    return volume


def shut_down(fakes, vm):
    fakes["hv1"].destroy(vm.domain)
    VM.objects.filter(pk=vm.pk).update(state=VMState.STOPPED)


def one_storage(fakes):
    """What is in the pools of one host is in those of the other."""
    fakes["hv2"].volumes, fakes["hv2"].contents = fakes["hv1"].volumes, fakes["hv1"].contents


def assert_lies_on(fakes, name, pool="hopsight"):
    """Row, definition and bytes of the only volume are on that host, and the other one has nothing of it."""
    volume = Volume.objects.select_related("pool__host", "vm").get()
    assert (str(volume.pool), volume.path) == (f"{name}/{pool}", f"/{pool}/{volume.file_name}")
    assert volume.state == VolumeState.ATTACHED
    other = {"hv1": "hv2", "hv2": "hv1"}[name]
    assert fakes[name].contents.get((pool, volume.file_name)) == "its word"
    assert volume.path in fakes[name].definitions[volume.vm.domain]
    if fakes[name].volumes is not fakes[other].volumes:
        assert fakes[other].volumes == {}
    assert set(fakes[name].volumes) == {(pool, volume.file_name)}


@pytest.mark.parametrize("state", [DomainState.RUNNING, DomainState.STOPPED])
def test_a_volume_goes_along_with_what_is_on_it(moving, state):
    fakes, vm, there = moving
    if state is DomainState.STOPPED:
        shut_down(fakes, vm)
    operation = move(fakes, request_move(vm, None, there))
    assert operation.state == OperationState.DONE, operation.error
    assert_is_on(fakes, vm, "hv2", state)
    assert_lies_on(fakes, "hv2")
    stages = {stage.name: stage.detail for stage in operation.stages.all()}
    assert stages["volumes"] == "data in hopsight" and "volume data on hv1" in stages["tidy"]


def test_one_in_a_pool_of_the_same_place_on_the_network_stays_and_is_the_other_hosts(pair):
    fakes, vm, there = pair
    look(fakes, NFS)
    one_storage(fakes)
    attach(fakes, vm, "nfs")
    operation = move(fakes, request_move(vm, None, there))
    assert operation.state == OperationState.DONE, operation.error
    assert_lies_on(fakes, "hv2", "nfs")
    assert "make_volume" not in fakes["hv2"].calls and "remove_volume" not in fakes["hv1"].calls


def test_one_storage_that_no_row_tells_of_is_found_out_before_anything_is_removed(pair):
    fakes, vm, there = pair
    look(fakes, FOLDER)
    one_storage(fakes)
    attach(fakes, vm, "shelf")
    operation = move(fakes, request_move(vm, None, there))
    assert operation.state == OperationState.DONE, operation.error
    assert_lies_on(fakes, "hv2", "shelf")


def test_what_an_earlier_move_left_there_is_no_copy(moving):
    fakes, vm, there = moving
    place = ("hopsight", Volume.objects.get().file_name)
    fakes["hv2"].volumes[place], fakes["hv2"].contents[place] = 2 * GIB, "of last year"
    shut_down(fakes, vm)
    assert move(fakes, request_move(vm, None, there)).state == OperationState.DONE
    assert_lies_on(fakes, "hv2")


def test_a_pool_of_the_same_type_is_taken_before_a_larger_one(pair):
    fakes, vm, there = pair
    larger = replace(NFS, capacity_bytes=900 * GIB, available_bytes=900 * GIB)
    look(fakes, FOLDER, larger)
    fakes["hv2"].pools_told = (FOLDER, larger)
    Pool.objects.filter(host=there, name="hopsight").delete()
    attach(fakes, vm)
    operation = move(fakes, request_move(vm, None, there))
    assert operation.state == OperationState.DONE, operation.error
    assert str(Volume.objects.get().pool) == "hv2/shelf"


@pytest.mark.parametrize(("pools", "words"), [
    ({"is_offered": False}, "has no place on hv2: no storage pool is offered there"),
    ({"available_bytes": GIB}, "hv2/hopsight has 1.0 GiB left"),
    ({"is_active": False}, "hv2/hopsight is not active"),
    ({"kind": "logical"}, "hv2/hopsight is LVM, and takes no volume of folder as it is"),
    ({"available_bytes": 3 * GIB}, ""),
])  # fmt: skip
def test_what_is_missing_for_it_is_named_before_anything_is_done(moving, pools, words):
    _, vm, there = moving
    Pool.objects.filter(host=there).update(**pools)
    (found,) = targets_of(vm)
    if not words:
        assert not found.problems and "volume data is copied to hv2/hopsight" in found.volumes[0]
        return
    with pytest.raises(VMProblem) as problem:
        request_move(vm, None, there)
    assert words in str(problem.value.errors) and "its volume data of 2 GiB" in str(problem.value.errors)
    assert not Operation.objects.filter(kind="vm.migrate").exists()


def test_the_best_host_is_one_with_room_for_its_volumes(moving):
    fakes, vm, roomy = moving
    other = Host.objects.get(pk=roomy.pk)
    other.pk, other.uuid, other.name, other.disks_dir = None, uuid4(), "hv3", f"{roomy.disks_dir}-3"
    other.ram_mib, other.underlay_ip = roomy.ram_mib // 2, "192.0.2.13"
    other.save(force_insert=True)
    os.mkdir(other.disks_dir)
    HostSeen.objects.create(host=other, switch=test_migrate.SEEN)
    fakes["hv3"] = FakeHypervisor(on_start=fakes["hv2"].on_start)
    look(fakes)
    Pool.objects.filter(host=roomy).update(available_bytes=GIB)
    operation = move(fakes, request_move(vm, None))
    assert operation.state == OperationState.DONE, operation.error
    assert str(Volume.objects.get().pool) == "hv3/hopsight"
    seats = {one["name"]: one["words"] for one in operation.params["placement"]["hosts"]}
    assert "its volume data of 2 GiB has no place on hv2" in seats["hv2"]


def test_volumes_share_the_room_of_a_pool(moving):
    fakes, vm, there = moving
    attach(fakes, vm, name="more", size_gib=3)
    Pool.objects.filter(host=there).update(available_bytes=4 * GIB)
    (found,) = targets_of(vm)
    assert found.problems == ("its volume data of 2 GiB has no place on hv2: hv2/hopsight has 1.0 GiB left",)


def test_layers_are_not_copied_between_folders_that_the_worker_cannot_tell_apart(moving):
    _, vm, there = moving
    volume = Volume.objects.get()
    Volume.objects.update(layer=volume.layer_of(vm.uuid), path=f"/hopsight/{volume.layer_of(vm.uuid)}")
    with pytest.raises(VMProblem, match="web-1") as problem:
        request_move(vm, None, there)
    assert "hv2/hopsight is in folder /disks/volumes as here, and the worker" in str(problem.value.errors)


@pytest.mark.parametrize(("target", "stays"), [("/mnt/nfs", True), ("/srv/nfs", False)])
def test_layers_stay_where_both_hosts_have_them_under_the_same_path(pair, target, stays):
    """A layer names what it lies on by its path."""
    fakes, vm, there = pair
    look(fakes, NFS)
    volume = attach(fakes, vm, "nfs")
    Volume.objects.update(layer=volume.layer_of(vm.uuid), path=f"/nfs/{volume.layer_of(vm.uuid)}")
    Pool.objects.filter(host=there, name="nfs").update(target=target)
    ((place,), missing) = places_on(vm, there)
    assert (place.is_shared, place.pool.name) == (stays, "nfs" if stays else "hopsight") and missing == []
    Pool.objects.filter(host=there, name="hopsight").update(is_offered=False)
    places, missing = places_on(vm, there)
    assert len(places) == stays and (stays or "has it in folder /srv/nfs, here it is in /mnt/nfs" in missing[0])


@pytest.mark.parametrize("state", [DomainState.RUNNING, DomainState.STOPPED])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", AT)
def test_a_move_that_fails_in_a_stage_leaves_the_volume_on_one_host(moving, name, when, state):
    fakes, vm, there = moving
    if state is DomainState.STOPPED:
        shut_down(fakes, vm)

    def change(do):
        def fail(context):
            if when == "after":
                do(context)
            raise StageError("the wire broke")

        return fail

    operation = move(fakes, request_move(vm, None, there), with_stage("vm.migrate", name, change))
    assert operation.state == OperationState.FAILED
    vm.refresh_from_db()
    assert_is_on(fakes, vm, vm.host.name, state)
    assert_lies_on(fakes, vm.host.name)


@pytest.mark.parametrize("state", [DomainState.RUNNING, DomainState.STOPPED])
@pytest.mark.parametrize("name", AT)
def test_a_move_whose_worker_is_killed_is_taken_up_and_the_volume_is_there(moving, name, state):
    fakes, vm, there = moving
    if state is DomainState.STOPPED:
        shut_down(fakes, vm)

    def change(do):
        def kill(context):
            do(context)
            raise Killed

        return kill

    operation = request_move(vm, None, there)
    with pytest.raises(Killed):
        move(fakes, operation, with_stage("vm.migrate", name, change))
    expire_lease(operation)
    assert move(fakes, operation).state == OperationState.DONE, operation.error
    assert_is_on(fakes, vm, "hv2", state)
    assert_lies_on(fakes, "hv2")


def test_a_worker_that_is_killed_between_two_calls_leaves_no_half(moving):
    """Each call of the stage that makes the volume there is the last one of a worker, once."""
    fakes, vm, there = moving
    shut_down(fakes, vm)
    operation = request_move(vm, None, there)
    for call in ("remove_volume", "volume_bytes", "make_volume", "copy_volume"):
        host = "hv1" if call in ("copy_volume", "volume_bytes") else "hv2"

        def cut(name, fake=fakes[host], call=call):
            FakeHypervisor.enter(fake, name)
            if name == call:
                del fake.enter
                raise Killed

        fakes[host].enter = cut
        with pytest.raises(Killed):
            move(fakes, operation)
        expire_lease(operation)
    assert move(fakes, operation).state == OperationState.DONE, operation.error
    assert_lies_on(fakes, "hv2")


def test_each_stage_runs_twice_unharmed(moving):
    fakes, vm, there = moving
    twice = tuple(replace(s, do=lambda c, do=s.do: (do(c), do(c))[1]) for s in SAGAS["vm.migrate"])
    operation = move(fakes, request_move(vm, None, there), {**SAGAS, "vm.migrate": twice})
    assert operation.state == OperationState.DONE, operation.error
    assert_lies_on(fakes, "hv2")


def test_what_a_guest_wrote_goes_along_though_it_shuts_down_after_its_empty_disks_were_made(moving):
    fakes, vm, there = moving
    test_migrate.mark(disk_on(vm, "hv1"), "its last word")

    def change(do):
        def first_off(context):
            fakes["hv1"].destroy(vm.domain)
            return do(context)

        return first_off

    operation = move(fakes, request_move(vm, None, there), with_stage("vm.migrate", "move", change))
    assert operation.state == OperationState.DONE, operation.error
    assert_lies_on(fakes, "hv2")
    assert has_mark(disk_on(vm, "hv2"), "its last word")


def test_a_second_copy_begins_on_an_empty_volume(moving):
    """QEMU copies nothing where the guest has nothing (any more): what a first copy brought there must not come back."""
    fakes, vm, there = moving
    operation = request_move(vm, None, there)
    place = ("hopsight", Volume.objects.get().file_name)
    seen = []

    def change(do):
        def kill(context):
            begin = fakes["hv1"].begin_move

            def half(asked, to):
                seen.append(to.contents.get(place))
                if len(seen) == 1:
                    to.contents[place] = "half of it"
                    raise Killed
                return begin(asked, to)

            fakes["hv1"].begin_move = half
            return do(context)

        return kill

    with pytest.raises(Killed):
        move(fakes, operation, with_stage("vm.migrate", "move", change))
    expire_lease(operation)
    assert move(fakes, operation).state == OperationState.DONE, operation.error
    assert seen == [None, None]
    assert_lies_on(fakes, "hv2")


def test_what_a_host_that_died_kept_of_a_volume_that_left_it_is_told_as_an_orphan(moving, settings):
    settings.ORPHAN_GRACE_S = 0
    fakes, vm, there = moving

    def change(do):
        def dead(context):
            fakes["hv1"].is_down = True
            raise HostUnreachable("hv1 does not answer")

        return dead

    operation = move(fakes, request_move(vm, None, there), with_stage("vm.migrate", "tidy", change))
    assert operation.state == OperationState.FAILED
    fakes["hv1"].is_down = False
    here = Host.objects.get(name="hv1")
    HostSeen.objects.all().delete()  # of the switches
    (left,) = [one for one in find_orphans(here, fakes["hv1"]) if one.kind == "volume"]
    assert left.was == "volume data of team Payments, which is in hv2/hopsight now" and left.refusal == ""
    assert [one for one in find_orphans(there, fakes["hv2"]) if one.kind == "volume"] == []


def test_what_may_be_the_volume_itself_is_not_offered_to_be_removed(pair):
    fakes, vm, there = pair
    look(fakes, FOLDER)
    volume = attach(fakes, vm, "shelf")
    fakes["hv2"].volumes["shelf", volume.file_name] = 2 * GIB
    HostSeen.objects.all().delete()  # of the switches
    (told,) = [one for one in find_orphans(there, fakes["hv2"]) if one.kind == "volume"]
    assert "this is the volume itself" in told.refusal
