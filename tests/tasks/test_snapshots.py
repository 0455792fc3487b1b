"""Snapshots as sagas over real qcow2 files: from every stage the VM reads what it should, and no file is left over.

[image] ← [frozen at first] ← [frozen at second] ← [what the VM writes]
"""

from __future__ import annotations

import subprocess

import pytest

from portal.compute.models import VM, VMState
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from portal.snapshots.models import Snapshot
from tasks.hypervisor.disks import files_of
from tasks.sagas.engine import StageError
from tests.tasks.test_sagas import Killed, expire_lease, run, with_stage

KINDS = ("vm.snapshot", "vm.snapshot_revert", "vm.snapshot_delete")
STAGES_OF_ALL = [(kind, name) for kind in KINDS for name, _ in STAGES[kind]]
BLOCKS, BLOCK_BYTES = 4, 65536  # one for each thing that is written


@pytest.fixture
def vm(world):
    vm = world.make_vm()
    assert run(world, world.ask("vm.create", vm)).state == OperationState.DONE
    vm.refresh_from_db()
    return vm


def disk_of(world, vm):
    vm.refresh_from_db()
    return files_of(str(world.folder), vm.uuid, vm.disk_name).disk


def write(world, vm, block, value):
    """What the guest writes into one block."""
    command = f"write -P {value} {block * BLOCK_BYTES} {BLOCK_BYTES}"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, str(disk_of(world, vm))], capture_output=True, check=True)


def read(path):
    """The value of each block of the file and what it lies on."""
    raw = path.parent / "read.raw"
    of = [f"if={path}", f"of={raw}", f"bs={BLOCK_BYTES}", f"count={BLOCKS}"]
    subprocess.run(["qemu-img", "dd", "-f", "qcow2", "-O", "raw", *of], capture_output=True, check=True)
    content = raw.read_bytes()
    raw.unlink()
    blocks = [set(content[n * BLOCK_BYTES : (n + 1) * BLOCK_BYTES]) for n in range(BLOCKS)]
    return [values.pop() if len(values) == 1 else None for values in blocks]


def asked(world, vm, kind, snapshot, **params):
    """The operation as the request writes it down."""
    operation = world.ask(kind, vm)
    current = vm.snapshots.filter(is_current=True).first()
    vm.refresh_from_db()
    before = {"disk_name": vm.disk_name, "current": str(current.uuid) if current else ""}
    told = {"snapshot": str(snapshot.uuid), "before": before, "runs": vm.state == VMState.RUNNING, **params}
    Operation.objects.filter(pk=operation.pk).update(params=told)
    operation.refresh_from_db()
    return operation


def taken(world, vm, name, memory=False):
    snapshot = Snapshot.objects.create(vm=vm, name=name, disk_gib=1, has_memory=memory)
    assert run(world, asked(world, vm, "vm.snapshot", snapshot)).state == OperationState.DONE
    snapshot.refresh_from_db()
    return snapshot


def three_writes(world, vm):
    """1 was written before `first`, 2 before `second`, 3 after it."""
    write(world, vm, 0, 1)
    first = taken(world, vm, "first")
    write(world, vm, 1, 2)
    second = taken(world, vm, "second", memory=True)
    write(world, vm, 2, 3)
    return first, second


def assert_true(world, vm):
    """Rows, definition, what runs and the files are of one mind."""
    vm.refresh_from_db()
    rows = {row.name: row for row in vm.snapshots.all()}
    disk = disk_of(world, vm)
    assert str(disk) in world.fake.definitions[vm.domain]
    if vm.domain in world.fake.running:
        assert world.fake.written[vm.domain] == str(disk)
    wanted = {disk.name, *(row.disk_name for row in rows.values())}
    wanted |= {row.memory_name for row in rows.values() if row.has_memory}
    there = {path.name for path in world.folder.iterdir() if path.suffix in (".qcow2", ".mem")}
    assert there == wanted
    assert sum(row.is_current for row in rows.values()) <= 1
    return rows


def ready(world, vm, kind):
    """The operation, the rows being as the request leaves them; what the VM must read afterwards if it goes well."""
    first, _second = three_writes(world, vm)
    if kind == "vm.snapshot":
        third = Snapshot.objects.create(vm=vm, name="third", disk_gib=1)
        return asked(world, vm, kind, third), [1, 2, 3, 0]
    if kind == "vm.snapshot_revert":
        return asked(world, vm, kind, first), [1, 0, 0, 0]
    Snapshot.objects.filter(pk=first.pk).update(state="deleting")
    return asked(world, vm, kind, first), [1, 2, 3, 0]


@pytest.mark.parametrize(
    ("kind", "name", "runs"),
    [
        *((kind, name, True) for kind, name in STAGES_OF_ALL),
        *((kind, name, False) for kind, name in STAGES_OF_ALL if name in ("freeze", "disk", "merge")),
    ],
)
def test_a_change_whose_worker_is_killed_runs_that_stage_again_and_ends_as_asked(world, vm, kind, name, runs):
    def change(do):
        def kill(context):
            do(context)
            raise Killed

        return kill

    three = ready(world, vm, kind) if runs else off(world, vm, kind)
    operation, expected = three
    with pytest.raises(Killed):
        run(world, operation, with_stage(kind, name, change))
    expire_lease(operation)
    assert run(world, operation).state == OperationState.DONE, operation.error
    rows = assert_true(world, vm)
    assert read(disk_of(world, vm)) == expected
    assert (
        set(rows)
        == {
            "vm.snapshot": {"first", "second", "third"},
            "vm.snapshot_revert": {"first", "second"},
            "vm.snapshot_delete": {"second"},
        }[kind]
    )
    assert (vm.domain in world.fake.running) is runs


def off(world, vm, kind):
    """As `ready`, of a VM that was shut down meanwhile."""
    operation, expected = ready(world, vm, kind)
    world.fake.destroy(vm.domain)
    VM.objects.update(state=VMState.STOPPED)
    Operation.objects.filter(pk=operation.pk).update(params={**operation.params, "runs": False})
    return operation, expected


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("kind", "name"), STAGES_OF_ALL)
def test_a_change_that_fails_in_a_stage_loses_nothing_that_was_written(world, vm, kind, name, when):
    def change(do):
        def fail(context):
            if when == "after":
                do(context)
            raise StageError("the disk is full")

        return fail

    operation, _expected = ready(world, vm, kind)
    assert run(world, operation, with_stage(kind, name, change)).state == OperationState.FAILED
    rows = assert_true(world, vm)
    gone = (kind, name, when) == ("vm.snapshot_revert", "drop", "after")
    assert read(disk_of(world, vm)) == ([1, 0, 0, 0] if gone else [1, 2, 3, 0])
    assert {"second"} <= set(rows) and "third" not in rows
    assert read(world.folder / rows["second"].disk_name) == [1, 2, 0, 0], "what was frozen is as it was"


def test_a_snapshot_with_memory_goes_on_from_it_and_one_without_starts_anew(world, vm):
    first, second = three_writes(world, vm)
    assert run(world, asked(world, vm, "vm.snapshot_revert", second)).state == OperationState.DONE
    assert read(disk_of(world, vm)) == [1, 2, 0, 0] and "restore_memory" in world.fake.calls
    world.fake.calls.clear()
    assert run(world, asked(world, vm, "vm.snapshot_revert", first)).state == OperationState.DONE
    assert read(disk_of(world, vm)) == [1, 0, 0, 0] and "restore_memory" not in world.fake.calls
    assert_true(world, vm)


def test_a_branch_keeps_both_lines_until_one_of_them_is_deleted(world, vm):
    """first ← second, and first ← what the VM writes after it went back."""
    first, second = three_writes(world, vm)
    run(world, asked(world, vm, "vm.snapshot_revert", first))
    write(world, vm, 3, 4)
    operation = run(world, asked(world, vm, "vm.snapshot_delete", first))
    assert operation.state == OperationState.FAILED and "more than one layer lies on it" in operation.error
    assert run(world, asked(world, vm, "vm.snapshot_delete", second)).state == OperationState.DONE
    assert run(world, asked(world, vm, "vm.snapshot_delete", first)).state == OperationState.DONE
    assert assert_true(world, vm) == {} and read(disk_of(world, vm)) == [1, 0, 0, 4]


def test_a_clone_has_what_all_layers_hold(world, vm):
    three_writes(world, vm)
    world.fake.destroy(vm.domain)
    VM.objects.update(state=VMState.STOPPED)
    clone = world.make_vm("web-2")
    operation = world.ask("vm.clone", clone)
    Operation.objects.filter(pk=operation.pk).update(params={"source": str(vm.uuid)})
    assert run(world, operation).state == OperationState.DONE, operation.error
    assert read(disk_of(world, clone)) == [1, 2, 3, 0]


def test_a_deleted_vm_leaves_no_layer(world, vm):
    three_writes(world, vm)
    assert run(world, world.ask("vm.delete", vm)).state == OperationState.DONE
    assert not list(world.folder.iterdir()) and not Snapshot.objects.exists()
