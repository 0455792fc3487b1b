"""Volumes in backups, with real files: what each held when its VM's disk was copied is read by a restored VM's new volumes.

[web-1: disk, data] --one moment--> [store: full] ← [what was written since to each] … --> [web-2: disk, web-2-data]
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from portal.accounts.models import Membership, User
from portal.backups.models import Backup
from portal.backups.requests import take_backup
from portal.backups.restored_volumes import name_for
from portal.backups.restores import RestoreSpec, restore_backup
from portal.compute.models import VM, VMState
from portal.compute.requests import VMProblem
from portal.operations.models import OperationState
from portal.volumes.luns import free_luns
from portal.volumes.models import Pool, Volume, VolumeState
from tasks.hypervisor.fake_storage import OWN
from tasks.pools import look_at_pools
from tests.tasks import test_backups, test_luns, test_volumes
from tests.tasks.test_backups import in_store, no_scratch, seen_just_now
from tests.tasks.test_sagas import die_after, fail_in, power_off, run
from tests.tasks.test_snapshots import disk_of, read, write, write_into

store = test_backups.store


@pytest.fixture
def vm(world, store, tmp_path_factory):
    world.fake.volume_folder = str(tmp_path_factory.mktemp("pool"))
    look_at_pools(lambda _host: world.fake)
    world.team.max_volumes, world.team.max_volume_gib = 6, 20
    world.team.save()
    vm = world.make_vm()
    assert run(world, world.ask("vm.create", vm)).state == OperationState.DONE
    VM.objects.update(state=VMState.RUNNING)
    vm.refresh_from_db()
    return vm


def attached(world, vm, name="data", target="vdd"):
    """A volume that the VM has; the fake's definition knows it too."""
    volume = Volume.objects.create(
        team=world.team, name=name, size_gib=1, vm=vm, target=target, state=VolumeState.CREATING
    )
    operation = test_volumes.asked(world, "vm.volume_add", vm, volume)
    assert run(world, operation).state == OperationState.DONE, operation.error
    volume.refresh_from_db()
    return volume


def put(volume, block, value):
    """What the guest writes to a volume."""
    write_into(volume.path, block, value)


def held(volume):
    volume.refresh_from_db()
    return read(Path(volume.path))


def backed_up(world, vm, **values):
    alice = User.objects.get(username="alice")
    operation = take_backup(vm, alice, **values)
    assert run(world, operation).state == OperationState.DONE, operation.error
    return Backup.objects.latest("id")


def asked_back(backup, name="web-2", **values):
    seen_just_now()
    return restore_backup(backup, User.objects.get(username="alice"), RestoreSpec(name, **values))


def restored(world, backup, name="web-2", **values):
    made = asked_back(backup, name, **values)
    operation = run(world, made.operation)
    assert operation.state == OperationState.DONE, operation.error
    made.vm.refresh_from_db()
    return made.vm


def kinds(backup):
    return [backup.kind, *(one.kind for one in backup.volumes.all())]


def test_each_volume_is_taken_with_the_disk_and_made_anew_for_the_restored_vm(world, vm, store):
    data = attached(world, vm)
    write(world, vm, 0, 1)
    put(data, 0, 11)
    first = backed_up(world, vm)
    put(data, 1, 12)
    second = backed_up(world, vm)
    put(data, 2, 13)
    assert kinds(first) == ["full", "full"] and kinds(second) == ["incremental", "incremental"]
    for backup, expected in ((first, [11, 0, 0, 0]), (second, [11, 12, 0, 0])):
        copy = restored(world, backup, f"web-{backup.pk + 5}")
        (made,) = copy.volumes.all()
        assert (made.name, made.state, made.target) == (f"{copy.name}-data", "attached", "vdd")
        assert held(made) == expected and read(disk_of(world, copy)) == [1, 0, 0, 0]
        assert made.path in world.fake.definitions[copy.domain]
    assert held(data) == [11, 12, 13, 0], "the one that it was taken of is as it was"
    assert no_scratch(world)
    told = json.loads((Path(store.folder) / second.manifest_key).read_text())
    (row,) = second.volumes.all()
    assert [(one["name"], one["kind"], one["sha256"]) for one in told["volumes"]] == [
        ("data", "incremental", row.sha256)
    ]
    assert (Path(store.folder) / row.disk_key).stat().st_size == row.size_bytes == told["volumes"][0]["size_bytes"]


def test_one_that_came_later_or_changed_its_place_is_whole_in_an_incremental_one(world, vm, store):
    backed_up(world, vm)
    data = attached(world, vm)
    put(data, 0, 3)
    assert kinds(backed_up(world, vm)) == ["incremental", "full"]
    put(data, 1, 4)
    third = backed_up(world, vm)
    assert kinds(third) == ["incremental", "incremental"]
    (made,) = restored(world, third).volumes.all()
    assert held(made) == [3, 4, 0, 0]
    Volume.objects.filter(pk=data.pk).update(target="vde")
    assert run(world, world.ask("vm.start", vm)).state == OperationState.DONE
    assert kinds(backed_up(world, vm)) == ["incremental", "full"]


def test_those_that_were_left_out_are_not_taken_and_an_unknown_one_is_refused_in_words(world, vm, store):
    attached(world, vm)
    logs = attached(world, vm, "logs", "vde")
    put(logs, 0, 5)
    backup = backed_up(world, vm, volumes=["logs"])
    assert [one.name for one in backup.volumes.all()] == ["logs"]
    assert kinds(backed_up(world, vm, volumes=[])) == ["incremental"]
    with pytest.raises(VMProblem) as refused:
        take_backup(vm, None, volumes=["logs", "gone"])
    assert refused.value.errors == {"volumes": ["“gone” was given; web-1 has data, logs"]}
    with pytest.raises(VMProblem) as refused:
        asked_back(backup, volumes=("data",))
    assert refused.value.errors == {"volumes": ["“data” was given; volumes of this backup: logs"]}
    assert not restored(world, backup, volumes=()).volumes.exists()


def test_a_restore_over_the_quota_of_volumes_is_refused_and_stores_nothing(world, vm, store):
    attached(world, vm)
    backup = backed_up(world, vm)
    world.team.max_volumes = 1
    world.team.save()
    with pytest.raises(VMProblem) as refused:
        asked_back(backup)
    assert refused.value.errors == {"volumes": ["over quota: 1 volumes asked, 0 of 1 left"]}
    assert (VM.objects.count(), Volume.objects.count()) == (1, 1)
    assert restored(world, backup, volumes=()).name == "web-2"


def test_a_vm_that_is_off_is_copied_with_its_volumes_or_refused_in_words(world, vm, store):
    data = attached(world, vm)
    put(data, 0, 6)
    backed_up(world, vm)
    power_off(world, vm)
    put(data, 1, 7)
    second = backed_up(world, vm)
    assert kinds(second) == ["incremental", "incremental"]
    (made,) = restored(world, second).volumes.all()
    assert held(made) == [6, 7, 0, 0]
    world.fake.can_open = False
    operation = run(world, take_backup(vm, None))
    assert operation.state == OperationState.FAILED and "leave its volumes out" in operation.error
    assert Backup.objects.count() == 2 and no_scratch(world)


@pytest.mark.parametrize("name", ["copy", "store", "publish"])
@pytest.mark.parametrize("fault", ["fails", "dies"])
def test_a_backup_with_a_volume_that_meets_a_fault_ends_whole_or_as_nothing(world, vm, store, name, fault):
    data = attached(world, vm)
    put(data, 0, 1)
    first = backed_up(world, vm)
    put(data, 1, 2)
    operation = take_backup(vm, None)
    if fault == "fails":
        assert fail_in(world, operation, name).state == OperationState.FAILED
        assert list(Backup.objects.all()) == [first]
        operation = take_backup(vm, None)
    else:
        die_after(world, operation, name)
    seen_just_now()
    assert run(world, operation).state == OperationState.DONE, operation.error
    assert no_scratch(world) and len(in_store(store)) == 6
    (made,) = restored(world, Backup.objects.latest("id")).volumes.all()
    assert held(made) == [1, 2, 0, 0]


@pytest.mark.parametrize("name", ["fetch", "volumes", "start"])
@pytest.mark.parametrize("fault", ["fails", "dies"])
def test_a_restore_with_a_volume_that_meets_a_fault_ends_as_the_vm_or_as_nothing(world, vm, store, name, fault):
    data = attached(world, vm)
    put(data, 0, 1)
    backup = backed_up(world, vm)
    before = dict(world.fake.volumes)
    made = asked_back(backup)
    if fault == "fails":
        assert fail_in(world, made.operation, name).state == OperationState.FAILED
        assert (VM.objects.get(), Volume.objects.get()) == (vm, data) and world.fake.volumes == before
        assert len(list(Path(world.fake.volume_folder).iterdir())) == 1
        return
    die_after(world, made.operation, name)
    assert run(world, made.operation).state == OperationState.DONE, made.operation.error
    assert held(made.vm.volumes.get()) == [1, 0, 0, 0] and no_scratch(world)


def told_of_luns(world):
    """The host has a pool with LUNs, too."""
    world.fake.pools_told = (*OWN, test_luns.SAN)
    look_at_pools(lambda _host: world.fake)
    Pool.objects.update(is_offered=True)
    return Pool.objects.select_related("host").get(name="san")


@pytest.mark.parametrize("fault", ["", "fails", "dies", "is cut"])
def test_a_volume_is_restored_into_a_lun_whole_or_the_lun_is_cleared_and_free(world, vm, store, fault):
    data, pool = attached(world, vm), told_of_luns(world)
    put(data, 0, 7)
    backup = backed_up(world, vm)
    made = asked_back(backup, pool=pool)
    volume = made.vm.volumes.get()
    assert (volume.pool, volume.lun, volume.size_gib) == (pool, test_luns.LUNS[0].key, 2), "all of it counts"
    if fault == "dies":
        die_after(world, made.operation, "volumes")
    world.fake.pours_fail = "its server went away" if fault == "is cut" else ""
    done = fail_in(world, made.operation, "volumes") if fault == "fails" else run(world, made.operation)
    assert not world.fake.pours
    if fault in ("fails", "is cut"):
        assert done.state == OperationState.FAILED and (fault == "fails" or "into hv1/san: its server" in done.error)
        assert (VM.objects.get(), Volume.objects.get()) == (vm, data)
        assert world.fake.cleared == [("san", "unit:0:0:1")] and len(free_luns(pool)) == 2
        return
    assert done.state == OperationState.DONE, done.error
    volume.refresh_from_db()
    made.vm.refresh_from_db()
    poured = Path(world.fake.volume_folder).with_name("poured.qcow2")
    poured.write_bytes(world.fake.poured_files["san", "unit:0:0:1"])
    assert read(poured) == [7, 0, 0, 0] and no_scratch(world) and not world.fake.cleared
    assert (volume.path, volume.state, made.vm.host) == (volume.lun, VolumeState.ATTACHED, pool.host)
    assert volume.lun in world.fake.definitions[made.vm.domain]


def test_a_pool_that_has_too_few_luns_for_a_restore_or_too_much_for_the_quota_is_refused(world, vm, store):
    attached(world, vm)
    attached(world, vm, "more", "vde")
    attached(world, vm, "most", "vdf")
    backup, pool = backed_up(world, vm), told_of_luns(world)
    with pytest.raises(VMProblem, match="hv1/san has no free LUN"):
        asked_back(backup, pool=pool)
    chosen = ("data", "more")
    world.team.max_volume_gib = 8
    world.team.save()
    with pytest.raises(VMProblem, match="6 GiB of volumes asked, 5 GiB of 8"):
        asked_back(backup, volumes=chosen, pool=pool)
    client, page = Client(), reverse("backup_restore", args=[backup.uuid])
    alice = User.objects.get(username="alice")
    Membership.objects.create(team=world.team, user=alice, role="owner")
    client.force_login(alice)
    assert "hv1/san · iSCSI (QEMU), free LUNs of 2, 4 GiB" in client.get(page).content.decode()
    told = {"name": "web-2", "volume": list(chosen), "volume_pool": "hv1/<b>"}
    refused = client.post(page, told)
    assert refused.status_code == 422 and "no such pool is offered" in refused.content.decode()
    refused = client.post(page, told | {"volume_pool": "hv1/san"}).content.decode()
    assert "5 GiB of 8" in refused and '"hv1/san" selected' in refused
    assert Volume.objects.count() == 3 and VM.objects.count() == 1
    pool.is_offered = False
    with pytest.raises(VMProblem, match="hv1/san is not offered"):
        asked_back(backup, volumes=chosen, pool=pool)


def test_a_volume_that_was_changed_in_the_store_is_not_restored_and_is_named(world, vm, store):
    attached(world, vm)
    backup = backed_up(world, vm)
    path = Path(store.folder) / backup.volumes.get().disk_key
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    operation = run(world, asked_back(backup).operation)
    assert operation.state == OperationState.FAILED and "volume data:" in operation.error
    assert Backup.objects.get().state == "damaged" and Volume.objects.count() == 1


def test_new_volumes_are_called_after_their_vm_and_never_as_another():
    assert name_for("web-1", "web-2", "web-1-data", frozenset()) == "web-2-data"
    assert name_for("web-1", "web-2", "data", frozenset()) == "web-2-data"
    assert name_for("web-1", "web-2", "data", frozenset({"web-2-data"})) == "web-2-data-2"
    assert len(name_for("a" * 63, "b" * 63, "c" * 63, frozenset({"b" * 63}))) <= 63


def test_one_of_more_than_whole_gib_is_restored_as_large_as_it_was_where_files_are_raw(world, vm, store):
    data = attached(world, vm)
    put(data, 0, 5)
    subprocess.run(["qemu-img", "resize", "-q", data.path, "+512M"], check=True)
    backup = backed_up(world, vm)
    Pool.objects.update(kind="logical")
    made = restored(world, backup).volumes.get()
    assert world.fake.volumes[made.pool.name, made.file_name] == 3 * 1024**3 // 2 and made.size_gib == 1
