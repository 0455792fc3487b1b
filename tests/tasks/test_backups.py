"""Backups as sagas over real qcow2 files and a real folder: from every stage either a whole backup or nothing, and what is
restored reads as what was written.

[web-1's disk] --copy--> [hs-….backup] --bytes--> [store: full] ← [what was written since] … --> [web-2's disk]
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest
from django.utils import timezone

from portal.backups.models import Backup, BackupStore
from portal.backups.requests import those_on
from portal.compute.models import VM
from portal.hosts.models import Host
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from tasks.backups.directory import MARK
from tasks.collector import record_states
from tasks.hypervisor.disks import files_of
from tasks.hypervisor.driver import DomainState
from tasks.sagas.engine import StageError
from tests.tasks.test_sagas import die_after, fail_in, power_off, run, with_stage
from tests.tasks.test_snapshots import disk_of, read, write

BACKUP = [name for name, _ in STAGES["vm.backup"]]
RESTORE = [name for name, _ in STAGES["vm.restore"]]


@pytest.fixture
def store(tmp_path_factory, db):
    folder = tmp_path_factory.mktemp("store")
    return BackupStore.objects.create(name="shelf", folder=str(folder))


@pytest.fixture
def vm(world, store):
    vm = world.make_vm()
    assert run(world, world.ask("vm.create", vm)).state == OperationState.DONE
    vm.refresh_from_db()
    return vm


def asked(world, vm, store, full=False, full_every=0):
    """The row and the operation as the request writes them down."""
    made = Backup.objects.create(
        team=vm.team, vm=vm, vm_uuid=vm.uuid, vm_name=vm.name, store=store, image=vm.image, flavor=vm.flavor,
        disk_gib=vm.disk_gib,
    )  # fmt: skip
    operation = world.ask("vm.backup", vm)
    params = {"backup": str(made.uuid), "store": store.name, "full": full, "full_every": full_every}
    Operation.objects.filter(pk=operation.pk).update(params=params)
    operation.refresh_from_db()
    return made, operation


def taken(world, vm, store, **values):
    made, operation = asked(world, vm, store, **values)
    assert run(world, operation).state == OperationState.DONE, operation.error
    made.refresh_from_db()
    return made


def seen_just_now():
    """The host, as its collector keeps saying: on a busy machine a test takes longer than that is believed."""
    Host.objects.update(libvirt_seen_at=timezone.now())


def asked_back(world, backup, name="web-2"):
    seen_just_now()
    vm = world.make_vm(name)
    operation = world.ask("vm.restore", vm)
    Operation.objects.filter(pk=operation.pk).update(params={"backup": str(backup.uuid)})
    operation.refresh_from_db()
    return vm, operation


def restored(world, backup, name="web-2"):
    vm, operation = asked_back(world, backup, name)
    assert run(world, operation).state == OperationState.DONE, operation.error
    return vm


def deletion(world, vm, backup):
    operation = world.ask("backup.delete", vm)
    Operation.objects.filter(pk=operation.pk).update(params={"backup": str(backup.uuid)}, object_uuid=backup.uuid)
    Backup.objects.filter(pk__in=[one.pk for one in those_on(backup)]).update(state="deleting")
    operation.refresh_from_db()
    return operation


KINDS = ("vm.backup", "vm.restore", "backup.delete")


def ready(world, vm, kind, store=None):
    """The operation, the rows being as its request leaves them, with a store in a folder of its own or that one."""
    if store is None:
        folder = Path(tempfile.mkdtemp(prefix="hopsight-store-", dir=world.folder.parent))
        store = BackupStore.objects.create(name="shelf", folder=str(folder))
    if kind == "vm.backup":
        return asked(world, vm, store)[1]
    backup = taken(world, vm, store)
    return asked_back(world, backup)[1] if kind == "vm.restore" else deletion(world, vm, backup)


def in_store(store):
    """The files of ours that are in it."""
    folder = Path(store.folder)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != MARK)


def assert_whole(store):
    """Each backup that is offered has its files, none other is there, and no checkpoint is trusted but the last one's."""
    wanted = [key for one in Backup.objects.all() for key in (one.disk_key, one.manifest_key)]
    assert in_store(store) == sorted(wanted)
    assert {one.state for one in Backup.objects.all()} <= {"there"}
    for one in Backup.objects.all():
        assert os.stat(Path(store.folder) / one.disk_key).st_size == one.size_bytes
        assert one.parent is None or one.parent.state == "there"


def no_scratch(world):
    return not [path.name for path in world.folder.iterdir() if path.suffix not in (".qcow2", ".iso", ".log")]


def test_a_chain_is_one_full_and_what_was_written_since_and_each_of_it_is_restored(world, vm, store):
    write(world, vm, 0, 1)
    first = taken(world, vm, store)
    write(world, vm, 1, 2)
    second = taken(world, vm, store)
    write(world, vm, 0, 7)
    write(world, vm, 2, 3)
    third = taken(world, vm, store)
    assert [(one.kind, one.parent_id) for one in (first, second, third)] == [
        ("full", None), ("incremental", first.pk), ("incremental", second.pk)
    ]  # fmt: skip
    assert first.reason == "it is the first one" and third.reason == ""
    assert list(world.fake.checkpoints[vm.domain]) == [third.checkpoint], "one checkpoint is kept"
    assert_whole(store)
    assert no_scratch(world)
    for backup, expected in ((first, [1, 0, 0, 0]), (second, [1, 2, 0, 0]), (third, [7, 2, 3, 0])):
        copy = restored(world, backup, f"back-{backup.pk}")
        assert read(disk_of(world, copy)) == expected
        assert copy.domain in world.fake.running and no_scratch(world)


def test_what_lies_beside_the_disk_says_all_that_a_new_vm_needs(world, vm, store):
    VM.objects.update(user_data="#!/bin/sh\necho hello\n")
    first = taken(world, vm, store)
    second = taken(world, vm, store)
    told = json.loads((Path(store.folder) / second.manifest_key).read_text())
    assert (told["kind"], told["parent"], told["team"]) == ("incremental", str(first.uuid), "payments")
    assert told["vm"] | {"groups": []} == {
        "uuid": str(vm.uuid), "name": "web-1", "image": "tiny", "size": "small", "vcpus": 1, "ram_mib": 128, "disk_gib": 1,
        "public_key": vm.public_key, "user_data": "#!/bin/sh\necho hello\n", "cpu_model": "", "machine": "q35",
        "disk_bus": "virtio", "disk_cache": "writeback", "network": "net", "groups": [], "nic_model": "virtio",
    }  # fmt: skip
    (disk,) = told["disks"]
    assert (disk["sha256"], disk["size_bytes"]) == (second.sha256, second.size_bytes)


@pytest.mark.parametrize(("name", "runs"), [*((name, True) for name in BACKUP), ("copy", False)])
def test_a_backup_whose_worker_is_killed_runs_that_stage_again_and_ends_whole(world, vm, store, name, runs):
    write(world, vm, 0, 1)
    taken(world, vm, store)
    write(world, vm, 1, 2)
    if not runs:
        power_off(world, vm)
    made, operation = asked(world, vm, store)
    die_after(world, operation, name)
    assert run(world, operation).state == OperationState.DONE, operation.error
    made.refresh_from_db()
    assert made.kind == "incremental"
    assert vm.domain in world.fake.running or not runs
    assert_whole(store)
    assert no_scratch(world)
    assert read(disk_of(world, restored(world, made))) == [1, 2, 0, 0]


@pytest.mark.parametrize(("name", "when"), [*((name, "after") for name in BACKUP), ("choose", "before")])
def test_a_backup_that_fails_in_a_stage_leaves_nothing_and_the_next_one_is_whole(world, vm, store, name, when):
    write(world, vm, 0, 1)
    first = taken(world, vm, store)
    write(world, vm, 1, 2)
    _, operation = asked(world, vm, store)
    assert fail_in(world, operation, name, when).state == OperationState.FAILED
    assert list(Backup.objects.all()) == [first]
    assert_whole(store)
    assert no_scratch(world)
    write(world, vm, 2, 3)
    assert read(disk_of(world, restored(world, taken(world, vm, store)))) == [1, 2, 3, 0]


@pytest.mark.parametrize(("name", "when"), [*((name, "after") for name in RESTORE), ("fetch", "before")])
def test_a_restore_that_fails_in_a_stage_leaves_no_vm_and_all_backups(world, vm, store, name, when):
    taken(world, vm, store)
    write(world, vm, 1, 2)
    backup = taken(world, vm, store)
    before = {path.name for path in world.folder.iterdir()}
    _, operation = asked_back(world, backup)
    assert fail_in(world, operation, name, when).state == OperationState.FAILED
    assert VM.objects.get() == vm and {path.name for path in world.folder.iterdir()} == before
    assert_whole(store)


@pytest.mark.parametrize("name", ["fetch", "disk", "start"])
def test_a_restore_whose_worker_is_killed_ends_as_the_vm(world, vm, store, name):
    write(world, vm, 0, 1)
    taken(world, vm, store)
    write(world, vm, 1, 2)
    copy, operation = asked_back(world, taken(world, vm, store))
    die_after(world, operation, name)
    assert run(world, operation).state == OperationState.DONE, operation.error
    assert read(disk_of(world, copy)) == [1, 2, 0, 0] and no_scratch(world)


def test_a_vm_that_is_off_is_copied_as_small_and_is_off_afterwards(world, vm, store):
    write(world, vm, 0, 1)
    taken(world, vm, store)
    power_off(world, vm)
    second = taken(world, vm, store)
    assert (second.kind, second.has_checkpoint) == ("incremental", True)
    assert world.fake.state(vm.domain) is DomainState.STOPPED
    assert list(world.fake.checkpoints[vm.domain]) == [second.checkpoint], "its bitmap was removed with the disks open"
    world.fake.start(vm.domain)
    write(world, vm, 1, 2)
    third = taken(world, vm, store)
    assert third.kind == "incremental"
    assert read(disk_of(world, restored(world, third))) == [1, 2, 0, 0]


def test_a_host_that_cannot_open_the_disks_of_a_vm_that_is_off_copies_all_of_it_and_says_so(world, vm, store):
    write(world, vm, 0, 1)
    taken(world, vm, store)
    power_off(world, vm)
    world.fake.can_open = False
    second = taken(world, vm, store)
    assert (second.kind, second.has_checkpoint) == ("full", False) and "no memory is left" in second.reason
    world.fake.can_open = True
    third = taken(world, vm, store)
    assert third.kind == "full" and "notes nothing since" in third.reason
    assert read(disk_of(world, restored(world, second))) == [1, 0, 0, 0]


def test_a_vm_whose_disks_are_open_for_a_backup_is_not_shown_as_paused(world, vm, store):
    def look(do):
        def with_a_look(context):
            words = do(context)
            world.fake.open_disks(vm.domain)
            record_states(world.host, world.fake.states(), timezone.now())
            vm.refresh_from_db()
            seen.append(vm.state)
            return words

        return with_a_look

    seen: list[str] = []
    power_off(world, vm)
    _, operation = asked(world, vm, store)
    assert run(world, operation, with_stage("vm.backup", "copy", look)).state == OperationState.DONE, operation.error
    assert seen == ["stopped"]
    world.fake.start(vm.domain)
    world.fake.suspend(vm.domain)
    record_states(world.host, world.fake.states(), timezone.now())
    vm.refresh_from_db()
    assert vm.state == "paused", "one that somebody paused is"


def test_a_checkpoint_that_the_host_lost_begins_the_chain_anew_and_says_so(world, vm, store):
    write(world, vm, 0, 1)
    taken(world, vm, store)
    world.fake.checkpoints.clear()
    second = taken(world, vm, store)
    assert second.kind == "full" and "lost track" in second.reason
    assert read(disk_of(world, restored(world, second))) == [1, 0, 0, 0]


def test_a_copy_that_the_host_gives_up_says_why(world, vm, store):
    world.fake.copies_fail = "No space left on device"
    _, operation = asked(world, vm, store)
    assert run(world, operation).state == OperationState.FAILED
    assert operation.error == "hv1 could not copy the disk: No space left on device"
    assert not Backup.objects.exists() and no_scratch(world) and world.fake.checkpoints == {vm.domain: {}}


def test_a_store_that_is_not_mounted_is_not_filled_and_the_host_is_not_asked(world, vm, store):
    taken(world, vm, store)
    BackupStore.objects.update(is_marked=True)
    (Path(store.folder) / MARK).unlink()
    world.fake.calls.clear()
    _, operation = asked(world, vm, store)
    assert run(world, operation).state == OperationState.FAILED
    assert "is it mounted?" in operation.error and "begin_copy" not in world.fake.calls
    assert Backup.objects.count() == 1


def test_a_store_that_is_full_fails_the_backup_and_leaves_nothing_in_it(world, vm, store, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    _, operation = asked(world, vm, store)
    monkeypatch.setattr("tasks.backups.directory.os.fsync", full)
    Path(store.folder, MARK).write_text(str(store.uuid))
    assert run(world, operation).state == OperationState.FAILED
    assert operation.error == "store shelf: could not write to it: No space left on device"
    assert in_store(store) == [] and not Backup.objects.exists() and no_scratch(world)


def test_a_store_that_goes_away_in_the_middle_holds_up_no_vm_and_what_is_left_can_be_deleted(world, vm, store):
    def change(do):
        def fail(context):
            do(context)
            (Path(store.folder) / MARK).rename(Path(store.folder) / "away")
            BackupStore.objects.update(is_marked=True)
            raise StageError("the worker lost the store")

        return fail

    made, operation = asked(world, vm, store)
    assert run(world, operation, with_stage("vm.backup", "store", change)).state == OperationState.FAILED
    made.refresh_from_db()
    assert made.state == "damaged" and "its remains could not be removed" in made.problem
    (Path(store.folder) / "away").rename(Path(store.folder) / MARK)
    assert run(world, deletion(world, vm, made)).state == OperationState.DONE
    assert in_store(store) == [] and not Backup.objects.exists()


def test_a_backup_that_was_changed_in_the_store_is_not_restored_and_says_so(world, vm, store):
    first = taken(world, vm, store)
    second = taken(world, vm, store)
    with (Path(store.folder) / first.disk_key).open("r+b") as file:
        file.seek(first.size_bytes // 2)
        file.write(b"\xff" * 16)
    _, operation = asked_back(world, second)
    assert run(world, operation).state == OperationState.FAILED
    first.refresh_from_db()
    assert "is damaged" in operation.error and (first.state, VM.objects.count()) == ("damaged", 1)
    assert taken(world, vm, store).kind == "full", "nothing more is put on it"


def test_a_deletion_takes_what_lies_on_it_and_nothing_else(world, vm, store):
    first = taken(world, vm, store)
    second, third = taken(world, vm, store), taken(world, vm, store)
    assert run(world, deletion(world, vm, second)).state == OperationState.DONE
    assert list(Backup.objects.all()) == [first] and third.pk
    assert_whole(store)
    assert "was deleted" in taken(world, vm, store).reason


def test_a_deletion_whose_store_is_away_keeps_the_rows_to_be_deleted_again(world, vm, store):
    first = taken(world, vm, store)
    BackupStore.objects.update(is_marked=True)
    mark = Path(store.folder) / MARK
    mark.rename(mark.with_name("away"))
    assert run(world, deletion(world, vm, first)).state == OperationState.FAILED
    first.refresh_from_db()
    assert first.state == "damaged" and "is it mounted?" in first.problem
    mark.with_name("away").rename(mark)
    assert run(world, deletion(world, vm, first)).state == OperationState.DONE
    assert in_store(store) == []


def test_backups_outlive_their_vm(world, vm, store):
    write(world, vm, 0, 5)
    backup = taken(world, vm, store)
    assert run(world, world.ask("vm.delete", vm)).state == OperationState.DONE
    backup.refresh_from_db()
    assert backup.vm is None and not VM.objects.exists()
    copy = restored(world, backup, "back")
    assert read(files_of(str(world.folder), copy.uuid, "").disk) == [5, 0, 0, 0]
