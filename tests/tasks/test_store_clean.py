"""What no backup explains in a store goes when an operator ticked it, and nothing else: what is explained by then stays."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from portal.accounts.models import User
from portal.backups.models import Backup, BackupStore
from portal.backups.strays import clean_again, clean_store
from portal.compute.requests import VMProblem
from portal.operations.models import OperationState
from tasks.backups.directory import MARK
from tasks.backups.look import look_at
from tests.tasks import test_backups
from tests.tasks.test_backups import in_store, taken
from tests.tasks.test_sagas import die_after, run

store, vm = test_backups.store, test_backups.vm


def stray(store, vm_uuid=None, uuid=None):
    """A backup's folder that no row tells of."""
    folder = f"hopsight/{vm_uuid or uuid4()}/{uuid or uuid4()}"
    path = Path(store.folder) / folder
    path.mkdir(parents=True)
    (path / "disk.qcow2").write_bytes(b"x" * 1024**2)
    return folder


def seen(store):
    """The folders that the worker's look finds now."""
    BackupStore.objects.filter(pk=store.pk).update(listed_at=None)
    store.refresh_from_db()
    look_at(store)
    store.refresh_from_db()
    return [one["folder"] for one in store.strays]


def cleaning(store, *folders):
    return clean_store(store, User.objects.get(username="alice"), folders, store.name)


def test_those_that_were_ticked_go_and_backups_and_others_stay(world, vm, store):
    backup = taken(world, vm, store)
    gone, stays = stray(store), stray(store)
    beside = stray(store, vm_uuid=vm.uuid)
    assert sorted(seen(store)) == sorted((gone, stays, beside))
    operation = run(world, cleaning(store, gone, beside))
    assert operation.state == OperationState.DONE, operation.error
    assert operation.stages.get(name="remove").detail == "2 removed, 2 MiB freed"
    assert in_store(store) == sorted([f"{stays}/disk.qcow2", backup.disk_key, backup.manifest_key])
    store.refresh_from_db()
    assert [one["folder"] for one in store.strays] == [stays]


def test_one_that_a_backup_explains_by_then_stays_and_is_told(world, vm, store):
    uuid = uuid4()
    folder = stray(store, vm_uuid=vm.uuid, uuid=uuid)
    seen(store)
    operation = cleaning(store, folder)
    Backup.objects.create(
        uuid=uuid, team=vm.team, vm=vm, vm_uuid=vm.uuid, vm_name=vm.name, store=store, image=vm.image, flavor=vm.flavor,
        disk_gib=1, state="there",
    )  # fmt: skip
    assert run(world, operation).state == OperationState.DONE
    assert operation.stages.get(name="remove").detail.endswith("stays: a backup explains it now")
    assert in_store(store) == [f"{folder}/disk.qcow2"]


def test_a_look_removes_nothing(world, vm, store):
    folder = stray(store)
    assert seen(store) == seen(store) == [folder]
    assert in_store(store) == [f"{folder}/disk.qcow2"]


@pytest.mark.parametrize("name", ["look", "remove"])
def test_a_cleaning_whose_worker_is_killed_ends_by_itself(world, vm, store, name):
    folders = [stray(store), stray(store)]
    seen(store)
    operation = cleaning(store, *folders)
    die_after(world, operation, name)
    assert run(world, operation).state == OperationState.DONE, operation.error
    assert in_store(store) == [] and seen(store) == []


def test_a_store_that_is_away_loses_nothing_and_is_cleaned_when_it_is_asked_again(world, vm, store):
    folder = stray(store)
    seen(store)
    mark = Path(store.folder) / MARK
    mark.rename(mark.with_name("away"))
    operation = run(world, cleaning(store, folder))
    assert operation.state == OperationState.FAILED and "is it mounted?" in operation.error
    mark.with_name("away").rename(mark)
    assert in_store(store) == [f"{folder}/disk.qcow2"]
    assert run(world, clean_again(operation, User.objects.get(username="alice"))).state == OperationState.DONE
    assert in_store(store) == []
    with pytest.raises(VMProblem, match="tick what is to be removed"):
        clean_again(operation, User.objects.get(username="alice"))
