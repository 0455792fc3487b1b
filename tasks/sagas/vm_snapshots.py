"""Snapshots of a VM's disks as layers of qcow2 files: taken, gone back to, merged away; also while it runs.

[image] ← [frozen at s1] ← [frozen at s2] ← [what the VM writes: VM.disk_name]

Rows say which file is which; how far a stage came that was cut is told by what the domain has open, or would open if it
started now. A deletion merges the one layer that lies on the snapshot's into it, so that its file lives on as that layer's:
once that began there is no way back, only on.
"""

from __future__ import annotations

from django.db import transaction

from portal.compute.hardware import disk_target
from portal.compute.models import VM
from portal.live.publishers import vm_changed
from portal.networks.intent import bump_generation, only_ports
from portal.snapshots.models import Snapshot
from tasks.hypervisor.disks import ensure_layer, files_of, grow_file, remove_file
from tasks.hypervisor.driver import DomainState
from tasks.hypervisor.libvirt_snapshots import MEMORY_DEADLINE_S
from tasks.sagas import vm_create
from tasks.sagas.engine import Context, Saga, Stage, StageError
from tasks.sagas.layers import (
    WITH,
    drop_before,
    drop_reverted,
    lay,
    lay_on,
    lay_over,
    lock_rows,
    merge_layers,
    new_layers,
    parts_of,
    record_frozen,
    record_reverted,
    refresh_pools,
    return_volumes,
    standing_layers,
    unfreeze_part,
)
from tasks.sagas.rows import keep_params, operation_params, placed, placed_or_none
from tasks.sagas.vm_change import cut_power, is_off
from tasks.sagas.vm_life import record_state
from tasks.sagas.vm_life import start as power_on

LIVE = (DomainState.RUNNING, DomainState.PAUSED)


def snapshot_or_none(context: Context) -> Snapshot | None:
    rows = Snapshot.objects.select_related("vm", "parent")
    return rows.filter(uuid=operation_params(context)["snapshot"]).first()


def snapshot_of(context: Context) -> Snapshot:
    found = snapshot_or_none(context)
    if found is None:
        raise StageError("the snapshot is no longer there")
    return found


def switch(vm: VM, disk_name: str, current: Snapshot | None) -> None:
    """From now on the VM writes to that file, which lies on that snapshot. Runs in the caller's transaction."""
    Snapshot.objects.filter(vm=vm, is_current=True).update(is_current=False)
    if current is not None:
        Snapshot.objects.filter(pk=current.pk).update(is_current=True)
    vm.disk_name = "" if disk_name == f"hs-{vm.uuid}.qcow2" else disk_name  # as before its first one
    VM.objects.filter(pk=vm.pk).update(disk_name=vm.disk_name)
    vm_changed(vm)


# Taken.


def freeze(context: Context) -> str:
    vm, hypervisor, files = placed(context)
    snapshot = snapshot_of(context)
    new, memory = files.beside(snapshot.next_disk_name), files.beside(snapshot.memory_name)
    if vm.disk_name == new.name:
        return "frozen"
    target, parts = disk_target(vm.disk_bus, 0), parts_of(snapshot)
    layers = hypervisor.live_layers(vm.domain, target)
    if not layers:
        if snapshot.has_memory and str(new) not in standing_layers(hypervisor, (vm.domain, target)):
            raise StageError(f"{vm.name} was shut down meanwhile: it has no memory to keep")
        lay_over(hypervisor, (vm.domain, target), new, files.disk)
        lay(hypervisor, parts)
    elif layers[0] != str(new):
        remove_file(new)
        remove_file(memory)
        written = {target: str(new), **new_layers(parts)}
        hypervisor.take_snapshot(vm.domain, written, str(memory) if snapshot.has_memory else "")
    with transaction.atomic():
        lock_rows([one.volume.uuid for one in parts], vm)
        record_frozen(parts)
        current = Snapshot.objects.filter(vm=vm, is_current=True).first()
        told = {"disk_name": files.disk.name, "parent": current, "state": Snapshot.State.THERE}
        Snapshot.objects.filter(pk=snapshot.pk).update(**told)
        switch(vm, new.name, snapshot)
    refresh_pools(hypervisor, vm.volumes.select_related("pool"))
    kept = f", with {', '.join(one.volume.name for one in parts)}" if parts else ""
    kept += f", {memory.stat().st_size / 1024**2:.0f} MiB of memory kept" if snapshot.has_memory else ""
    return ("while it runs" if layers else "while it is off") + kept


def unfreeze(context: Context) -> None:
    """The VM writes to the file that it wrote to before, with all that it wrote since; the snapshot is gone."""
    found, snapshot = placed_or_none(context), snapshot_or_none(context)
    if found is None or snapshot is None:
        return
    vm, hypervisor, files = found
    new = files.beside(snapshot.next_disk_name)
    disk = vm.domain, disk_target(vm.disk_bus, 0)
    for part in snapshot.volumes.select_related(*WITH, "snapshot"):
        unfreeze_part(hypervisor, part)
    if vm.disk_name == new.name or str(new) in standing_layers(hypervisor, disk):
        old = files.beside(snapshot.disk_name) if snapshot.disk_name else files.disk
        merge_layers(hypervisor, disk, old, new)
        if vm.disk_name == new.name:  # else no row told yet that it froze, and what it lies on is as it was
            with transaction.atomic():
                switch(vm, old.name, snapshot.parent)
        vm_create.define(context)
    refresh_pools(hypervisor, vm.volumes.select_related("pool"))
    remove_file(new)
    remove_file(files.beside(snapshot.memory_name))
    snapshot.delete()


def define(context: Context) -> None:
    vm_create.define(context)


# Gone back to.


def switch_back(context: Context) -> str:
    vm, hypervisor, files = placed(context)
    snapshot = snapshot_of(context)
    new, parts = files.beside(_reverted_name(context, vm)), parts_of(snapshot)
    ensure_layer(new, files.beside(snapshot.disk_name))
    grow_file(new, vm.disk_gib)
    lay_on(parts, context.operation.uuid)
    with transaction.atomic():
        lock_rows([one.volume.uuid for one in parts], vm)
        record_reverted(parts, context.operation.uuid)
        switch(vm, new.name, snapshot)
    refresh_pools(hypervisor, vm.volumes.select_related("pool"))
    return f"of {snapshot.created_at:%d %b %H:%M} UTC"


def _reverted_name(context: Context, vm: VM) -> str:
    return f"hs-{vm.uuid}-{context.operation.uuid.hex[:12]}.qcow2"


def switch_forth(context: Context) -> None:
    """The disks that it had, unless they are gone already."""
    found, params = placed_or_none(context), operation_params(context)
    if found is None or params.get("is_dropped"):
        return
    vm, hypervisor, files = found
    before = params["before"]
    volumes = before.get("volumes", ())
    with transaction.atomic():
        lock_rows([one["volume"] for one in volumes], vm)
        current = Snapshot.objects.filter(vm=vm, uuid=before["current"]).first() if before["current"] else None
        switch(vm, before["disk_name"], current)
        return_volumes(volumes)
    vm_create.define(context)
    remove_file(files.beside(_reverted_name(context, vm)))
    drop_reverted(context.operation.uuid, volumes)
    refresh_pools(hypervisor, vm.volumes.select_related("pool"))


def go_on(context: Context) -> str:
    vm, hypervisor, files = placed(context)
    snapshot = snapshot_of(context)
    if not snapshot.has_memory:
        if not operation_params(context)["runs"]:
            record_state(vm, hypervisor)
            return "it was off and stays off"
        return f"it starts anew: the snapshot keeps no memory; {power_on(context)}"
    if hypervisor.state(vm.domain) not in LIVE:
        with transaction.atomic():  # the old tap's wiring must not pass for the new one's
            bump_generation(only_ports(vm.ports.values_list("id", flat=True)))
            vm.ports.update(tap="", ofport=None, wired_at=None, wired_generation=None)
        written = {disk_target(vm.disk_bus, 0): str(files.disk)}
        written |= {one.volume.target: one.volume.path for one in parts_of(snapshot)}
        others = (str(files.seed), str(files.console_log))
        hypervisor.restore_memory(vm.domain, str(files.beside(snapshot.memory_name)), written, others)
    return f"it goes on from its memory; {vm_create.start(context)}"


def stop_again(context: Context) -> None:
    if not operation_params(context).get("is_dropped"):
        vm_create.stop(context)


def wire(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    return vm_create.wire(context) if hypervisor.state(vm.domain) in LIVE else "it is off"


def drop_left(context: Context) -> None:
    """What it wrote since is lost; from here on there is no way back, which is written down before the file goes."""
    vm, hypervisor, files = placed(context)
    before = operation_params(context)["before"]
    keep_params(context, is_dropped=True)
    if before["disk_name"] != vm.disk_name:
        remove_file(files_of(str(files.disk.parent), vm.uuid, before["disk_name"]).disk)
    drop_before(before.get("volumes", ()))
    refresh_pools(hypervisor, vm.volumes.select_related("pool"))


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
}
