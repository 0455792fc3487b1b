"""Backups: a VM's disk as it is now, with volumes of its, copied by its host beside it, then brought to a store; and their end.

[what the VM writes] --libvirt's backup job--> [hs-….backup on the host] --bytes, SHA-256--> [store]

The copy itself is in `backup_copy.py`. A checkpoint makes the next copy small; which one a chain is at is in the rows, and
whether it still holds libvirt says. A chain that broke begins anew, with the reason.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from django.db import transaction

from portal.accounts.models import Team
from portal.backups.chain import Wish, choose
from portal.backups.manifest import manifest_of
from portal.backups.models import Backup, BackupVolume
from portal.backups.requests import kept_of, those_on
from portal.compute.models import VM
from portal.live.publishers import vm_changed
from portal.operations.models import Operation
from portal.volumes.models import Volume
from tasks.backups.store import OnBytes, StoreProblem, opened
from tasks.hypervisor.disks import VMFiles, remove_file
from tasks.hypervisor.driver import HypervisorError
from tasks.sagas.awaited import TELL_EVERY_S
from tasks.sagas.backup_copy import backup_of, backup_or_none, copy, live_again, scratches_of, uncopy
from tasks.sagas.engine import Context, Saga, Stage, stop_if_cancelled
from tasks.sagas.rows import operation_params, placed

LONG_S = 24 * 3600.0
State, Kind = Backup.State, Backup.Kind


def note_backup(backup: Backup, **columns: object) -> None:
    """Change columns of the row, and tell the VM's page."""
    with transaction.atomic():
        Backup.objects.filter(pk=backup.pk).update(**columns)
        if vm := VM.objects.select_related("team").filter(backups=backup.pk).first():
            vm_changed(vm)


# Taken.


def choose_kind(context: Context) -> str:
    """A store that is not there is told before the host has any work with it."""
    vm, _, _ = placed(context)
    assert vm.host is not None
    backup, params = backup_of(context), operation_params(context)
    opened(backup.store)
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=vm.team_id)
        kept = list(Backup.objects.filter(vm=vm).exclude(state=State.TAKING))
        wish = Wish(backup.store_id, vm.host.name, bool(params["full"]), int(params["full_every"]))
        choice = choose(kept_of(kept), wish)
        kind = Kind.INCREMENTAL if choice.parent else Kind.FULL
        told = {"parent_id": choice.parent or None, "kind": kind, "reason": choice.reason[:200], "host": vm.host.name}
        names = _keep_volumes(backup, vm, choice.parent, params.get("chosen"))
        backup = backup_of(context)
        Backup.objects.filter(pk=backup.pk).update(**told, disk_gib=vm.disk_gib, manifest=manifest_of(backup, vm))
    words = f"full: {choice.reason}" if choice.reason else "incremental"
    return f"{words}; with {', '.join(names)}" if names else words


def _keep_volumes(backup: Backup, vm: VM, parent: int, chosen: list[str] | None) -> list[str]:
    """The names of the volumes that it takes: of those chosen (None: all) what the VM has now."""
    before = {one.volume_uuid: one for one in BackupVolume.objects.filter(backup=parent)}
    backup.volumes.all().delete()
    names = []
    for volume in vm.volumes.select_related("pool").exclude(path="").order_by("target"):
        if chosen is None or str(volume.uuid) in chosen:
            is_more = _goes_on(before.get(volume.uuid), volume)
            BackupVolume.objects.create(
                backup=backup, volume_uuid=volume.uuid, name=volume.name, size_gib=volume.size_gib, bus=volume.bus,
                target=volume.target, disk_format=_format_of(volume), kind=Kind.INCREMENTAL if is_more else Kind.FULL,
            )  # fmt: skip
            names.append(volume.name)
    return names


def _goes_on(before: BackupVolume | None, volume: Volume) -> bool:
    """Whether the checkpoint of the last backup tells what was written to the volume since: it is where it was then."""
    return before is not None and before.is_noted and before.target == volume.target and _format_of(volume) == "qcow2"


def _format_of(volume: Volume) -> str:
    return volume.pool.can.disk_format if volume.pool is not None else "raw"


def forget(context: Context) -> None:
    """The row goes, unless it is all that tells of remains in the store."""
    Backup.objects.filter(uuid=operation_params(context)["backup"], state=State.TAKING).delete()


def telling(context: Context, total: int) -> OnBytes:
    """Tells how far a copy of so many bytes is, once a second, and ends it when somebody asked to cancel."""
    told = time.monotonic()

    def on_bytes(done: int) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_EVERY_S:
            told = time.monotonic()
            stop_if_cancelled(context)
            context.tell(f"{100 * done / max(1, total):.0f}% of {total / 1024**2:.0f} MiB")

    return on_bytes


def bring(context: Context) -> str:
    _, _, files = placed(context)
    backup = backup_of(context)
    total = sum(path.stat().st_size for path in scratches_of(backup, files))
    on_bytes, store, before = telling(context, total), opened(backup.store), 0
    for row, path in _rows_with_files(backup, files):
        put = store.put(row.disk_key, path, partial(after, on_bytes, before))
        type(row)._default_manager.filter(pk=row.pk).update(size_bytes=put.size_bytes, sha256=put.sha256)
        before += put.size_bytes
    return f"{total / 1024**2:.1f} MiB to {backup.store.name}"


def _rows_with_files(backup: Backup, files: VMFiles) -> list[tuple[Backup | BackupVolume, Path]]:
    return list(zip((backup, *backup.volumes.all()), scratches_of(backup, files), strict=True))


def after(on_bytes: OnBytes, before: int, done: int) -> None:
    """Tells of a file that comes after so many bytes of others."""
    on_bytes(before + done)


def unbring(context: Context) -> None:
    """A store that does not answer holds up no VM: what lies there is kept as a row, to be deleted when it does."""
    backup = backup_or_none(context)
    if backup is None:
        return
    try:
        opened(backup.store).remove_all(backup.key)
    except StoreProblem as problem:
        words = f"it was not finished, and its remains could not be removed: {problem}"
        note_backup(backup, state=State.DAMAGED, problem=words[:300], has_checkpoint=False)


def publish(context: Context) -> str:
    backup = backup_of(context)
    text = json.dumps(manifest_of(backup, backup.vm), indent=2, sort_keys=True)
    opened(backup.store).put_text(backup.manifest_key, text)
    manifest = manifest_of(backup, backup.vm)
    note_backup(backup, state=State.THERE, manifest=manifest, host=_host_of(backup))
    return backup.get_kind_display().lower() + (f" on {backup.parent}" if backup.parent else "")


def _host_of(backup: Backup) -> str:
    return backup.vm.host.name if backup.vm and backup.vm.host else ""


def unpublish(context: Context) -> None:
    """It is not offered any more; its files go with the stage before."""
    if (backup := backup_or_none(context)) is not None:
        note_backup(backup, state=State.TAKING)


def tidy(context: Context) -> None:
    """A host that goes away now keeps a checkpoint too many, until the next backup; nothing is lost by it."""
    vm, hypervisor, files = placed(context)
    backup = backup_of(context)
    Backup.objects.filter(vm=vm, has_checkpoint=True).exclude(pk=backup.pk).update(has_checkpoint=False)
    with suppress(HypervisorError, OSError), live_again(context):
        hypervisor.keep_checkpoint(vm.domain, backup.checkpoint if backup.has_checkpoint else "")
    for path in scratches_of(backup, files):
        with suppress(OSError):
            remove_file(path)


# Deleted.


def remove(context: Context) -> str:
    """Those that lie on it first, so that what is there can be restored whenever this is cut."""
    backup = backup_or_none(context)
    if backup is None:
        return "gone"
    doomed = those_on(backup)
    store = opened(backup.store)
    for one in doomed:
        store.remove_all(one.key)
        with transaction.atomic():
            parent, vm = one.parent, one.vm
            one.delete()
            if parent is not None:
                Backup.objects.filter(pk=parent.pk).update(has_checkpoint=False)
            if vm is not None:
                vm_changed(vm)
    return f"{len(doomed)} removed from {backup.store.name}"


def keep_the_rest(context: Context) -> None:
    """What was not reached stays, marked, to be deleted again: whether its files are whole nobody has looked."""
    backup = backup_or_none(context)
    for one in those_on(backup) if backup is not None else ():
        error = Operation.objects.values_list("error", flat=True).get(pk=context.operation.pk)
        note_backup(one, state=State.DAMAGED, problem=f"its deletion did not end: {error}"[:300])


SAGAS: dict[str, Saga] = {
    "vm.backup": (
        Stage("choose", choose_kind, forget),
        Stage("copy", copy, uncopy, deadline_s=LONG_S),
        Stage("store", bring, unbring, deadline_s=LONG_S),
        Stage("publish", publish, unpublish),
        Stage("tidy", tidy),
    ),
    "backup.delete": (Stage("remove", remove, keep_the_rest, deadline_s=LONG_S),),
}
