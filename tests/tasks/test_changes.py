"""Resize, rebuild, clone, rescue and the bin as sagas: from every stage they end as asked or as it was, never without a disk."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from portal.compute.models import VM, Flavor, Image, VMState
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES
from tasks.hypervisor.disks import disk_size_gib, files_of
from tasks.hypervisor.driver import DomainState
from tasks.sagas.engine import StageError
from tasks.sagas.table import SAGAS
from tests.tasks.test_sagas import Killed, die_after, expire_lease, fail_in, power_off, run

KINDS = ("vm.resize", "vm.rebuild", "vm.clone", "vm.rescue", "vm.unrescue", "vm.bin", "vm.undelete")
STAGES_OF_ALL = [(kind, name) for kind in KINDS for name, _ in STAGES[kind]]
OLD, NEW = "the old disk's word", "written later"
NEW_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBnewnewnewnewnewnewnewnewnewnewnewnewnewnew new"


def mark(path, text):
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {len(text)} 0 4096", str(path)], check=True, stdout=-3)


def has_mark(path, text):
    argv = ["qemu-io", "-r", "-U", "-f", "qcow2", "-c", f"read -P {len(text)} 0 4096", str(path)]
    return subprocess.run(argv, capture_output=True, text=True, check=False).returncode == 0


@pytest.fixture
def vm(vm):
    mark(disk_of(vm), OLD)
    return vm


def disk_of(vm):
    vm.refresh_from_db()
    return files_of(vm.host.disks_dir, vm.uuid).disk


def has_new_key(vm):
    """Does the seed that the guest would read name the key that the rebuild asked for?"""
    seed = files_of(vm.host.disks_dir, vm.uuid).seed
    return seed.exists() and NEW_KEY.encode() in seed.read_bytes()


def ready(world, vm, kind):
    """The operation, the VM being in the state that takes it."""
    params = {}
    subject = vm
    if kind == "vm.resize":
        params = {"before": {"vcpus": 1, "ram_mib": 128, "disk_gib": 1, "flavor_id": vm.flavor_id}}
        big = Flavor.objects.create(name="big", vcpus=2, ram_mib=256, disk_gib=2)
        VM.objects.filter(pk=vm.pk).update(flavor=big, vcpus=2, ram_mib=256, disk_gib=2)
    if kind == "vm.rebuild":
        other = Image.objects.create(slug="other", name="Other", disk_path="")
        before = {"image": vm.image_id, "key": None, "public_key": vm.public_key}
        params = {"before": before, "image": other.pk, "key": None, "public_key": NEW_KEY}
    if kind in ("vm.clone", "vm.rescue", "vm.undelete"):
        power_off(world, vm)
    if kind == "vm.clone":
        subject, params = world.make_vm("web-2"), {"source": str(vm.uuid)}
    if kind == "vm.rescue":
        params = {"image": Image.objects.create(slug="aid", name="Aid", disk_path="").pk}
    if kind == "vm.unrescue":
        VM.objects.filter(pk=vm.pk).update(rescue_image=vm.image_id)
    if kind == "vm.undelete":
        VM.objects.filter(pk=vm.pk).update(state=VMState.DELETED)
    operation = world.ask(kind, subject)
    Operation.objects.filter(pk=operation.pk).update(params=params)
    return operation


def assert_as_asked(world, vm, kind):
    vm.refresh_from_db()
    domain = world.fake.state(vm.domain)
    off = kind in ("vm.clone", "vm.bin", "vm.undelete")
    assert domain is (DomainState.STOPPED if off else DomainState.RUNNING)
    assert has_mark(disk_of(vm), OLD) is (kind != "vm.rebuild")
    assert has_new_key(vm) is (vm.public_key == NEW_KEY) is (kind == "vm.rebuild")
    assert vm.state == {"vm.bin": VMState.DELETED}.get(kind, domain.value)
    if kind == "vm.resize":
        assert (world.fake.vcpus[vm.domain], world.fake.grown[vm.domain]) == (2, 2 * 1024**3)
        assert (vm.live_vcpus, vm.live_ram_mib) == (2, 128) and "256 MiB" in vm.pending
    if kind == "vm.clone":
        clone = VM.objects.get(name="web-2")
        assert clone.state == VMState.RUNNING and has_mark(disk_of(clone), OLD)
    assert_no_leftovers(world, rescue=kind == "vm.rescue")


def assert_no_leftovers(world, rescue=False):
    suffixes = ("-rescue.qcow2",) * rescue
    extra = [
        path.name for path in world.folder.iterdir() if path.name.endswith(("-old.qcow2", "-rescue.qcow2", ".new"))
    ]
    assert all(name.endswith(suffixes) for name in extra) if rescue else extra == []


@pytest.mark.parametrize(("kind", "name"), STAGES_OF_ALL)
def test_a_change_whose_worker_is_killed_runs_that_stage_again_and_ends_as_asked(world, vm, kind, name):
    operation = ready(world, vm, kind)
    die_after(world, operation, name)
    assert run(world, operation).state == OperationState.DONE, operation.error
    assert_as_asked(world, vm, kind)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("kind", "name"), STAGES_OF_ALL)
def test_a_change_that_fails_in_a_stage_leaves_the_vm_with_its_disk_and_its_size(world, vm, kind, name, when):
    operation = fail_in(world, ready(world, vm, kind), name, when)
    assert (operation.state, operation.error) == (OperationState.FAILED, "the disk is full")
    vm.refresh_from_db()
    rebuilt = (kind, name, when) == ("vm.rebuild", "drop", "after")
    assert has_mark(disk_of(vm), OLD) is not rebuilt
    assert vm.image.slug == ("other" if rebuilt else "tiny") and (vm.public_key == NEW_KEY) is rebuilt
    assert has_new_key(vm) is rebuilt
    assert vm.vcpus == 1 and vm.disk_gib == max(1, disk_size_gib(disk_of(vm)))
    assert vm.domain in world.fake.definitions and vm.state != VMState.DELETING
    assert not VM.objects.filter(name="web-2").exists()
    assert_no_leftovers(world, rescue=False)


@pytest.mark.parametrize("kind", ["vm.rebuild", "vm.rescue"])
def test_an_undo_that_is_killed_is_taken_up(world, vm, kind):
    def kill(undo):
        def act(context):
            undo(context)
            raise Killed

        return act

    def fail(_context):
        raise StageError("no flows")

    operation = ready(world, vm, kind)
    for name, _ in STAGES[kind][:-1]:
        stages = tuple(
            replace(s, do=fail) if s.name == "wire" else replace(s, undo=kill(s.undo)) if s.name == name else s
            for s in SAGAS[kind]
        )
        expire_lease(operation)
        try:
            run(world, operation, {kind: stages})
        except Killed:
            continue
    expire_lease(operation)
    assert run(world, operation).state == OperationState.FAILED
    assert has_mark(disk_of(vm), OLD) and vm.image.slug == "tiny"
    assert_no_leftovers(world)


def test_a_host_that_is_down_leaves_a_binned_vm_there_and_says_so(world, vm):
    operation = ready(world, vm, "vm.bin")
    VM.objects.update(state=VMState.DELETING)
    world.fake.is_down = True
    assert run(world, operation).state == OperationState.FAILED
    vm.refresh_from_db()
    assert vm.state == VMState.UNKNOWN and "Delete it again" in vm.state_reason


def test_a_clone_of_a_vm_that_was_started_meanwhile_says_so_and_leaves_nothing(world, vm):
    operation = ready(world, vm, "vm.clone")
    world.fake.start(vm.domain)
    assert run(world, operation).state == OperationState.FAILED and "a disk in use can't be copied" in operation.error
    assert not VM.objects.filter(name="web-2").exists()


def test_a_vm_whose_lease_was_over_has_a_day_when_it_is_taken_back(world, vm):
    operation = ready(world, vm, "vm.undelete")
    VM.objects.filter(pk=vm.pk).update(lease_until=timezone.now() - timedelta(days=9))
    run(world, operation)
    vm.refresh_from_db()
    assert vm.lease_until > timezone.now() + timedelta(hours=23)
