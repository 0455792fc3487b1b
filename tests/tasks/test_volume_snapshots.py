"""A volume's own snapshots as sagas over real qcow2 files: while its VM runs, is off, or has it no more.

[frozen at monday] ← [frozen at tuesday] ← [what is written to the volume], beside the VM's own disk, which is not touched
"""

from __future__ import annotations

from pathlib import Path

import pytest

from portal.accounts.models import User
from portal.compute.models import VM, VMState
from portal.compute.requests import VMProblem
from portal.operations.models import OperationState
from portal.snapshots.models import Snapshot, SnapshotVolume
from portal.snapshots.of_volumes import (
    clone_snapshot,
    delete_volume_snapshot,
    refusals_of_moment,
    revert_volume,
    take_volume_snapshot,
)
from portal.snapshots.requests import delete_snapshot, revert_to
from portal.volumes.models import Volume, VolumeState
from portal.volumes.requests import delete_volume, detach_volume
from portal.volumes.rules import refusals_of
from tasks.hypervisor.disks import DiskProblem, backing_of, disk_size_gib
from tasks.reconcile.orphans import find_orphans
from tasks.sagas import layers
from tests.tasks.test_sagas import Killed, die, die_after, fail_in, power_off, run
from tests.tasks.test_snapshots import (
    assert_true_of_volume,
    disk_of,
    held,
    put,
    read,
    taken,
    with_volume,
    write_into,
)

KINDS = ("volume.snapshot", "volume.snapshot_revert", "volume.snapshot_delete")
PLACES = dict.fromkeys(KINDS, ("running", "off", "detached")) | {"volume.snapshot_revert": ("off", "detached")}
FIRST = {"volume.snapshot": "freeze", "volume.snapshot_revert": "disk", "volume.snapshot_delete": "merge"}
AFTER = {
    "volume.snapshot": ([1, 2, 3, 0], {"monday", "tuesday", "third"}),
    "volume.snapshot_revert": ([1, 0, 0, 0], {"monday", "tuesday"}),
    "volume.snapshot_delete": ([1, 2, 3, 0], {"tuesday"}),
}


def alice():
    return User.objects.get(username="alice")


def done(world, operation):
    assert run(world, operation).state == OperationState.DONE, operation.error
    return operation


def moment(volume, name):
    return SnapshotVolume.objects.select_related("volume__team", "volume__vm").get(volume=volume, name=name)


def three_writes(world, vm, place="running"):
    """1 was written before `monday`, 2 before `tuesday`, 3 after it; then the VM is shut down, or the volume detached."""
    volume = with_volume(world, vm)
    for block, name in enumerate(("monday", "tuesday")):
        put(volume, block, block + 1)
        done(world, take_volume_snapshot(volume, alice(), name))
    put(volume, 2, 3)
    if place == "off":
        power_off(world, vm)
    if place == "detached":
        done(world, detach_volume(volume, alice()))
    return volume


def begin(volume, kind, name="monday"):
    if kind == "volume.snapshot":
        return take_volume_snapshot(volume, alice(), "third")
    asked = {"volume.snapshot_revert": revert_volume, "volume.snapshot_delete": delete_volume_snapshot}[kind]
    return asked(moment(volume, name), alice())


def ready(world, vm, kind):
    """The operation, for the table of faults."""
    return begin(three_writes(world, vm, PLACES[kind][0]), kind)


def assert_true(world, volume):
    """Rows, definition, what runs, the pool and the files are of one mind; its own snapshots by name."""
    volume = Volume.objects.select_related("pool", "vm").get(pk=volume.pk)
    parts = {one.title: one for one in volume.moments.select_related("parent", "snapshot")}
    if volume.vm is not None:
        assert_true_of_volume(world, volume.vm, volume)
    there = {path.name for path in Path(volume.path).parent.glob(f"hs-vol-{volume.uuid}*")}
    assert there == {volume.file_name, *(one.file_name for one in parts.values())}
    current = next((one for one in parts.values() if one.is_current), None)
    for name, below in ((volume.file_name, current), *((one.file_name, one.parent) for one in parts.values())):
        file = Path(volume.path).with_name(name)
        assert backing_of(file) == (str(file.with_name(below.file_name)) if below else "")
    return parts


@pytest.mark.parametrize(("kind", "place"), [(kind, place) for kind in KINDS for place in PLACES[kind]])
def test_a_change_that_fails_loses_nothing_and_one_whose_worker_is_killed_ends_as_asked(world, vm, kind, place):
    volume = three_writes(world, vm, place)
    own_disk = disk_of(world, vm)

    name = "monday"
    assert fail_in(world, begin(volume, kind), FIRST[kind]).state == OperationState.FAILED
    parts = assert_true(world, volume)
    assert held(volume) == [1, 2, 3, 0]
    assert read(Path(volume.path).with_name(parts["tuesday"].file_name)) == [1, 2, 0, 0]
    if kind == "volume.snapshot_delete":
        assert set(parts) == {"tuesday"}, "what is merged cannot be taken apart"
        name = "tuesday"
    else:
        assert set(parts) == {"monday", "tuesday"}
    operation = begin(volume, kind, name)
    die_after(world, operation, FIRST[kind])
    done(world, operation)
    content, names = AFTER[kind]
    assert (held(volume), set(assert_true(world, volume))) == (content, names - {name} if "delete" in kind else names)
    assert disk_of(world, vm) == own_disk, "the VM's own disk is not in it"


@pytest.mark.parametrize("kind", ["volume.snapshot", "volume.snapshot_delete"])
def test_what_libvirt_did_for_a_worker_that_died_is_not_done_again_from_what_is_left(world, vm, monkeypatch, kind):
    """The guest writes on, and powers off by itself before the next worker comes."""
    volume = three_writes(world, vm)
    operation = begin(volume, kind, "tuesday")
    call = "take_snapshot" if kind == "volume.snapshot" else "commit_layer"
    do = getattr(world.fake, call)

    def cut(*args, **words):
        do(*args, **words)
        path = world.fake.others[vm.domain][volume.target]
        write_into(path, 2, 9)
        power_off(world, vm)
        raise Killed

    monkeypatch.setattr(world.fake, call, cut)
    die(world, operation)
    done(world, operation)
    assert_true(world, volume)
    assert held(volume) == [1, 2, 9, 0]


def test_a_merge_that_stuck_half_way_leaves_a_snapshot_that_can_only_be_deleted(world, vm, monkeypatch):
    """What froze has changed by then: nobody is given it as if it were as it was."""
    volume = three_writes(world, vm, "detached")

    def full(top, base):
        write_into(base, 1, 2)
        raise DiskProblem("qemu-img commit: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(layers, "commit_offline", full)
        assert run(world, begin(volume, "volume.snapshot_delete")).state == OperationState.FAILED
    row = moment(volume, "monday")
    refused = refusals_of_moment(row)
    assert row.state == Snapshot.State.DELETING and refused["delete"] == ""
    assert refused["revert"] == refused["clone"] == "its deletion has begun: it can only be deleted"
    assert held(volume) == [1, 2, 3, 0]
    done(world, delete_volume_snapshot(row, alice()))
    assert set(assert_true(world, volume)) == {"tuesday"} and held(volume) == [1, 2, 3, 0]


def test_snapshots_go_with_the_volume_to_another_vm_and_keep_it_from_being_deleted(world, vm):
    volume = three_writes(world, vm, "detached")
    volume.refresh_from_db()
    assert refusals_of(volume)["delete"] == "it has snapshots: delete monday, tuesday first"
    with pytest.raises(VMProblem):
        delete_volume(volume, alice())
    clone, operation = clone_snapshot(moment(volume, "monday"), alice(), "data-then")
    done(world, operation)
    clone.refresh_from_db()
    assert world.fake.copies[clone.file_name] == moment(volume, "monday").file_name
    assert (clone.state, clone.vm, clone.layer) == (VolumeState.AVAILABLE, None, "")
    for name in ("tuesday", "monday"):
        done(world, delete_volume_snapshot(moment(volume, name), alice()))
    volume.refresh_from_db()
    assert (held(volume), volume.layer) == ([1, 2, 3, 0], "") and refusals_of(volume)["delete"] == ""
    assert [one for one in find_orphans(world.host, world.fake) if one.kind == "volume"] == []


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_deleted_vm_takes_its_own_snapshots_along_and_leaves_those_of_its_volume(world, vm, is_killed):
    """monday ← of-vm ← tuesday ← [written], and of-vm ← [written before it went back]: two lines lie on one of the VM's."""
    volume = with_volume(world, vm)
    put(volume, 0, 1)
    first = taken(world, vm, "first")
    put(volume, 1, 2)
    done(world, take_volume_snapshot(volume, alice(), "monday"))
    put(volume, 2, 3)
    of_vm = taken(world, vm, "of-vm")
    done(world, take_volume_snapshot(volume, alice(), "tuesday"))
    put(volume, 3, 4)
    done(world, revert_to(of_vm, alice()))
    put(volume, 3, 5)
    done(world, take_volume_snapshot(volume, alice(), "branch"))
    put(volume, 0, 6)
    operation = world.ask("vm.delete", vm)
    if is_killed:
        die_after(world, operation, "volumes")
    done(world, operation)
    assert not Snapshot.objects.filter(pk=first.pk).exists()
    parts = assert_true(world, volume)
    assert {one.title for one in parts.values() if one.snapshot_id is None} == set(parts)
    read_of = {name: read(Path(volume.path).with_name(one.file_name)) for name, one in parts.items()}
    assert read_of == {
        "monday": [1, 2, 0, 0],
        "of-vm": [1, 2, 3, 0],
        "tuesday": [1, 2, 3, 0],
        "branch": [1, 2, 3, 5],
    }
    volume.refresh_from_db()
    assert held(volume) == [6, 2, 3, 5] and volume.vm is None and volume.layer


def test_a_snapshot_of_the_vm_that_lies_between_two_of_its_volumes_is_merged_alone(world, vm):
    volume = with_volume(world, vm)
    put(volume, 0, 1)
    done(world, take_volume_snapshot(volume, alice(), "monday"))
    put(volume, 1, 2)
    between = taken(world, vm, "between")
    put(volume, 2, 3)
    done(world, take_volume_snapshot(volume, alice(), "tuesday"))
    put(volume, 3, 4)
    reason = refusals_of(Volume.objects.get())["detach"]
    assert reason.startswith("it is in snapshots of web-1") and "delete between first" in reason
    done(world, delete_snapshot(between, alice()))
    assert set(assert_true(world, volume)) == {"monday", "tuesday"} and held(volume) == [1, 2, 3, 4]
    assert refusals_of(Volume.objects.get())["detach"] == ""


def test_a_revert_is_refused_before_the_click_while_a_guest_may_write_and_in_the_stage_if_it_was_started_since(
    world, vm
):
    volume = three_writes(world, vm)
    words = "web-1 may write to it: shut web-1 down, or detach it first"
    assert refusals_of_moment(moment(volume, "monday"))["revert"] == words
    VM.objects.update(state=VMState.STOPPED)
    operation = run(world, begin(volume, "volume.snapshot_revert"))
    assert operation.state == OperationState.FAILED
    assert operation.error == "web-1 was started meanwhile and may write to data: shut it down"
    VM.objects.update(state=VMState.RUNNING)
    assert set(assert_true(world, volume)) == {"monday", "tuesday"} and held(volume) == [1, 2, 3, 0]


def test_a_revert_keeps_the_size_that_the_volume_grew_to(world, vm):
    volume = three_writes(world, vm, "detached")
    Volume.objects.update(size_gib=2)
    done(world, revert_volume(moment(volume, "monday"), alice()))
    assert held(volume) == [1, 0, 0, 0]
    volume.refresh_from_db()
    assert disk_size_gib(Path(volume.path)) == 2 and moment(volume, "monday").size_gib == 1
