"""Volumes as sagas: from every stage they end as asked or as they were; what a guest holds on to stays attached."""

from __future__ import annotations

import pytest

from portal.compute.models import VM, VMState
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from portal.volumes.models import Pool, Volume, VolumeState
from tasks.pools import look_at_pools
from tasks.sagas import volume as sagas
from tasks.sagas.engine import StageError
from tests.tasks.test_sagas import die_after, fail_in, run, with_stage

ALONE = ("volume.create", "volume.clone", "volume.grow", "volume.delete")
OF_VM = ("vm.volume_add", "vm.volume_attach", "vm.volume_detach")
MAKING = ("volume.create", "volume.clone", "vm.volume_add")
STAGES_OF_ALL = [(kind, name) for kind in (*ALONE, *OF_VM) for name, _ in STAGES[kind]]
GIB = 1024**3


@pytest.fixture
def vm(world):
    look_at_pools(lambda _host: world.fake)
    vm = world.make_vm()
    assert run(world, world.ask("vm.create", vm)).state == OperationState.DONE
    vm.refresh_from_db()
    return vm


def asked(world, kind, vm, volume, **params):
    """The operation as the request writes it down."""
    operation = world.ask(kind, vm)
    columns = {"params": {"volume": str(volume.uuid), **params}}
    if kind in ALONE:
        columns |= {"object_type": "volume", "object_uuid": volume.uuid}
    Operation.objects.filter(pk=operation.pk).update(**columns)
    operation.refresh_from_db()
    return operation


def made(world, vm, name="data", attached=False):
    """A volume that is there, and attached if said."""
    volume = Volume.objects.create(team=world.team, name=name, size_gib=2)
    assert run(world, asked(world, "volume.create", vm, volume)).state == OperationState.DONE
    if attached:
        Volume.objects.filter(pk=volume.pk).update(vm=vm, target="vdd", state=VolumeState.ATTACHED)
        assert run(world, asked(world, "vm.volume_attach", vm, volume)).state == OperationState.DONE
    volume.refresh_from_db()
    return volume


def ready(world, vm, kind):
    """The operation and its volume, the rows being as the request leaves them."""
    if kind == "volume.create":
        volume = Volume.objects.create(team=world.team, name="data", size_gib=2)
    elif kind == "vm.volume_add":
        volume = Volume.objects.create(team=world.team, name="data", size_gib=2, vm=vm, target="vdd")
    elif kind == "volume.clone":
        source = made(world, vm, "source")
        volume = Volume.objects.create(team=world.team, name="data", size_gib=3, pool=source.pool)
        return asked(world, kind, vm, volume, source_volume=str(source.uuid)), volume
    else:
        volume = made(world, vm, attached=kind == "vm.volume_detach")
    if kind == "volume.grow":
        Volume.objects.update(size_gib=5)
        return asked(world, kind, vm, volume, before={"size_gib": 2}), volume
    if kind == "vm.volume_attach":
        Volume.objects.update(vm=vm, target="vdd", state=VolumeState.ATTACHED)
    if kind == "volume.delete":
        Volume.objects.update(state=VolumeState.DELETING)
    return asked(world, kind, vm, volume), volume


def assert_true(world, vm):
    """Rows, files, definition and what is plugged are the same; the volumes that there are, by name."""
    rows = list(Volume.objects.select_related("pool"))
    assert {row.file_name for row in rows} == {name for _, name in world.fake.volumes}
    mine = {row.serial for row in rows if row.vm_id == vm.pk}
    assert world.fake.plugged[vm.domain] == mine
    definition = world.fake.definitions[vm.domain]
    assert all((row.serial in definition) is (row.vm_id == vm.pk) for row in rows)
    assert all((row.state == VolumeState.ATTACHED) is (row.vm_id is not None) for row in rows)
    return {row.name: row for row in rows}


@pytest.mark.parametrize(("kind", "name"), STAGES_OF_ALL)
def test_a_change_whose_worker_is_killed_runs_that_stage_again_and_ends_as_asked(world, vm, kind, name):
    operation, _volume = ready(world, vm, kind)
    die_after(world, operation, name)
    assert run(world, operation).state == OperationState.DONE, operation.error
    row = assert_true(world, vm).get("data")
    assert (row is None) is (kind == "volume.delete")
    if row is not None:
        assert (row.vm_id is not None) is (kind in ("vm.volume_add", "vm.volume_attach"))
        assert world.fake.volumes["hopsight", row.file_name] == row.size_gib * GIB


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("kind", "name"), STAGES_OF_ALL)
def test_a_change_that_fails_in_a_stage_leaves_the_volumes_as_they_were(world, vm, kind, name, when):
    operation, _volume = ready(world, vm, kind)
    assert fail_in(world, operation, name, when).state == OperationState.FAILED
    if (kind, name, when) == ("volume.delete", "remove", "after"):
        return  # what is removed is removed: the row that is left says so when it is deleted again
    rows = assert_true(world, vm)
    row = rows.get("data")
    assert (row is None) is (kind in MAKING or (kind, name) == ("volume.delete", "release"))
    if kind == "volume.grow":
        assert row.size_gib == (5 if when == "after" else 2), "what has grown is counted: a volume is never cut"
        assert world.fake.volumes["hopsight", row.file_name] == row.size_gib * GIB
    if row is not None and (kind, name, when) != ("vm.volume_detach", "release", "after"):
        assert (row.vm_id is not None) is (kind == "vm.volume_detach")
    vm.refresh_from_db()
    assert vm.state == VMState.RUNNING


def test_a_deletion_that_failed_half_way_is_asked_again_and_ends(world, vm):
    def fail(do):
        def act(context):
            do(context)
            raise StageError("power cut")

        return act

    operation, volume = ready(world, vm, "volume.delete")
    run(world, operation, with_stage("volume.delete", "remove", fail))
    volume.refresh_from_db()
    assert volume.state == VolumeState.AVAILABLE
    assert run(world, asked(world, "volume.delete", vm, volume)).state == OperationState.DONE
    assert not Volume.objects.exists() and not world.fake.volumes


def test_a_guest_that_does_not_let_go_keeps_its_disk_and_the_words_say_what_to_do(world, vm, monkeypatch):
    monkeypatch.setattr(sagas, "LET_GO_S", 0.3)
    operation, _volume = ready(world, vm, "vm.volume_detach")
    world.fake.is_deaf = True
    assert run(world, operation).state == OperationState.FAILED and "shut the VM down first" in operation.error
    assert assert_true(world, vm)["data"].vm_id == vm.pk


def test_a_half_made_copy_is_not_trusted(world, vm):
    operation, volume = ready(world, vm, "volume.clone")
    world.fake.volumes["hopsight", volume.file_name] = 7
    assert run(world, operation).state == OperationState.DONE
    assert world.fake.volumes["hopsight", volume.file_name] == 3 * GIB
    assert world.fake.copies[volume.file_name].startswith("hs-vol-")


def test_each_start_defines_the_domain_with_its_volumes(world, vm):
    volume = made(world, vm, attached=True)
    world.fake.destroy(vm.domain)
    world.fake.definitions[vm.domain] = world.fake.definitions[vm.domain].replace(volume.serial, "")
    VM.objects.update(state=VMState.STOPPED)
    assert run(world, world.ask("vm.start", vm)).state == OperationState.DONE
    assert world.fake.plugged[vm.domain] == {volume.serial}


def test_a_vm_that_is_deleted_leaves_its_volumes_free(world, vm):
    volume = made(world, vm, attached=True)
    assert run(world, world.ask("vm.delete", vm)).state == OperationState.DONE
    volume.refresh_from_db()
    assert (volume.vm, volume.state) == (None, VolumeState.AVAILABLE)
    assert len(world.fake.volumes) == 1


def test_a_volume_finds_no_place_in_a_pool_that_is_full_and_the_words_say_how_full(world, vm):
    Pool.objects.update(available_bytes=GIB)
    volume = Volume.objects.create(team=world.team, name="data", size_gib=2)
    operation = run(world, asked(world, "volume.create", vm, volume))
    assert operation.state == OperationState.FAILED
    assert "hv1/hopsight has 1.0 GiB left, 2 GiB are needed" in operation.error
    assert not Volume.objects.exists()


def test_a_pool_that_is_gone_is_forgotten_unless_volumes_lie_in_it(world, vm):
    made(world, vm)
    Pool.objects.create(host=world.host, name="iso", kind="dir", is_active=True)
    look_at_pools(lambda _host: world.fake)
    assert list(Pool.objects.values_list("name", flat=True)) == ["hopsight"]
    world.fake.pools = lambda: ()
    look_at_pools(lambda _host: world.fake)
    assert not Pool.objects.get().is_active
