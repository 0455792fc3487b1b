"""VMs that are made with volumes: from every stage there is the VM with all of them, or nothing but what was there before."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from portal.compute.models import VM, VMState
from portal.hosts.models import Host
from portal.operations.models import Operation, OperationState
from portal.volumes.models import Pool, Volume, VolumeState
from tasks.pools import look_at_pools
from tasks.sagas.engine import StageError
from tests.tasks import test_volumes
from tests.tasks.test_sagas import Killed, assert_nothing_left, die_after, expire_lease, fail_in, run, with_stage

GIB = 1024**3
MEETING = ("place", "disk", "define")  # the stages that meet volumes


def kept_free(world, vm):
    """A volume that is there, and free: what it has is the team's."""
    volume = Volume.objects.create(team=world.team, name="kept", size_gib=2)
    operation = test_volumes.asked(world, "volume.create", vm, volume)
    assert run(world, operation).state == OperationState.DONE
    volume.refresh_from_db()
    return volume


def asked(world, vm, kept=None, new=(("web-1-data", 3),)):
    """The operation of a creation with volumes, the rows being as the request leaves them."""
    rows = [
        Volume.objects.create(team=world.team, name=name, size_gib=gib, vm=vm, target=f"vd{'defg'[at]}")
        for at, (name, gib) in enumerate(new)
    ]
    if kept is not None:
        Volume.objects.filter(pk=kept.pk).update(vm=vm, target="vdh", state=VolumeState.ATTACHED)
    operation = world.ask("vm.create", vm)
    Operation.objects.filter(pk=operation.pk).update(params={"new_volumes": [str(row.uuid) for row in rows]})
    operation.refresh_from_db()
    return operation


@pytest.fixture
def creation(world):
    look_at_pools(lambda _host: world.fake)
    vm = world.make_vm()
    kept = kept_free(world, vm)
    return asked(world, vm, kept)


def assert_made(world):
    vm = VM.objects.get()
    assert vm.state == VMState.RUNNING
    rows = {row.name: row for row in Volume.objects.select_related("pool")}
    assert set(rows) == {"kept", "web-1-data"}
    assert {row.file_name for row in rows.values()} == {name for _, name in world.fake.volumes}
    assert world.fake.volumes["hopsight", rows["web-1-data"].file_name] == 3 * GIB
    for row in rows.values():
        assert (row.vm_id, row.state) == (vm.pk, VolumeState.ATTACHED) and row.path
        assert row.serial in world.fake.definitions[vm.domain], "the guest has it from its first boot on"


def assert_as_before(world):
    assert not VM.objects.exists() and not world.fake.definitions
    row = Volume.objects.select_related("pool").get()
    assert (row.name, row.vm_id, row.target, row.state) == ("kept", None, "", VolumeState.AVAILABLE)
    assert [name for _, name in world.fake.volumes] == [row.file_name]


def test_a_vm_has_its_new_and_its_old_volume_at_its_first_boot(world, creation):
    assert run(world, creation).state == OperationState.DONE, creation.error
    assert_made(world)
    assert "web-1-data, 3 GiB in hv1/hopsight" in creation.stages.get(name="disk").detail


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", [*MEETING, "wire"])
def test_a_create_that_fails_leaves_no_new_volume_and_the_old_one_free(world, creation, name, when):
    assert fail_in(world, creation, name, when).state == OperationState.FAILED
    assert_as_before(world)


@pytest.mark.parametrize("name", MEETING)
def test_a_create_whose_worker_is_killed_ends_with_both(world, creation, name):
    die_after(world, creation, name)
    assert run(world, creation).state == OperationState.DONE, creation.error
    assert_made(world)


@pytest.mark.parametrize("name", MEETING)
def test_each_stage_of_it_runs_twice_unharmed(world, creation, name):
    sagas = with_stage("vm.create", name, lambda do: lambda context: (do(context), do(context))[1])
    assert run(world, creation, sagas).state == OperationState.DONE, creation.error
    assert_made(world)


@pytest.mark.parametrize("name", MEETING)
def test_an_undo_that_is_killed_is_ended_by_the_next(world, creation, name):
    def killed(undo):
        def act(context):
            undo(context)
            raise Killed

        return act

    def fail(_context):
        raise StageError("no flows")

    sagas = with_stage("vm.create", "wire", lambda _do: fail)
    stages = tuple(replace(one, undo=killed(one.undo)) if one.name == name else one for one in sagas["vm.create"])
    with pytest.raises(Killed):
        run(world, creation, {**sagas, "vm.create": stages})
    expire_lease(creation)
    assert run(world, creation).state == OperationState.FAILED
    assert_as_before(world)


def test_what_an_earlier_worker_left_half_is_made_again(world, creation):
    new = Volume.objects.get(name="web-1-data")
    assert run(world, creation, with_stage("vm.create", "seed", lambda _do: _stopped)).state == OperationState.FAILED
    again = asked(world, world.make_vm("web-2"), new=(("web-2-data", 1),))
    fresh = Volume.objects.get(name="web-2-data")
    Volume.objects.filter(pk=fresh.pk).update(pool=Pool.objects.get())
    fresh.refresh_from_db()
    world.fake.volumes["hopsight", fresh.file_name] = 7
    assert run(world, again).state == OperationState.DONE
    assert world.fake.volumes["hopsight", fresh.file_name] == GIB and not Volume.objects.filter(pk=new.pk).exists()


def _stopped(_context):
    raise StageError("power cut")


# Where it lies.


def other_host(world, name="hv2", gib=100):
    host = Host.objects.get(pk=world.host.pk)
    host.pk, host.uuid, host.name, host.underlay_ip, host.ram_mib = (
        None,
        uuid4(),
        name,
        f"192.0.2.{name[2:]}2",
        64 * 1024,
    )
    host.save()
    Pool.objects.create(
        host=host, name="hopsight", kind="dir", is_active=True, is_offered=True, available_bytes=gib * GIB
    )
    return host


def test_a_vm_lies_where_its_old_volume_does_though_others_have_more_room(world, creation):
    other_host(world)
    assert run(world, creation).state == OperationState.DONE
    assert VM.objects.get().host == world.host
    told = {one["name"]: one["words"] for one in creation.params["placement"]["hosts"]}
    assert told["hv2"] == "is not hv1, where its volume kept lies"


def test_a_vm_lies_where_a_pool_has_room_for_its_new_volumes_together(world):
    look_at_pools(lambda _host: world.fake)
    Pool.objects.update(available_bytes=20 * GIB)
    other_host(world, gib=5)
    operation = asked(world, world.make_vm(), new=(("web-1-a", 4), ("web-1-b", 4)))
    assert run(world, operation).state == OperationState.DONE, operation.error
    assert VM.objects.get().host == world.host, "hv2 has more memory, and room for one of them only"
    assert {row.pool.host for row in Volume.objects.all()} == {world.host}


def test_what_was_promised_to_others_is_not_room(world):
    look_at_pools(lambda _host: world.fake)
    Pool.objects.update(available_bytes=10 * GIB)
    Volume.objects.create(team=world.team, name="coming", size_gib=8, pool=Pool.objects.get())
    operation = run(world, asked(world, world.make_vm()))
    assert operation.state == OperationState.FAILED
    assert "hv1 has 2.0 GiB left in a storage pool, 3 GiB are needed for its volume web-1-data" in operation.error
    Volume.objects.filter(name="coming").delete()
    assert_nothing_left(world)
    assert not Volume.objects.exists()


def test_without_a_pool_the_words_say_so(world):
    operation = run(world, asked(world, world.make_vm()))
    assert "hv1 has no storage pool for its volume web-1-data" in operation.error and not Volume.objects.exists()
