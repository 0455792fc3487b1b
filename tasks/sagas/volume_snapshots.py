"""A volume's own snapshots as sagas: taken, also of one disk alone of a running guest; gone back to; merged away.

[frozen at monday] ← [frozen at tuesday] ← [what is written: Volume.layer]

The files are those of `layers`, in one tree with what froze with snapshots of its VM. The volume may be attached to a VM that
runs, to one that is off, or to nothing: then nobody has its files open, and the pool's folder is all that is needed.
"""

from __future__ import annotations

from pathlib import Path

from django.db import transaction

from portal.live.publishers import volume_changed
from portal.snapshots.models import Snapshot, SnapshotVolume
from portal.volumes.models import Volume
from tasks.hypervisor.disks import remove_file
from tasks.hypervisor.driver import DomainState, Hypervisor
from tasks.hypervisor.libvirt_snapshots import COMMIT_DEADLINE_S
from tasks.sagas import vm_create
from tasks.sagas.engine import Context, Saga, Stage, StageError
from tasks.sagas.layers import (
    WITH,
    check_seen,
    disk_of,
    drop_before,
    drop_reverted,
    is_part_merged,
    lay,
    lay_on,
    merge_part,
    new_layers,
    open_layers,
    path_of,
    record_frozen,
    record_merged_part,
    record_reverted,
    refresh_pools,
    return_volumes,
    too_many_on,
    unfreeze_part,
)
from tasks.sagas.rows import keep_params, operation_params, placed_or_none
from tasks.sagas.volume import stored, volume_or_none

LIVE = (DomainState.RUNNING, DomainState.PAUSED)


def moment_or_none(context: Context) -> SnapshotVolume | None:
    """The operation's snapshot, with its volume as it is now."""
    return SnapshotVolume.objects.select_related(*WITH).filter(uuid=operation_params(context)["snapshot"]).first()


def _found(context: Context) -> tuple[SnapshotVolume, Volume, Hypervisor]:
    moment, (_, _, hypervisor) = moment_or_none(context), stored(context)
    if moment is None:
        raise StageError("the snapshot is no longer there")
    check_seen(moment.volume)
    return moment, moment.volume, hypervisor


def _hypervisor(context: Context) -> Hypervisor | None:
    volume = volume_or_none(context)
    return context.hypervisors(volume.pool.host) if volume is not None and volume.pool is not None else None


def _is_live(hypervisor: Hypervisor, volume: Volume) -> bool:
    return volume.vm is not None and hypervisor.state(volume.vm.domain) in LIVE


def define(context: Context) -> str:
    """The definition of the VM that has it names the file that is written now."""
    if placed_or_none(context) is None:
        return "it is attached to nothing"
    vm_create.define(context)
    return ""


# Taken.


def freeze(context: Context) -> str:
    moment, volume, hypervisor = _found(context)
    new, disk = path_of(volume, moment.next_file_name), disk_of(volume)
    layers = open_layers(hypervisor, disk)
    if volume.layer != new.name:
        if not layers:
            lay(hypervisor, [moment])
        elif layers[0] != str(new):
            hypervisor.take_snapshot(disk[0], new_layers([moment]))
        with transaction.atomic():
            SnapshotVolume.objects.filter(pk=moment.pk).update(state=Snapshot.State.THERE)
            record_frozen([moment])
    refresh_pools(hypervisor, [volume])
    if layers:
        return "while its VM runs"
    return "while its VM is off" if volume.vm is not None else "while nothing has it"


def melt(context: Context) -> None:
    """The file that was written before is written again, with all that was written since; the snapshot is gone."""
    moment, hypervisor = moment_or_none(context), _hypervisor(context)
    if moment is None or hypervisor is None:
        return
    unfreeze_part(hypervisor, moment)
    define(context)
    refresh_pools(hypervisor, [moment.volume])
    with transaction.atomic():
        moment.delete()
        volume_changed(moment.volume)


# Gone back to.


def switch_back(context: Context) -> str:
    moment, volume, hypervisor = _found(context)
    if _is_live(hypervisor, volume):
        assert volume.vm is not None
        raise StageError(f"{volume.vm.name} was started meanwhile and may write to {volume.name}: shut it down")
    lay_on([moment], context.operation.uuid)
    with transaction.atomic():
        record_reverted([moment], context.operation.uuid)
    refresh_pools(hypervisor, [volume])
    return f"of {moment.created_at:%d %b %H:%M} UTC"


def switch_forth(context: Context) -> None:
    """What was written before is written again, unless it is gone already."""
    params, volume, hypervisor = operation_params(context), volume_or_none(context), _hypervisor(context)
    if params.get("is_dropped") or volume is None or hypervisor is None:
        return
    with transaction.atomic():
        return_volumes([params["before"]])
    define(context)
    drop_reverted(context.operation.uuid, [params["before"]])
    refresh_pools(hypervisor, [volume])


def drop_left(context: Context) -> None:
    """What was written since is lost; from here on there is no way back, which is written down before the file goes."""
    volume, _, hypervisor = stored(context)
    keep_params(context, is_dropped=True)
    drop_before([operation_params(context)["before"]])
    refresh_pools(hypervisor, [volume])


# Merged away.


def merge(context: Context) -> str:
    if operation_params(context).get("is_merged"):
        return "merged"
    moment, volume, hypervisor = _found(context)
    if too_many_on(moment):
        raise StageError(f"more than one layer of {volume.name} lies on it: delete all but one of them first")
    _merge(context, hypervisor, moment)
    return ""


def _merge(context: Context, hypervisor: Hypervisor, moment: SnapshotVolume) -> None:
    open_layers(hypervisor, disk_of(moment.volume))  # a host that is away is met before anything is written
    keep_params(context, is_begun=True)
    left = merge_part(hypervisor, moment)
    with transaction.atomic():
        keep_params(context, is_merged=True, left=str(left))
        record_merged_part(moment)
        volume_changed(moment.volume)


def finish_merge(context: Context) -> None:
    """A merge that went through, on the running guest too, is carried on to its end, whatever failed after it. One that was not
    begun leaves the snapshot there; one that stuck half-way has changed what froze: that can only be deleted again."""
    moment, hypervisor = moment_or_none(context), _hypervisor(context)
    if moment is not None and hypervisor is not None:
        if is_part_merged(hypervisor, moment):
            _merge(context, hypervisor, moment)
        elif not operation_params(context).get("is_begun"):
            with transaction.atomic():
                SnapshotVolume.objects.filter(pk=moment.pk).update(state=Snapshot.State.THERE)
                volume_changed(moment.volume)
    drop(context)


def drop(context: Context) -> None:
    """The layer that was merged is gone, and the definition names what is left."""
    volume, params = volume_or_none(context), operation_params(context)
    hypervisor = _hypervisor(context)
    if not params.get("is_merged") or volume is None or hypervisor is None:
        return
    define(context)
    remove_file(Path(params["left"]))
    refresh_pools(hypervisor, [volume])


SAGAS: dict[str, Saga] = {
    "volume.snapshot": (Stage("freeze", freeze, melt), Stage("define", define)),
    "volume.snapshot_revert": (
        Stage("disk", switch_back, switch_forth),
        Stage("define", define),
        Stage("drop", drop_left),
    ),
    "volume.snapshot_delete": (
        Stage("merge", merge, finish_merge, deadline_s=COMMIT_DEADLINE_S),
        Stage("drop", drop, drop),
    ),
}
