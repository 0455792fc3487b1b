"""The rows of a VM as sagas change them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction

from portal.compute.models import VM
from portal.live.publishers import vm_changed, vm_deleted, volume_changed
from portal.networks.intent import Touched, bump_generation, lock_intent
from portal.networks.models import FixedAddress, Port
from portal.operations.models import Operation
from portal.volumes.models import Volume, VolumeState
from tasks.hypervisor.disks import VMFiles, files_of
from tasks.hypervisor.driver import Hypervisor
from tasks.sagas.engine import Context, LeaseLost, StageError


def operation_params(context: Context) -> dict[str, Any]:
    """The operation's parameters as stored now: an earlier worker may have added to them."""
    found: dict[str, Any] = Operation.objects.values_list("params", flat=True).get(pk=context.operation.pk)
    return found


def keep_params(context: Context, **more: object) -> None:
    """Add to the operation's parameters, for whoever goes on with it; LeaseLost when another worker does already."""
    context.operation.params = {**operation_params(context), **more}
    mine = Operation.objects.filter(pk=context.operation.pk, worker=context.operation.worker)
    if not mine.update(params=context.operation.params):
        raise LeaseLost(str(context.operation.uuid))


def not_deleted_words(context: Context) -> str:
    """Why the VM is still there, for its row: a cancelled deletion asks for nothing, a failed one to be asked again."""
    operation = context.operation
    advice = "" if operation.cancel_asked_at else " Delete it again when the host answers."
    return f"It was not deleted: {operation.error.rstrip('.')[:220]}.{advice}"


def vm_or_none(uuid: UUID) -> VM | None:
    """The operation's VM, if it is still there."""
    return VM.objects.select_related("team", "host", "image", "flavor", "rescue_image").filter(uuid=uuid).first()


def vm_of(context: Context) -> VM:
    """The operation's VM; a StageError when its row is gone."""
    vm = vm_or_none(context.operation.object_uuid)
    if vm is None:
        raise StageError(f"VM {context.operation.object_name} is no longer there")
    return vm


def placed(context: Context) -> tuple[VM, Hypervisor, VMFiles]:
    """The operation's VM with its host's driver and its files' paths."""
    vm = vm_of(context)
    if vm.host is None:
        raise StageError(f"VM {vm.name} has no host")
    return vm, context.hypervisors(vm.host), files_of(vm.host.disks_dir, vm.uuid, vm.disk_name)


def placed_or_none(context: Context) -> tuple[VM, Hypervisor, VMFiles] | None:
    """As `placed`, None when there is no VM or it was never given a host."""
    vm = vm_or_none(context.operation.object_uuid)
    if vm is None or vm.host is None:
        return None
    return vm, context.hypervisors(vm.host), files_of(vm.host.disks_dir, vm.uuid, vm.disk_name)


def update_vm(vm: VM, **columns: object) -> None:
    """Change columns of the VM's row, and tell the team."""
    with transaction.atomic():
        if VM.objects.filter(pk=vm.pk).update(**columns):
            for name, value in columns.items():
                setattr(vm, name, value)
            vm_changed(vm)


def update_volume(volume: Volume, **columns: object) -> None:
    """Change columns of the volume's row, and tell the team."""
    with transaction.atomic():
        if Volume.objects.filter(pk=volume.pk).update(**columns):
            for name, value in columns.items():
                setattr(volume, name, value)
            volume_changed(volume)


def release(uuid: UUID) -> None:
    """The VM's address, port and row are gone, and with them what they held of the quota; its volumes are free."""
    with transaction.atomic():
        lock_intent()
        vm = VM.objects.select_for_update().select_related("team").filter(uuid=uuid).first()
        if vm is None:
            return
        vm_deleted(vm)
        for volume in vm.volumes.select_related("team", "pool__host"):
            volume.vm, volume.target, volume.state = None, "", VolumeState.AVAILABLE
            volume.save(update_fields=["vm", "target", "state"])
            volume_changed(volume)
        FixedAddress.objects.filter(port__vm=vm).delete()
        ids = frozenset(vm.ports.values_list("id", flat=True))
        Port.objects.filter(vm=vm).delete()
        vm.delete()
        bump_generation(Touched(ids))
