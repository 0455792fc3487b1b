"""Snapshots as sagas over real qcow2 files: from every stage the VM reads what it should, and no file is left over.

[image] ← [frozen at first] ← [frozen at second] ← [what the VM writes]
          [data at first]   ← [data at second]   ← [what it writes to the volume]
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from portal.compute.models import VMState
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from portal.snapshots.models import Snapshot, SnapshotVolume
from portal.snapshots.requests import refusals_of, written_of
from portal.volumes.models import Volume
from tasks.hypervisor.disks import backing_of, ensure_layer, files_of
from tasks.pools import look_at_pools
from tasks.reconcile.orphans import find_orphans
from tests.tasks import test_volumes
from tests.tasks.test_sagas import die_after, fail_in, power_off, run

KINDS = ("vm.snapshot", "vm.snapshot_revert", "vm.snapshot_delete")
STAGES_OF_ALL = [(kind, name) for kind in KINDS for name, _ in STAGES[kind]]
BLOCKS, BLOCK_BYTES = 4, 65536  # one for each thing that is written


def with_volume(world, vm, name="data", target="vdd"):
    """A volume of the VM's, in a pool of real files."""
    folder = world.folder.with_name(f"{world.folder.name}-pool")
    folder.mkdir(exist_ok=True)
    world.fake.volume_folder = str(folder)
    look_at_pools(lambda _host: world.fake)
    volume = Volume.objects.create(team=world.team, name=name, size_gib=1, vm=vm, target=target)
    operation = test_volumes.asked(world, "vm.volume_add", vm, volume)
    assert run(world, operation).state == OperationState.DONE, operation.error
    volume.refresh_from_db()
    return volume


def write_into(path, block, value):
    """One block of a file has that value."""
    command = f"write -P {value} {block * BLOCK_BYTES} {BLOCK_BYTES}"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, str(path)], capture_output=True, check=True)


def put(volume, block, value):
    """What the guest writes to a volume."""
    volume.refresh_from_db()
    write_into(volume.path, block, value)


def held(volume):
    volume.refresh_from_db()
    return read(Path(volume.path))


def disk_of(world, vm):
    vm.refresh_from_db()
    return files_of(str(world.folder), vm.uuid, vm.disk_name).disk


def write(world, vm, block, value):
    """What the guest writes into one block."""
    write_into(disk_of(world, vm), block, value)


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
    before["volumes"] = [written_of(one.volume) for one in snapshot.volumes.all()]
    told = {"snapshot": str(snapshot.uuid), "before": before, "runs": vm.state == VMState.RUNNING, **params}
    Operation.objects.filter(pk=operation.pk).update(params=told)
    operation.refresh_from_db()
    return operation


def row(vm, name, memory=False, volumes=None):
    """A snapshot as the request leaves it."""
    snapshot = Snapshot.objects.create(vm=vm, name=name, disk_gib=1, has_memory=memory)
    for one in vm.volumes.all() if volumes is None else volumes:
        SnapshotVolume.objects.create(snapshot=snapshot, volume=one, size_gib=one.size_gib)
    return snapshot


def taken(world, vm, name, memory=False, volumes=None):
    snapshot = row(vm, name, memory, volumes)
    assert run(world, asked(world, vm, "vm.snapshot", snapshot)).state == OperationState.DONE
    snapshot.refresh_from_db()
    return snapshot


def three_writes(world, vm):
    """1 was written before `first`, 2 before `second`, 3 after it; to its volume 10 more each."""
    volume = with_volume(world, vm)
    write(world, vm, 0, 1)
    put(volume, 0, 11)
    first = taken(world, vm, "first")
    write(world, vm, 1, 2)
    put(volume, 1, 12)
    second = taken(world, vm, "second", memory=True)
    write(world, vm, 2, 3)
    put(volume, 2, 13)
    return first, second


def both(world, vm):
    """What the VM reads of its disk; of its volume it reads the same, each 10 more."""
    of_disk, of_volume = read(disk_of(world, vm)), held(Volume.objects.get())
    assert of_volume == [value and value + 10 for value in of_disk]
    return of_disk


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
    for volume in Volume.objects.filter(vm=vm):
        assert_true_of_volume(world, vm, volume)
    return rows


def assert_true_of_volume(world, vm, volume):
    assert f'"{volume.path}"' in world.fake.definitions[vm.domain]
    if vm.domain in world.fake.running:
        assert world.fake.others[vm.domain][volume.target] == volume.path
    parts = list(volume.moments.all())
    there = {path.name for path in Path(world.fake.volume_folder).glob(f"hs-vol-{volume.uuid}*")}
    assert there == {Path(volume.path).name, *(one.file_name for one in parts)} and volume.file_name in there
    assert there == {name for _, name in world.fake.volumes if str(volume.uuid) in name}, "the pool knows them"
    assert sum(one.is_current for one in parts) == bool(parts)


def ready(world, vm, kind):
    """The operation, the rows being as the request leaves them; what the VM must read afterwards if it goes well."""
    first, _second = three_writes(world, vm)
    if kind == "vm.snapshot":
        third = row(vm, "third")
        return asked(world, vm, kind, third), [1, 2, 3, 0]
    if kind == "vm.snapshot_revert":
        return asked(world, vm, kind, first), [1, 0, 0, 0]
    Snapshot.objects.filter(pk=first.pk).update(state="deleting")
    return asked(world, vm, kind, first), [1, 2, 3, 0]


@pytest.mark.parametrize(
    ("kind", "name", "runs"),
    [
        *((kind, name, True) for kind, name in STAGES_OF_ALL),
        *((kind, name, False) for kind, name in STAGES_OF_ALL if name in ("freeze", "disk", "volumes", "merge")),
    ],
)
def test_a_change_whose_worker_is_killed_runs_that_stage_again_and_ends_as_asked(world, vm, kind, name, runs):
    three = ready(world, vm, kind) if runs else off(world, vm, kind)
    operation, expected = three
    die_after(world, operation, name)
    assert run(world, operation).state == OperationState.DONE, operation.error
    rows = assert_true(world, vm)
    assert both(world, vm) == expected
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
    power_off(world, vm)
    Operation.objects.filter(pk=operation.pk).update(params={**operation.params, "runs": False})
    return operation, expected


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("kind", "name"), STAGES_OF_ALL)
def test_a_change_that_fails_in_a_stage_loses_nothing_that_was_written(world, vm, kind, name, when):
    operation, _expected = ready(world, vm, kind)
    assert fail_in(world, operation, name, when).state == OperationState.FAILED
    rows = assert_true(world, vm)
    gone = (kind, name, when) == ("vm.snapshot_revert", "drop", "after")
    assert both(world, vm) == ([1, 0, 0, 0] if gone else [1, 2, 3, 0])
    assert {"second"} <= set(rows) and "third" not in rows
    assert read(world.folder / rows["second"].disk_name) == [1, 2, 0, 0], "what was frozen is as it was"
    part = rows["second"].volumes.get()
    assert read(Path(part.volume.path).with_name(part.file_name)) == [11, 12, 0, 0]


def test_a_snapshot_with_memory_goes_on_from_it_and_one_without_starts_anew(world, vm):
    first, second = three_writes(world, vm)
    assert run(world, asked(world, vm, "vm.snapshot_revert", second)).state == OperationState.DONE
    assert both(world, vm) == [1, 2, 0, 0] and "restore_memory" in world.fake.calls
    world.fake.calls.clear()
    assert run(world, asked(world, vm, "vm.snapshot_revert", first)).state == OperationState.DONE
    assert both(world, vm) == [1, 0, 0, 0] and "restore_memory" not in world.fake.calls
    assert_true(world, vm)


def test_a_branch_keeps_both_lines_until_one_of_them_is_deleted(world, vm):
    """first ← second, and first ← what the VM writes after it went back."""
    first, second = three_writes(world, vm)
    run(world, asked(world, vm, "vm.snapshot_revert", first))
    write(world, vm, 3, 4)
    operation = run(world, asked(world, vm, "vm.snapshot_delete", first))
    assert operation.state == OperationState.FAILED and "more than one layer of data lies on it" in operation.error
    assert run(world, asked(world, vm, "vm.snapshot_delete", second)).state == OperationState.DONE
    assert run(world, asked(world, vm, "vm.snapshot_delete", first)).state == OperationState.DONE
    assert assert_true(world, vm) == {} and read(disk_of(world, vm)) == [1, 0, 0, 4]
    vm.refresh_from_db()
    assert vm.disk_name == "", "it is as before its first snapshot"


def test_a_clone_has_what_all_layers_hold(world, vm):
    three_writes(world, vm)
    power_off(world, vm)
    clone = world.make_vm("web-2")
    operation = world.ask("vm.clone", clone)
    Operation.objects.filter(pk=operation.pk).update(params={"source": str(vm.uuid)})
    assert run(world, operation).state == OperationState.DONE, operation.error
    assert read(disk_of(world, clone)) == [1, 2, 3, 0]


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_deleted_vm_leaves_no_layer_and_its_volume_all_that_was_written(world, vm, is_killed):
    three_writes(world, vm)
    operation = world.ask("vm.delete", vm)
    if is_killed:
        die_after(world, operation, "volumes")
    assert run(world, operation).state == OperationState.DONE
    assert not list(world.folder.iterdir()) and not Snapshot.objects.exists()
    volume = Volume.objects.select_related("pool").get()
    assert (volume.vm, volume.layer, volume.file_name) == (None, "", volume.first_name)
    assert held(volume) == [11, 12, 13, 0] and backing_of(Path(volume.path)) == ""
    assert [path.name for path in Path(world.fake.volume_folder).iterdir()] == [volume.file_name]


def test_a_volume_that_is_left_out_or_attached_since_stays_as_it_is_when_its_vm_goes_back(world, vm):
    data, left = with_volume(world, vm), with_volume(world, vm, "left", "vde")
    put(data, 0, 11)
    put(left, 0, 21)
    first = taken(world, vm, "first", volumes=[data])
    since = with_volume(world, vm, "since", "vdf")
    for volume in (data, left, since):
        put(volume, 1, 2)
    assert run(world, asked(world, vm, "vm.snapshot_revert", first)).state == OperationState.DONE
    assert (held(data), held(left), held(since)) == ([11, 0, 0, 0], [21, 2, 0, 0], [0, 2, 0, 0])
    assert_true(world, vm)


def test_what_lies_on_a_volume_in_a_snapshot_is_not_what_lies_on_the_vms_own_disk(world, vm):
    """with ← [what the VM writes]; the volume: with ← without's child ← …: two lines lie on it, on the disk one."""
    volume = with_volume(world, vm)
    without = taken(world, vm, "without", volumes=[])
    put(volume, 0, 1)
    inside = taken(world, vm, "inside")
    run(world, asked(world, vm, "vm.snapshot_revert", without))
    put(volume, 1, 2)
    taken(world, vm, "beside")
    put(volume, 2, 3)
    assert run(world, asked(world, vm, "vm.snapshot_revert", inside)).state == OperationState.DONE
    assert held(volume) == [1, 0, 0, 0]
    operation = run(world, asked(world, vm, "vm.snapshot_delete", inside))
    assert operation.state == OperationState.FAILED and "more than one layer of data lies on it" in operation.error
    reason = refusals_of(Snapshot.objects.select_related("vm__host").get(pk=inside.pk))["delete"]
    assert "beside and what is written to volume data lie on it" in reason
    beside = vm.snapshots.get(name="beside")
    for one in (beside, inside, without):
        assert run(world, asked(world, vm, "vm.snapshot_delete", one)).state == OperationState.DONE
    assert assert_true(world, vm) == {} and held(volume) == [1, 0, 0, 0]
    volume.refresh_from_db()
    assert volume.layer == "", "its one file is its first"


def test_a_volume_whose_file_the_worker_does_not_see_is_named_and_nothing_is_begun(world, vm):
    volume = with_volume(world, vm)
    Volume.objects.update(path="/elsewhere/hs-vol.qcow2")
    snapshot = row(vm, "first")
    operation = run(world, asked(world, vm, "vm.snapshot", snapshot))
    assert operation.state == OperationState.FAILED and "is not there where the worker runs" in operation.error
    assert not Snapshot.objects.exists() and "take_snapshot" not in world.fake.calls
    Volume.objects.update(path=volume.path)
    assert_true(world, vm)


def test_a_layer_of_a_volume_that_no_row_names_is_an_orphan_and_one_that_is_in_use_is_none(world, vm):
    three_writes(world, vm)
    volume = Volume.objects.get()
    assert [one.name for one in find_orphans(world.host, world.fake) if one.kind == "volume"] == []
    stray = Path(volume.path).with_name(f"hs-vol-{volume.uuid}-{'0' * 12}.qcow2")
    ensure_layer(stray, Path(volume.path))
    world.fake.refresh_pool("hopsight")
    (found,) = [one for one in find_orphans(world.host, world.fake) if one.kind == "volume"]
    assert (
        found.name == f"hopsight/{stray.name}" and "of volume data of team Payments, which has it no more" in found.was
    )
    assert found.refusal == ""
