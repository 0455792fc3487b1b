"""The worker dies between what libvirt did to a running guest's layers and the row that says so; the guest writes on into the
file that it has now, and powers off by itself. Whoever comes next finds out from the definition, and loses nothing.

[image] ← [frozen at first] ← [frozen at second] ← [what the VM writes], and the same for its volume
"""

from __future__ import annotations

import pytest

from portal.operations.models import OperationState
from portal.snapshots.models import Snapshot
from portal.snapshots.requests import refusals_of
from portal.volumes.models import Volume
from tasks.hypervisor.disks import DiskProblem
from tasks.sagas import layers
from tasks.sagas.engine import StageError
from tests.tasks.test_sagas import Killed, die, fail_in, power_off, run, with_stage
from tests.tasks.test_snapshots import asked, assert_true, both, held, read, row, three_writes, write_into


def write_live(world, vm, block, value):
    """What the running guest writes into the files that it has open: to its volume 10 more."""
    volume = Volume.objects.get()
    for path, told in (
        (world.fake.written[vm.domain], value),
        (world.fake.others[vm.domain][volume.target], value + 10),
    ):
        write_into(path, block, told)


def cut(monkeypatch, world, vm, call, nth=1, write=(3, 4), runs=False):
    """The nth time that libvirt did `call`, the worker is gone; the guest writes on and, unless it `runs`, powers off by itself."""
    done = getattr(world.fake, call)
    times = iter(range(1, 100))

    def do(*args, **words):
        done(*args, **words)
        if next(times) == nth:
            write_live(world, vm, *write)
            if not runs:
                power_off(world, vm)
            raise Killed

    monkeypatch.setattr(world.fake, call, do)


@pytest.mark.parametrize("memory", [False, True])
def test_a_snapshot_that_libvirt_took_is_kept_with_what_the_guest_wrote_since(world, vm, monkeypatch, memory):
    three_writes(world, vm)
    third = row(vm, "third", memory)
    operation = asked(world, vm, "vm.snapshot", third)
    cut(monkeypatch, world, vm, "take_snapshot")
    die(world, operation)
    assert run(world, operation).state == OperationState.DONE, operation.error
    rows = assert_true(world, vm)
    assert both(world, vm) == [1, 2, 3, 4]
    assert read(world.folder / rows["third"].disk_name) == [1, 2, 3, 0] and rows["third"].has_memory is memory


@pytest.mark.parametrize("runs", [False, True])
def test_a_snapshot_that_libvirt_took_and_that_fails_afterwards_leaves_what_the_guest_wrote_since(
    world, vm, monkeypatch, runs
):
    three_writes(world, vm)
    operation = asked(world, vm, "vm.snapshot", row(vm, "third"))
    cut(monkeypatch, world, vm, "take_snapshot", runs=runs)
    die(world, operation)
    assert fail_in(world, operation, "freeze", "before").state == OperationState.FAILED
    rows = assert_true(world, vm)
    assert both(world, vm) == [1, 2, 3, 4] and set(rows) == {"first", "second"}
    assert rows["second"].is_current and rows["second"].volumes.get().is_current


def test_a_snapshot_with_memory_of_a_guest_that_was_off_before_it_froze_leaves_nothing(world, vm):
    three_writes(world, vm)
    operation = asked(world, vm, "vm.snapshot", row(vm, "third", memory=True))
    world.fake.destroy(vm.domain)
    assert run(world, operation).state == OperationState.FAILED
    assert "it has no memory to keep" in operation.error
    assert set(assert_true(world, vm)) == {"first", "second"} and both(world, vm) == [1, 2, 3, 0]


@pytest.mark.parametrize("nth", [1, 2])
def test_a_snapshot_being_given_up_whose_layer_libvirt_merged_is_not_merged_again(world, vm, monkeypatch, nth):
    """First the volume's merge is cut, then the own disk's; the layer that is left holds a block as it was before."""
    three_writes(world, vm)
    operation = asked(world, vm, "vm.snapshot", row(vm, "third"))

    def change(_do):
        def fail(_context):
            write_live(world, vm, 2, 8)
            raise StageError("the host's disk is full")

        return fail

    cut(monkeypatch, world, vm, "commit_layer", nth, write=(2, 9))
    die(world, operation, with_stage("vm.snapshot", "define", change))
    assert run(world, operation).state == OperationState.FAILED
    assert set(assert_true(world, vm)) == {"first", "second"}
    assert both(world, vm) == [1, 2, 9, 0]


@pytest.mark.parametrize("nth", [1, 2])
def test_a_merge_that_stuck_half_way_leaves_a_snapshot_that_can_only_be_deleted(world, vm, monkeypatch, nth):
    """First the volume's, then the own disk's: what froze has changed by then."""
    operation = deleting(world, vm, "second")
    power_off(world, vm)
    done, times = layers.commit_offline, iter(range(1, 3))

    def full(top, base):
        if next(times) == nth:
            write_into(base, 3, 9)
            raise DiskProblem("qemu-img commit: No space left on device")
        done(top, base)

    with monkeypatch.context() as patched:
        patched.setattr(layers, "commit_offline", full)
        assert run(world, operation).state == OperationState.FAILED
    second = Snapshot.objects.select_related("vm__host", "vm__team").get(name="second")
    refused = refusals_of(second)
    assert (refused["revert"], refused["delete"]) == ("its deletion has begun: it can only be deleted", "")
    assert run(world, asked(world, vm, "vm.snapshot_delete", second)).state == OperationState.DONE
    assert set(assert_true(world, vm)) == {"first"}


def deleting(world, vm, name):
    three_writes(world, vm)
    Snapshot.objects.filter(vm=vm, name=name).update(state="deleting")
    return asked(world, vm, "vm.snapshot_delete", vm.snapshots.get(name=name))


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("name", ["first", "second"])
def test_a_merge_that_libvirt_ended_is_not_made_again_from_the_layer_that_is_left(world, vm, monkeypatch, name, nth):
    """`second`'s is of what the guest writes, `first`'s of what froze; the volume's is cut, or the own disk's."""
    operation = deleting(world, vm, name)
    cut(monkeypatch, world, vm, "commit_layer", nth, write=(2, 9))
    die(world, operation)
    assert run(world, operation).state == OperationState.DONE, operation.error
    assert set(assert_true(world, vm)) == {"first", "second"} - {name}
    assert both(world, vm) == [1, 2, 9, 0]


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("name", ["first", "second"])
def test_a_merge_that_libvirt_ended_is_told_when_the_deletion_fails_afterwards(world, vm, monkeypatch, name, nth):
    operation = deleting(world, vm, name)
    cut(monkeypatch, world, vm, "commit_layer", nth, write=(2, 9))
    die(world, operation)
    stage = "volumes" if nth == 1 else "merge"
    assert fail_in(world, operation, stage, "before").state == OperationState.FAILED
    rows = assert_true(world, vm)
    assert both(world, vm) == [1, 2, 9, 0]
    assert (name in rows) is (nth == 1), "whose own disk is merged is gone"
    if name in rows:
        assert not rows[name].volumes.exists(), "whose volume is merged has it no more"
    for row_ in rows.values():
        for part in row_.volumes.select_related("volume"):
            assert held(part.volume)[:2] == [11, 12]
