"""Volumes as sagas: made, copied, grown, removed; attached to a VM and detached, while it runs too.

`params["volume"]` names the row, which is reserved since the request. A volume that is being made is only trusted once
`params["is_made"]` is written: what an earlier worker left half is removed and made again. A volume that the guest does
not let go of stays attached.
"""

from __future__ import annotations

import time
from contextlib import suppress

from django.db import transaction

from portal.live.publishers import volume_deleted
from portal.volumes.models import Pool, Volume, VolumeState
from tasks.hypervisor.domain_xml import format_disk
from tasks.hypervisor.driver import CallFailed, DomainState, Hypervisor
from tasks.hypervisor.libvirt_storage import COPY_DEADLINE_S
from tasks.sagas import vm_create
from tasks.sagas.engine import Context, Saga, Stage, StageError
from tasks.sagas.poured import end_pour, is_poured, put_poured
from tasks.sagas.rows import keep_params, operation_params, placed, placed_or_none, update_volume
from tasks.sagas.stored import put_volume, take_volume

GIB = 1024**3
LET_GO_S, ASKED_AGAIN_EVERY_S, LOOK_EVERY_S = 20.0, 5.0, 0.1
LIVE = (DomainState.RUNNING, DomainState.PAUSED)
ROWS = Volume.objects.select_related("team", "pool__host", "vm__host", "vm__team")


def volume_or_none(context: Context) -> Volume | None:
    """The operation's volume, if its row is still there."""
    return ROWS.filter(uuid=operation_params(context)["volume"]).first()


def volume_of(context: Context) -> Volume:
    """The operation's volume; a StageError when its row is gone."""
    volume = volume_or_none(context)
    if volume is None:
        raise StageError("the volume is no longer there")
    return volume


def stored(context: Context) -> tuple[Volume, Pool, Hypervisor]:
    """The operation's volume with its pool and the driver of the host that has it."""
    volume = volume_of(context)
    if volume.pool is None:
        raise StageError(f"{volume.name} has no storage pool")
    return volume, volume.pool, context.hypervisors(volume.pool.host)


# Made, copied, grown, removed.


def place(context: Context) -> str:
    with transaction.atomic():
        volume = volume_of(context)
        if volume.pool is None:
            volume.pool = choose_pool(volume)
            update_volume(volume, pool=volume.pool)
    return f"{volume.pool}, {volume.pool.can.words}"


def choose_pool(volume: Volume, is_filled: bool = False) -> Pool:
    """The pool with the most room, on the VM's host where there is one; one that libvirt pours into, for what is to be filled."""
    pools = Pool.objects.select_for_update(of=("self",)).select_related("host").filter(is_offered=True)
    if volume.vm is not None:
        pools = pools.filter(host=volume.vm.host)
    refused, fitting = [], []
    for pool in pools:
        reason = _pool_refusal(pool, volume.size_gib, is_filled)
        refused.append(f"{pool} {reason}") if reason else fitting.append(pool)
    if not fitting:
        raise StageError("no storage pool can take it: " + ("; ".join(refused) or "none is offered there"))
    return max(fitting, key=lambda pool: (pool.available_bytes, -pool.pk))


def _pool_refusal(pool: Pool, size_gib: int, is_filled: bool) -> str:
    if pool.can.has_luns:
        return "gives whole LUNs, to those who name it"
    if is_filled and not pool.can.is_poured:
        return f"is {pool.can.words}, into which libvirt pours nothing"
    if not pool.is_active:
        return "is not active"
    if pool.host.libvirt_error:
        return f"is on a host that does not answer: {pool.host.libvirt_error}"
    if pool.available_bytes < size_gib * GIB:
        return f"has {pool.available_bytes / GIB:.1f} GiB left, {size_gib} GiB are needed"
    return ""


def make(context: Context) -> str:
    volume, pool, hypervisor = stored(context)
    if not operation_params(context).get("is_made"):
        path = _put(context, volume, pool, hypervisor)
        keep_params(context, is_made=True)
        state = VolumeState.ATTACHED if volume.vm_id else VolumeState.AVAILABLE
        update_volume(volume, path=path, state=state)
    return f"{volume.size_gib} GiB in {pool}"


def _put(context: Context, volume: Volume, pool: Pool, hypervisor: Hypervisor) -> str:
    """By what domains name it: empty, or with what its source holds."""
    source = _source(context)
    moment = operation_params(context).get("source_snapshot")
    if source is None:
        return put_volume(hypervisor, volume, pool)
    if moment:
        return put_volume(hypervisor, volume, pool, _frozen_name(source, moment))
    if is_poured(source, volume):
        return put_poured(context, source, volume, hypervisor)
    return put_volume(hypervisor, volume, pool, source.file_name)


def _source(context: Context) -> Volume | None:
    """The volume that is copied: which no running guest has, or of which only what froze at a snapshot is; none for an empty one."""
    params = operation_params(context)
    if not params.get("source_volume"):
        return None
    source = ROWS.filter(uuid=params["source_volume"]).first()
    if source is None:
        raise StageError("the volume to copy is no longer there")
    vm = source.vm
    if params.get("source_snapshot") or vm is None or vm.host is None:
        return source
    if context.hypervisors(vm.host).state(vm.domain) in LIVE:
        raise StageError(f"{vm.name} was started meanwhile and may write to {source.name}: shut it down")
    return source


def _frozen_name(source: Volume, moment: str) -> str:
    found: str | None = source.moments.filter(uuid=moment).values_list("file_name", flat=True).first()
    if not found:
        raise StageError("the snapshot is no longer there")
    return found


def unmake(context: Context) -> None:
    """Neither the volume nor its row is left."""
    volume = volume_or_none(context)
    if volume is None:
        return
    if volume.pool is not None:
        hypervisor = context.hypervisors(volume.pool.host)
        if operation_params(context).get("source_volume"):
            end_pour(hypervisor, volume)
        take_volume(hypervisor, volume)
    forget(context)


def forget(context: Context) -> None:
    """The row is gone; also how a deletion that got past the volume itself ends."""
    with transaction.atomic():
        volume = volume_or_none(context)
        if volume is not None:
            volume_deleted(volume)
            volume.delete()


def grow(context: Context) -> str:
    volume, pool, hypervisor = stored(context)
    vm = volume.vm
    if vm is not None and hypervisor.state(vm.domain) in LIVE and volume.serial in hypervisor.live_disks(vm.domain):
        hypervisor.grow_disk(vm.domain, volume.target, volume.size_gib * GIB)
        hypervisor.refresh_pool(pool.name)
        return f"{volume.size_gib} GiB, the guest has them now"
    hypervisor.grow_volume(pool.name, volume.file_name, volume.size_gib * GIB)
    return f"{volume.size_gib} GiB"


def ungrow(context: Context) -> None:
    """The row has the old size again, but for a volume that has grown: it is never cut, so what it has is what counts."""
    volume = volume_or_none(context)
    if volume is None or volume.pool is None:
        return
    before = int(operation_params(context)["before"]["size_gib"])
    has_gib = 0
    with suppress(CallFailed):  # there is no such volume: nothing has grown
        has_gib = -(-context.hypervisors(volume.pool.host).volume_bytes(volume.pool.name, volume.file_name) // GIB)
    update_volume(volume, size_gib=max(before, has_gib))


def remove(context: Context) -> None:
    volume, pool, hypervisor = stored(context)
    try:
        take_volume(hypervisor, volume)
    except CallFailed as problem:
        if pool.kind == "rbd" and "snapshot" in str(problem):
            raise StageError(f"{problem}. A clone that lies on it has to be deleted first") from None
        raise


def unremove(context: Context) -> None:
    """The host did not take part: the row says that it is there, to be deleted again."""
    if volume := volume_or_none(context):
        update_volume(volume, state=VolumeState.AVAILABLE)


# Attached and detached; `placed` is the operation's VM.


def define(context: Context) -> None:
    vm_create.define(context)


def undefine(context: Context) -> None:
    """The VM has it no more, nor has its definition."""
    if volume := volume_or_none(context):
        update_volume(volume, vm=None, target="", state=VolumeState.AVAILABLE)
    if placed_or_none(context):
        vm_create.define(context)


def undefine_made(context: Context) -> None:
    """As `undefine`; the volume itself, still its VM's, goes with the stage that made it."""
    if placed_or_none(context) and (volume := volume_or_none(context)):
        update_volume(volume, vm=None, target="", state=VolumeState.CREATING)
        vm_create.define(context)


def plug(context: Context) -> str:
    vm, hypervisor, _ = placed(context)
    volume = volume_of(context)
    if hypervisor.state(vm.domain) not in LIVE:
        return "it is off: the disk is there at its next start"
    if volume.bus == "sata":
        raise StageError(f"{vm.name} was started meanwhile, and a SATA disk is not hot-plugged: shut it down first")
    try:
        hypervisor.plug_disk(vm.domain, volume.serial, format_disk(vm_create.disk_spec(volume)))
    except CallFailed as problem:
        if "PCI slots" in str(problem):
            raise StageError(
                "the running machine has no free slot left: it has more after its next start, and a virtio-scsi disk "
                "takes none beyond its controller's"
            ) from None
        raise
    return f"as {volume.target}, serial {volume.serial}"


def unplug(context: Context) -> str:
    """Asked again every 5 s: a guest that boots does not hear the first time."""
    vm, hypervisor, _ = placed(context)
    volume = volume_or_none(context)
    if volume is None or hypervisor.state(vm.domain) not in LIVE:
        return "it is off"
    began, asked = time.monotonic(), -ASKED_AGAIN_EVERY_S
    while volume.serial in hypervisor.live_disks(vm.domain):
        now = time.monotonic() - began
        if now > LET_GO_S:
            raise StageError(
                f"the guest did not let go of the disk within {now:.0f} s: it may still boot, or not know hot-plugging. "
                "Unmount it inside and try again, or shut the VM down first."
            )
        if now - asked >= ASKED_AGAIN_EVERY_S:
            asked = now
            hypervisor.unplug_disk(vm.domain, volume.serial)
        time.sleep(LOOK_EVERY_S)
    return f"after {time.monotonic() - began:.1f} s"


def undo_plug(context: Context) -> None:
    if placed_or_none(context):
        unplug(context)


def plug_again(context: Context) -> None:
    volume = volume_or_none(context)
    if placed_or_none(context) and volume is not None and volume.vm_id is not None:
        plug(context)


def release(context: Context) -> None:
    undefine(context)


MAKE = Stage("make", make, unmake, deadline_s=COPY_DEADLINE_S)
PLUG = Stage("plug", plug, undo_plug)
SAGAS: dict[str, Saga] = {
    "volume.create": (Stage("place", place, forget), MAKE),
    "volume.clone": (Stage("make", make, unmake, deadline_s=COPY_DEADLINE_S),),
    "volume.grow": (Stage("grow", grow, ungrow),),
    "volume.delete": (Stage("remove", remove, unremove, deadline_s=COPY_DEADLINE_S), Stage("release", forget, forget)),
    "vm.volume_add": (Stage("place", place, forget), MAKE, Stage("define", define, undefine_made), PLUG),
    "vm.volume_attach": (Stage("define", define, undefine), PLUG),
    "vm.volume_detach": (Stage("unplug", unplug, plug_again), Stage("release", release)),
}
