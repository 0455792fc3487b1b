"""A snapshot's end: the one layer that lies on each of its files is merged into it, so that the file lives on as that layer's.

Its volumes' first, one by one, then the VM's own disk's, and then the row goes. Once a merge began there is no way back for
that disk, only on: a snapshot that could not be deleted after all is one without the volumes that it lost so. A merge that stuck
half-way has changed what froze: such a snapshot can only be deleted again.
"""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from portal.compute.hardware import disk_target
from portal.compute.models import VM
from portal.live.publishers import vm_changed
from portal.snapshots.models import Snapshot, SnapshotVolume
from tasks.hypervisor.disks import files_of, remove_file
from tasks.hypervisor.driver import Hypervisor
from tasks.hypervisor.libvirt_snapshots import COMMIT_DEADLINE_S
from tasks.sagas import vm_create
from tasks.sagas.engine import Context, Saga, Stage, StageError
from tasks.sagas.layers import (
    WITH,
    disk_of,
    is_merged,
    is_part_merged,
    merge_layers,
    merge_part,
    open_layers,
    parts_of,
    record_merged_part,
    refresh_pools,
    too_many_on,
)
from tasks.sagas.rows import keep_params, operation_params, placed, placed_or_none
from tasks.sagas.vm_snapshots import snapshot_of, snapshot_or_none, switch


def merge_volumes(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    parts = parts_of(snapshot_of(context))
    for one in parts:
        if too_many_on(one):
            raise StageError(f"more than one layer of {one.volume.name} lies on it: delete all but one of them first")
    for one in parts:
        _merge_part(context, hypervisor, one)
    _drop_left_of_volumes(context)
    refresh_pools(hypervisor, vm.volumes.select_related("pool"))
    return ", ".join(one.volume.name for one in parts) or "none are in it"


def _merge_part(context: Context, hypervisor: Hypervisor, part: SnapshotVolume) -> None:
    open_layers(hypervisor, disk_of(part.volume))  # a host that is away is met before anything is written
    keep_params(context, begun_part=part.pk)
    left = merge_part(hypervisor, part)
    with transaction.atomic():
        keep_params(context, left_of_volumes=[*operation_params(context).get("left_of_volumes", ()), str(left)])
        record_merged_part(part)


def _drop_left_of_volumes(context: Context) -> None:
    """The definition names them no more before they go."""
    if left := operation_params(context).get("left_of_volumes"):
        vm_create.define(context)
        for path in left:
            remove_file(Path(path))


def finish_volumes(context: Context) -> None:
    """What was merged stays merged; a memory that knew those volumes fits the VM no more."""
    found, snapshot = placed_or_none(context), snapshot_or_none(context)
    if found is None:
        return
    vm, hypervisor, files = found
    for one in snapshot.volumes.select_related(*WITH) if snapshot else ():
        if is_part_merged(hypervisor, one):
            _merge_part(context, hypervisor, one)
    _drop_left_of_volumes(context)
    refresh_pools(hypervisor, vm.volumes.select_related("pool"))
    if snapshot is not None:
        kept = {"has_memory": False} if operation_params(context).get("left_of_volumes") else {}
        state = Snapshot.State.DELETING if _is_stuck(context, snapshot) else Snapshot.State.THERE
        with transaction.atomic():
            Snapshot.objects.filter(pk=snapshot.pk).update(state=state, **kept)
            vm_changed(vm)
        if kept:
            remove_file(files.beside(snapshot.memory_name))


def _is_stuck(context: Context, snapshot: Snapshot) -> bool:
    """Whether a merge of its that was begun did not end: a volume's that it still has, or the own disk's."""
    params = operation_params(context)
    return snapshot.volumes.filter(pk=params.get("begun_part", 0)).exists() or (
        bool(params.get("is_begun")) and not params.get("is_merged")
    )


def merge(context: Context) -> str:
    vm, hypervisor, files = placed(context)
    snapshot = snapshot_of(context)
    if operation_params(context).get("is_merged"):
        return "merged"
    children = list(snapshot.children.order_by("id"))
    if len(children) + snapshot.is_current > 1:
        raise StageError("more than one layer lies on it: delete all but one of them first")
    if not children and not snapshot.is_current:
        keep_params(context, is_merged=True, left=snapshot.disk_name)
        return "nothing lies on it"
    base = files.beside(snapshot.disk_name)
    top = files.beside(children[0].disk_name) if children else files.disk
    above = [files.beside(row.disk_name) for row in children[0].children.all()] if children else []
    if children and children[0].is_current:
        above.append(files.disk)
    disk = vm.domain, disk_target(vm.disk_bus, 0)
    open_layers(hypervisor, disk)
    keep_params(context, is_begun=True)
    merge_layers(hypervisor, disk, base, top, above)
    with transaction.atomic():
        _record_own(context, vm, snapshot, children[0] if children else None)
    return f"{top.name} into {base.name}"


def _record_own(context: Context, vm: VM, snapshot: Snapshot, child: Snapshot | None) -> None:
    keep_params(context, is_merged=True, left=child.disk_name if child else vm.disk_name)
    if child is None:
        switch(vm, snapshot.disk_name, snapshot.parent)
    else:
        Snapshot.objects.filter(pk=child.pk).update(disk_name=snapshot.disk_name, parent=snapshot.parent)


def finish_merge(context: Context) -> None:
    """A merge that went through, on the running guest too, is carried on to its end, whatever failed after it; one that did
    not leaves the snapshot there, to be deleted again."""
    found, snapshot = placed_or_none(context), snapshot_or_none(context)
    if found is None or snapshot is None:
        return
    if operation_params(context).get("is_merged"):
        return drop(context)
    vm, hypervisor, files = found
    children = list(snapshot.children.all())
    child = children[0] if children else None
    top = files.beside(child.disk_name) if child else files.disk
    base, disk = files.beside(snapshot.disk_name), (vm.domain, disk_target(vm.disk_bus, 0))
    if len(children) + snapshot.is_current == 1 and is_merged(hypervisor, disk, base, top):
        merge(context)
        return drop(context)
    if not _is_stuck(context, snapshot):
        with transaction.atomic():
            Snapshot.objects.filter(pk=snapshot.pk).update(state=Snapshot.State.THERE)
            vm_changed(vm)


def drop(context: Context) -> None:
    """The layer that was merged, the memory and the row are gone, and the definition names what is left."""
    vm, _, files = placed(context)
    params = operation_params(context)
    if not params.get("is_merged"):
        return
    vm_create.define(context)
    remove_file(files_of(str(files.disk.parent), vm.uuid, params["left"]).disk)
    if snapshot := snapshot_or_none(context):
        remove_file(files.beside(snapshot.memory_name))
        with transaction.atomic():
            snapshot.delete()
            vm_changed(vm)


SAGAS: dict[str, Saga] = {
    "vm.snapshot_delete": (
        Stage("volumes", merge_volumes, finish_volumes, deadline_s=COMMIT_DEADLINE_S),
        Stage("merge", merge, finish_merge, deadline_s=COMMIT_DEADLINE_S),
        Stage("drop", drop, drop),
    ),
}
