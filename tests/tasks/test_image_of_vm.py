"""An image made of a VM: from every stage it ends as an image with all layers' content, or as nothing; the VM is untouched."""

from __future__ import annotations

import pytest

from portal.compute.models import Image, VMState
from portal.images.models import ImageImport
from portal.images.store import image_file, incoming_folder
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from tests.tasks.test_sagas import die_after, fail_in, power_off, run
from tests.tasks.test_snapshots import read, taken, write

NAMES = [name for name, _ in STAGES["image.from_vm"]]


@pytest.fixture
def vm(world, settings, tmp_path):
    settings.IMAGE_CACHE = tmp_path / "images"
    vm = world.make_vm()
    assert run(world, world.ask("vm.create", vm)).state == OperationState.DONE
    write(world, vm, 0, 1)
    taken(world, vm, "first")
    write(world, vm, 1, 2)
    power_off(world, vm)
    Image.objects.update(boot="kernel", kernel_path="/boot/kernel", cmdline="quiet", login_user="root")
    vm.refresh_from_db()
    return vm


def asked(world, vm, size_bytes=2**30):
    """The operation and its import, as the request leaves them."""
    row = ImageImport.objects.create(
        team=world.team, name="Golden", slug="golden-1", source="vm", disk_format="qcow2", size_bytes=size_bytes
    )
    operation = world.ask("image.from_vm", vm)
    params = {"source": str(vm.uuid), "image": vm.image_id, "name": "Golden", "note": ""}
    Operation.objects.filter(pk=operation.pk).update(object_type="image", object_uuid=row.uuid, params=params)
    operation.refresh_from_db()
    return operation, row


def assert_image(row):
    image = Image.objects.get(slug="golden-1")
    assert (image.boot, image.kernel_path, image.cmdline) == ("kernel", "/boot/kernel", "quiet")
    assert read(image_file(row.uuid)) == [1, 2, 0, 0], "all layers are in it"
    assert not incoming_folder(row.uuid).exists()


@pytest.mark.parametrize("name", NAMES)
def test_one_whose_worker_is_killed_is_taken_up_and_ends_as_the_image(world, vm, name):
    operation, row = asked(world, vm)
    die_after(world, operation, name)
    assert run(world, operation).state == OperationState.DONE, operation.error
    assert_image(row)


@pytest.mark.parametrize("name", NAMES)
def test_one_that_fails_in_a_stage_leaves_nothing_and_the_vm_as_it_was(world, vm, name):
    operation, row = asked(world, vm)
    assert fail_in(world, operation, name).state == OperationState.FAILED
    assert not ImageImport.objects.exists() and Image.objects.count() == 1
    assert not incoming_folder(row.uuid).exists() and not image_file(row.uuid).exists()
    vm.refresh_from_db()
    assert (vm.state, read(world.folder / vm.disk_name)) == (VMState.STOPPED, [1, 2, 0, 0])


def test_what_the_team_has_no_room_for_is_refused_with_the_sizes(world, vm):
    operation, _ = asked(world, vm, size_bytes=1000)
    assert run(world, operation).state == OperationState.FAILED and "the team has room for 1000" in operation.error
    assert not ImageImport.objects.exists()


def test_a_vm_that_was_started_meanwhile_is_not_copied(world, vm):
    world.fake.start(vm.domain)
    operation, _ = asked(world, vm)
    assert run(world, operation).state == OperationState.FAILED and "was started meanwhile" in operation.error
