"""Removing a VM. Works on whatever is left of it; a host that is down leaves the VM there, to be deleted again."""

from __future__ import annotations

from portal.compute.models import VMState
from tasks.hypervisor.disks import remove_file
from tasks.hypervisor.libvirt_snapshots import COMMIT_DEADLINE_S
from tasks.sagas.engine import Context, Saga, Stage
from tasks.sagas.layers import flatten_volumes
from tasks.sagas.plugs import remove_bridges
from tasks.sagas.rows import not_deleted_words, placed_or_none, release, update_vm, vm_or_none


def stop(context: Context) -> None:
    if found := placed_or_none(context):
        vm, hypervisor, _ = found
        hypervisor.destroy(vm.domain)


def keep(context: Context) -> None:
    """The VM's row says that it is still there, and why."""
    vm = vm_or_none(context.operation.object_uuid)
    if vm is not None:
        update_vm(vm, state=VMState.UNKNOWN, state_reason=not_deleted_words(context))


def undefine(context: Context) -> None:
    if found := placed_or_none(context):
        vm, hypervisor, _ = found
        hypervisor.destroy(vm.domain)
        hypervisor.undefine(vm.domain)
        remove_bridges(vm.ports.all(), hypervisor)


def remove_files(context: Context) -> None:
    if found := placed_or_none(context):
        for path in found[2].all():
            remove_file(path)


def release_rows(context: Context) -> None:
    release(context.operation.object_uuid)


SAGA: Saga = (
    Stage("stop", stop, keep),
    Stage("volumes", flatten_volumes, deadline_s=COMMIT_DEADLINE_S),
    Stage("undefine", undefine),
    Stage("files", remove_files),
    Stage("release", release_rows),
)
