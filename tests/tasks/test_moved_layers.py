"""A VM with snapshots goes to another host: each moment reads there as it read here, and from every fault it is on one host, whole.

[frozen at first] ← [frozen at second, with its memory]        the same of its volume, each value 10 more
                  ↖ [what the VM writes, since it went back to first]
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from portal.compute.models import VM, VMState
from portal.compute.moves import request_move
from portal.hosts.models import Host
from portal.operations.models import OperationState
from portal.snapshots.models import Snapshot
from portal.volumes.models import Pool, Volume
from tasks.hypervisor.disks import DiskProblem, backing_of, files_of
from tasks.hypervisor.driver import DomainState
from tasks.hypervisor.fake_storage import OWN
from tasks.pools import look_at_pools
from tasks.sagas import moved_layers, moved_volume_layers
from tasks.sagas.engine import run_operation
from tasks.sagas.table import SAGAS
from tests.tasks import test_migrate, test_snapshots
from tests.tasks.test_migrate import move
from tests.tasks.test_sagas import Killed, expire_lease, with_stage
from tests.tasks.test_snapshots import asked, both, put, read, taken, with_volume, write

pair = test_migrate.pair
HELD = {"first": [1, 0, 0, 0], "second": [1, 2, 0, 0], "": [1, 0, 0, 4]}


@pytest.fixture
def moving(pair, world):
    """hv1 with a VM of two lines that runs, hv2, and what test_snapshots' tools need of each."""
    fakes, vm, there = pair
    at = {}
    for host in Host.objects.all():
        folder = Path(f"{host.disks_dir}-pool")
        folder.mkdir()
        fakes[host.name].volume_folder = str(folder)
        fakes[host.name].pools_told = (replace(OWN[0], target=str(folder)),)
        told = {"folder": Path(host.disks_dir), "fake": fakes[host.name], "pool": folder}
        at[host.name] = SimpleNamespace(**{**vars(world), **told})
    here = at["hv1"]
    volume = with_volume(here, vm)
    look_at_pools(lambda host: fakes[host.name])
    Pool.objects.update(is_offered=True)
    write_both(here, vm, volume, 0, 1)
    first = taken(here, vm, "first")
    write_both(here, vm, volume, 1, 2)
    taken(here, vm, "second", memory=True)
    write_both(here, vm, volume, 2, 3)
    changed(fakes, asked(here, vm, "vm.snapshot_revert", first))
    write_both(here, vm, volume, 3, 4)
    return SimpleNamespace(fakes=fakes, vm=vm, there=there, at=at)


def write_both(at, vm, volume, block, value):
    write(at, vm, block, value)
    put(volume, block, value + 10)


def changed(fakes, operation):
    run_operation(operation.pk, SAGAS, lambda host: fakes[host.name])
    operation.refresh_from_db()
    assert operation.state == OperationState.DONE, operation.error


def shut_down(moving):
    moving.fakes["hv1"].destroy(moving.vm.domain)
    VM.objects.filter(pk=moving.vm.pk).update(state=VMState.STOPPED)


def assert_is_whole(moving, name, state=DomainState.RUNNING):
    """Every moment reads as it did, in files of that host alone."""
    fakes, vm = moving.fakes, moving.vm
    vm.refresh_from_db()
    other = {"hv1": "hv2", "hv2": "hv1"}[name]
    assert vm.host.name == name
    assert fakes[name].state(vm.domain) is state and fakes[other].state(vm.domain) is DomainState.ABSENT
    files = files_of(vm.host.disks_dir, vm.uuid, vm.disk_name)
    test_snapshots.assert_true(moving.at[name], vm)
    assert [*moving.at[other].folder.iterdir(), *moving.at[other].pool.iterdir()] == [], "nothing is left"
    held = {one.name: read(files.beside(one.disk_name)) for one in Snapshot.objects.all()}
    assert held | {"": read(files.disk)} == HELD
    volume = Volume.objects.select_related("pool__host").get()
    parts = {one.title: read(Path(volume.path).with_name(one.file_name)) for one in volume.moments.all()}
    ten_more = {moment: [value and value + 10 for value in values] for moment, values in HELD.items()}
    assert parts | {"": read(Path(volume.path))} == ten_more and volume.pool.host == vm.host
    for path in (*files.disk.parent.glob("*.qcow2"), *Path(volume.path).parent.iterdir()):
        assert backing_of(path) == "" or Path(backing_of(path)).parent == path.parent
    (memory,) = moved_layers.memories_of(vm, files)
    assert memory.read_text() == "memory"


@pytest.mark.parametrize("state", [DomainState.RUNNING, DomainState.STOPPED])
def test_each_moment_reads_there_as_it_did_here_and_can_be_gone_back_to_and_merged(moving, state):
    """Each stage of the move runs twice."""
    fakes, vm = moving.fakes, moving.vm
    if state is DomainState.STOPPED:
        shut_down(moving)
    twice = tuple(replace(s, do=lambda c, do=s.do: (do(c), do(c))[1]) for s in SAGAS["vm.migrate"])
    operation = move(fakes, request_move(vm, None, moving.there), {**SAGAS, "vm.migrate": twice})
    assert operation.state == OperationState.DONE, operation.error
    assert_is_whole(moving, "hv2", state)
    assert operation.stages.get(name="layers").detail.startswith("3 files, ")

    there, second = moving.at["hv2"], Snapshot.objects.get(name="second")
    changed(fakes, asked(there, vm, "vm.snapshot_revert", second))
    assert both(there, vm) == HELD["second"] and "restore_memory" in fakes["hv2"].calls
    Snapshot.objects.filter(name="first").update(state="deleting")
    changed(fakes, asked(there, vm, "vm.snapshot_delete", Snapshot.objects.get(name="first")))
    test_snapshots.assert_true(there, vm)
    write_both(there, vm, Volume.objects.get(), 3, 5)
    taken(there, vm, "third")
    assert both(there, vm) == [1, 2, 0, 5]


def test_what_a_guest_wrote_goes_along_though_it_shuts_down_after_its_empty_disks_were_made(moving):
    def change(do):
        def first_off(context):
            shut_down(moving)
            return do(context)

        return first_off

    operation = move(
        moving.fakes, request_move(moving.vm, None, moving.there), with_stage("vm.migrate", "move", change)
    )
    assert operation.state == OperationState.DONE, operation.error
    assert_is_whole(moving, "hv2", DomainState.STOPPED)


def cut(monkeypatch, nth, problem):
    """The nth file of all that are copied is not: first the VM's own, then its volume's."""
    done, times = moved_layers.copy_disk, iter(range(1, 100))

    def do(*args):
        if next(times) == nth:
            args[1].with_name(args[1].name + ".new").write_text("half of it")
            raise problem
        done(*args)

    for module in (moved_layers, moved_volume_layers):
        monkeypatch.setattr(module, "copy_disk", do)


@pytest.mark.parametrize(
    ("nth", "state"), [(2, DomainState.RUNNING), (4, DomainState.RUNNING), (4, DomainState.STOPPED)]
)
def test_a_host_that_is_full_at_a_second_layer_keeps_nothing(moving, monkeypatch, nth, state):
    """Of the VM's own disk, or of its volume."""
    if state is DomainState.STOPPED:
        shut_down(moving)
    cut(monkeypatch, nth, DiskProblem("qemu-img convert: No space left on device"))
    operation = move(moving.fakes, request_move(moving.vm, None, moving.there))
    assert operation.state == OperationState.FAILED and "No space left" in operation.error
    assert_is_whole(moving, "hv1", state)


@pytest.mark.parametrize("nth", [2, 4])
def test_a_worker_that_is_killed_between_two_files_is_followed_by_one_that_goes_on_there(moving, monkeypatch, nth):
    operation = request_move(moving.vm, None, moving.there)
    with monkeypatch.context() as patched:
        cut(patched, nth, Killed())
        with pytest.raises(Killed):
            move(moving.fakes, operation)
    (whole,) = (moving.at["hv2"].folder if nth == 2 else moving.at["hv2"].pool).glob("*.qcow2")
    copied_at = whole.stat().st_mtime_ns
    expire_lease(operation)

    seen = []
    remove = test_migrate.FakeHypervisor.undefine

    def look(domain):
        seen.append(whole.stat().st_mtime_ns)
        remove(moving.fakes["hv1"], domain)

    monkeypatch.setattr(moving.fakes["hv1"], "undefine", look)
    assert move(moving.fakes, operation).state == OperationState.DONE, operation.error
    assert_is_whole(moving, "hv2")
    assert seen and set(seen) == {copied_at}, "what was whole is not copied again"


def test_what_an_earlier_move_left_there_is_no_copy(moving):
    """The host was away when it was to be tidied: its files are of then."""
    for path in (*moving.at["hv1"].folder.iterdir(), *moving.at["hv1"].pool.iterdir()):
        old = (moving.at["hv2"].pool if path.parent == moving.at["hv1"].pool else moving.at["hv2"].folder) / path.name
        old.write_bytes(path.read_bytes())
        if path.suffix == ".qcow2":
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(old), "1G"], check=True)
            test_snapshots.write_into(old, 0, 9)
    operation = move(moving.fakes, request_move(moving.vm, None, moving.there))
    assert operation.state == OperationState.DONE, operation.error
    assert_is_whole(moving, "hv2")


def test_a_merge_that_stuck_half_way_moves_as_it_is_and_is_ended_there(moving):
    """What froze has changed by then: some of what lies on it is in it."""
    fakes, vm, here, there = moving.fakes, moving.vm, moving.at["hv1"], moving.at["hv2"]
    changed(fakes, asked(here, vm, "vm.snapshot_delete", Snapshot.objects.get(name="second")))
    Snapshot.objects.update(state="deleting")
    first, volume = Snapshot.objects.get(), Volume.objects.get()
    for path in (here.folder / first.disk_name, Path(volume.path).with_name(volume.moments.get().file_name)):
        test_snapshots.write_into(path, 3, 9)
    operation = move(fakes, request_move(vm, None, moving.there))
    assert operation.state == OperationState.DONE, operation.error
    assert both(there, vm) == HELD[""] and set(test_snapshots.assert_true(there, vm)) == {"first"}
    changed(fakes, asked(there, vm, "vm.snapshot_delete", Snapshot.objects.get()))
    assert both(there, vm) == HELD[""] and not test_snapshots.assert_true(there, vm)


def test_what_is_missing_is_named_before_anything_is_copied(moving, monkeypatch):
    vm, there = moving.vm, moving.at["hv2"].folder
    files = files_of(vm.host.disks_dir, vm.uuid, vm.disk_name)
    lacks_room_for_all(moving, monkeypatch)

    lost = files.beside(Snapshot.objects.get(name="second").disk_name)
    kept = lost.rename(lost.with_name("kept"))
    operation = move(moving.fakes, request_move(vm, None, moving.there))
    assert f"{lost} of its snapshots is not there: was it removed behind our back?" in operation.error
    kept.rename(lost)

    alias = there.with_name("alias")
    alias.symlink_to(files.disk.parent)
    Host.objects.filter(name="hv2").update(disks_dir=str(alias))
    operation = move(moving.fakes, request_move(vm, None, moving.there))
    assert "are one folder under two names" in operation.error
    Host.objects.filter(name="hv2").update(disks_dir=str(there))

    alias.unlink()
    alias.symlink_to(moving.at["hv1"].pool)
    Pool.objects.filter(host__name="hv2").update(target=str(alias))
    operation = move(moving.fakes, request_move(vm, None, moving.there))
    assert f"{alias} and {moving.at['hv1'].pool} are one folder under two names" in operation.error
    alias.unlink()
    operation = move(moving.fakes, request_move(vm, None, moving.there))
    assert f"the folder {alias} of a pool there is not there where the worker runs" in operation.error
    assert_is_whole(moving, "hv1")


def lacks_room_for_all(moving, monkeypatch):
    """A block for all layers and memories of disk and volume. A host's own pool is beside its disks: what is left is left but once."""
    here, there, mib = moving.at["hv1"], moving.at["hv2"], 2**20
    disk = moved_layers.bytes_of([*here.folder.glob("*.qcow2"), *here.folder.glob("*.mem")])
    needed = disk + moved_layers.bytes_of(here.pool.iterdir()) + 64 * mib
    assert disk + 64 * mib < needed - 4096, "for its disk alone there is room"
    real, room = os.statvfs, SimpleNamespace(f_bavail=needed // 4096 - 1, f_frsize=4096)
    monkeypatch.setattr("os.statvfs", lambda path: room if path in (there.folder, there.pool) else real(path))
    operation = move(moving.fakes, request_move(moving.vm, None, moving.there))
    monkeypatch.setattr("os.statvfs", real)
    words = f"hv2 has {(needed - 4096) // mib} MiB left for disks; {needed // mib} MiB are needed"
    assert operation.error == words and operation.state == OperationState.FAILED
