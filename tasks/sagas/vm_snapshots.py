"""Snapshots of a VM's disk as layers of qcow2 files: taken, gone back to, merged away; also while it runs.

[image] ← [frozen at s1] ← [frozen at s2] ← [what the VM writes: VM.disk_name]

Rows say which file is which; a stage that was cut is found out by what the running domain has. A deletion merges the one
layer that lies on the snapshot's into it, so that its file lives on as that layer's: once that began there is no way back,
only on.
"""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from portal.compute.hardware import disk_target
from portal.compute.models import VM
from portal.live.publishers import vm_changed
from portal.networks.intent import bump_generation, only_ports
from portal.operations.models import Operation
from portal.snapshots.models import Snapshot
from tasks.hypervisor.disks import (
    VMFiles,
    commit_offline,
    ensure_layer,
    files_of,
    grow_file,
    rebase_offline,
    remove_file,
)
from tasks.hypervisor.driver import DomainState, Hypervisor
from tasks.hypervisor.libvirt_snapshots import COMMIT_DEADLINE_S, MEMORY_DEADLINE_S
from tasks.sagas import vm_create
from tasks.sagas.engine import Context, Saga, Stage, StageError
from tasks.sagas.rows import placed, placed_or_none
from tasks.sagas.vm_change import cut_power, is_off
from tasks.sagas.vm_life import record_state
from tasks.sagas.vm_life import start as power_on
from tasks.sagas.volume import params_of

LIVE = (DomainState.RUNNING, DomainState.PAUSED)


def _snapshot_or_none(context: Context) -> Snapshot | None:
    rows = Snapshot.objects.select_related("vm", "parent")
    return rows.filter(uuid=params_of(context)["snapshot"]).first()


def _snapshot(context: Context) -> Snapshot:
    found = _snapshot_or_none(context)
    if found is None:
        raise StageError("the snapshot is no longer there")
    return found


def _note(context: Context, **words: object) -> None:
    """Add to the operation's parameters, for a later worker."""
    Operation.objects.filter(pk=context.operation.pk).update(params={**params_of(context), **words})


def _switch(vm: VM, disk_name: str, current: Snapshot | None) -> None:
    """From now on the VM writes to that file, which lies on that snapshot. Runs in the caller's transaction."""
    Snapshot.objects.filter(vm=vm, is_current=True).update(is_current=False)
    if current is not None:
        Snapshot.objects.filter(pk=current.pk).update(is_current=True)
    VM.objects.filter(pk=vm.pk).update(disk_name=disk_name)
    vm.disk_name = disk_name
    vm_changed(vm)


# Taken.


def freeze(context: Context) -> str:
    vm, hypervisor, files = placed(context)
    snapshot = _snapshot(context)
    new, memory = files.beside(snapshot.next_disk_name), files.beside(snapshot.memory_name)
    if vm.disk_name == new.name:
        return "frozen"
    layers = hypervisor.live_layers(vm.domain, disk_target(vm.disk_bus, 0))
    if not layers:
        if snapshot.has_memory:
            raise StageError(f"{vm.name} was shut down meanwhile: it has no memory to keep")
        remove_file(new)
        ensure_layer(new, files.disk)
    elif layers[0] != str(new):
        remove_file(new)
        remove_file(memory)
        hypervisor.take_snapshot(
            vm.domain, disk_target(vm.disk_bus, 0), str(new), str(memory) if snapshot.has_memory else ""
        )
    with transaction.atomic():
        current = Snapshot.objects.filter(vm=vm, is_current=True).first()
        told = {"disk_name": files.disk.name, "parent": current, "state": Snapshot.State.THERE}
        Snapshot.objects.filter(pk=snapshot.pk).update(**told)
        _switch(vm, new.name, snapshot)
    kept = f", {memory.stat().st_size / 1024**2:.0f} MiB of memory kept" if snapshot.has_memory else ""
    return ("while it runs" if layers else "while it is off") + kept


def unfreeze(context: Context) -> None:
    """The VM writes to the file that it wrote to before, with all that it wrote since; the snapshot is gone."""
    found, snapshot = placed_or_none(context), _snapshot_or_none(context)
    if found is None or snapshot is None:
        return
    vm, hypervisor, files = found
    new = files.beside(snapshot.next_disk_name)
    if vm.disk_name == new.name or str(new) in hypervisor.live_layers(vm.domain, disk_target(vm.disk_bus, 0)):
        old = files.beside(snapshot.disk_name) if snapshot.disk_name else files.disk
        _merge(hypervisor, vm, old, new)
        with transaction.atomic():
            _switch(vm, old.name, snapshot.parent)
        vm_create.define(context)
    remove_file(new)
    remove_file(files.beside(snapshot.memory_name))
    snapshot.delete()


def _merge(hypervisor: Hypervisor, vm: VM, base: Path, top: Path) -> None:
    """What is in `top` is in `base`, and the running guest has `top` no more."""
    if hypervisor.live_layers(vm.domain, disk_target(vm.disk_bus, 0)):
        hypervisor.commit_layer(vm.domain, disk_target(vm.disk_bus, 0), str(base), str(top))
    elif top.exists():
        commit_offline(top, base)


def define(context: Context) -> None:
    vm_create.define(context)


# Gone back to.


def switch_back(context: Context) -> str:
    vm, _, files = placed(context)
    snapshot = _snapshot(context)
    new = files.beside(_reverted_name(context, vm))
    if not new.exists():
        ensure_layer(new, files.beside(snapshot.disk_name))
        grow_file(new, vm.disk_gib)
    with transaction.atomic():
        _switch(vm, new.name, snapshot)
    return f"of {snapshot.created_at:%d %b %H:%M} UTC"


def _reverted_name(context: Context, vm: VM) -> str:
    return f"hs-{vm.uuid}-{context.operation.uuid.hex[:12]}.qcow2"


def switch_forth(context: Context) -> None:
    """The disk that it had, unless it is gone already."""
    found, params = placed_or_none(context), params_of(context)
    if found is None or params.get("is_dropped"):
        return
    vm, _, files = found
    before = params["before"]
    with transaction.atomic():
        current = Snapshot.objects.filter(vm=vm, uuid=before["current"]).first() if before["current"] else None
        _switch(vm, before["disk_name"], current)
    vm_create.define(context)
    remove_file(files.beside(_reverted_name(context, vm)))


def go_on(context: Context) -> str:
    vm, hypervisor, files = placed(context)
    snapshot = _snapshot(context)
    if not snapshot.has_memory:
        if not params_of(context)["runs"]:
            record_state(vm, hypervisor)
            return "it was off and stays off"
        return f"it starts anew: the snapshot keeps no memory; {power_on(context)}"
    if hypervisor.state(vm.domain) not in LIVE:
        with transaction.atomic():  # the old tap's wiring must not pass for the new one's
            bump_generation(only_ports(vm.ports.values_list("id", flat=True)))
            vm.ports.update(tap="", ofport=None, wired_at=None, wired_generation=None)
        hypervisor.restore_memory(
            vm.domain, str(files.beside(snapshot.memory_name)), disk_target(vm.disk_bus, 0), str(files.disk)
        )
    return f"it goes on from its memory; {vm_create.start(context)}"


def stop_again(context: Context) -> None:
    if not params_of(context).get("is_dropped"):
        vm_create.stop(context)


def wire(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    return vm_create.wire(context) if hypervisor.state(vm.domain) in LIVE else "it is off"


def drop_left(context: Context) -> None:
    """What it wrote since is lost; from here on there is no way back, which is written down before the file goes."""
    vm, _, files = placed(context)
    before = params_of(context)["before"]["disk_name"]
    _note(context, is_dropped=True)
    if before != vm.disk_name:
        remove_file(files_of(str(files.disk.parent), vm.uuid, before).disk)


# Deleted.


def merge(context: Context) -> str:
    vm, hypervisor, files = placed(context)
    snapshot = _snapshot(context)
    if params_of(context).get("is_merged"):
        return "merged"
    children = list(snapshot.children.order_by("id"))
    if len(children) + snapshot.is_current > 1:
        raise StageError("more than one layer lies on it: delete all but one of them first")
    if not children and not snapshot.is_current:
        _note(context, is_merged=True, left=snapshot.disk_name)
        return "nothing lies on it"
    base = files.beside(snapshot.disk_name)
    top = files.beside(children[0].disk_name) if children else files.disk
    layers = hypervisor.live_layers(vm.domain, disk_target(vm.disk_bus, 0))
    if str(base) in layers:
        hypervisor.commit_layer(vm.domain, disk_target(vm.disk_bus, 0), str(base), str(top))
        layers = hypervisor.live_layers(vm.domain, disk_target(vm.disk_bus, 0))
    elif top.exists():
        commit_offline(top, base)
    _rebase_those_on(children[0] if children else None, files, base, layers)
    with transaction.atomic():
        _record_merged(context, vm, snapshot, children[0] if children else None)
    return f"{top.name} into {base.name}"


def _rebase_those_on(child: Snapshot | None, files: VMFiles, base: Path, layers: tuple[str, ...]) -> None:
    """What lay on the merged layer lies on `base` now; what a running guest has open, libvirt has told already."""
    if child is None:
        return
    above = [files.beside(row.disk_name) for row in child.children.all()]
    if child.is_current:
        above.append(files.disk)
    for path in above:
        if str(path) not in layers:
            rebase_offline(path, base)


def _record_merged(context: Context, vm: VM, snapshot: Snapshot, child: Snapshot | None) -> None:
    left = child.disk_name if child else vm.disk_name
    if child is None:
        _switch(vm, snapshot.disk_name, snapshot.parent)
    else:
        Snapshot.objects.filter(pk=child.pk).update(disk_name=snapshot.disk_name, parent=snapshot.parent)
    _note(context, is_merged=True, left=left)


def finish_merge(context: Context) -> None:
    """A merge that went through, on the running guest too, is carried on to its end, whatever failed after it; one that did
    not leaves the snapshot there, to be deleted again."""
    found, snapshot = placed_or_none(context), _snapshot_or_none(context)
    if found is None or snapshot is None:
        return
    if params_of(context).get("is_merged"):
        return drop(context)
    vm, hypervisor, files = found
    children = list(snapshot.children.all())
    child = children[0] if children else None
    top = files.beside(child.disk_name) if child else files.disk
    layers = hypervisor.live_layers(vm.domain, disk_target(vm.disk_bus, 0))
    is_alone = len(children) + snapshot.is_current == 1
    if is_alone and str(files.beside(snapshot.disk_name)) in layers and str(top) not in layers:
        merge(context)
        return drop(context)
    with transaction.atomic():
        Snapshot.objects.filter(pk=snapshot.pk).update(state=Snapshot.State.THERE)
        vm_changed(vm)


def drop(context: Context) -> None:
    """The layer that was merged, the memory and the row are gone, and the definition names what is left."""
    vm, _, files = placed(context)
    params = params_of(context)
    if not params.get("is_merged"):
        return
    vm_create.define(context)
    remove_file(files_of(str(files.disk.parent), vm.uuid, params["left"]).disk)
    if snapshot := _snapshot_or_none(context):
        remove_file(files.beside(snapshot.memory_name))
        with transaction.atomic():
            snapshot.delete()
            vm_changed(vm)


SAGAS: dict[str, Saga] = {
    "vm.snapshot": (
        Stage("freeze", freeze, unfreeze, deadline_s=MEMORY_DEADLINE_S),
        Stage("define", define),
    ),
    "vm.snapshot_revert": (
        Stage("stop", cut_power, is_off),
        Stage("disk", switch_back, switch_forth),
        Stage("define", define),
        Stage("start", go_on, stop_again, deadline_s=MEMORY_DEADLINE_S),
        Stage("wire", wire, deadline_s=vm_create.WIRE_DEADLINE_S),
        Stage("drop", drop_left),
    ),
    "vm.snapshot_delete": (
        Stage("merge", merge, finish_merge, deadline_s=COMMIT_DEADLINE_S),
        Stage("drop", drop, drop),
    ),
}
