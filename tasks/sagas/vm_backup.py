"""Backups: a VM's disk as it is now, copied by its host beside it, then brought to a store; and their end.

[what the VM writes] --libvirt's backup job--> [hs-….backup on the host] --bytes, SHA-256--> [store]

A running VM's disk is copied while it runs on, with a checkpoint that makes the next copy small; which one a chain is at is
in the rows, and whether it still holds libvirt says. A chain that broke begins anew, with the reason.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from django.db import transaction

from portal.accounts.models import Team
from portal.backups.chain import Wish, choose
from portal.backups.manifest import manifest_of
from portal.backups.models import Backup
from portal.backups.requests import kept_of, those_on
from portal.compute.hardware import disk_target
from portal.compute.models import VM
from portal.live.publishers import vm_changed
from portal.operations.models import Operation
from tasks.backups.store import OnBytes, StoreProblem, opened
from tasks.hypervisor.disks import copy_disk, remove_file, stand_alone
from tasks.hypervisor.driver import CheckpointLost, CopyAsked, DomainState, Hypervisor, HypervisorError
from tasks.sagas.engine import Context, Saga, Stage, StageError, stop_if_cancelled
from tasks.sagas.rows import operation_params, placed, placed_or_none

LIVE = (DomainState.RUNNING, DomainState.PAUSED)
LONG_S, TELL_EVERY_S, LOOK_EVERY_S = 24 * 3600.0, 1.0, 0.1
State, Kind = Backup.State, Backup.Kind


def backup_or_none(context: Context) -> Backup | None:
    rows = Backup.objects.select_related("store", "vm", "parent", "flavor", "image", "team")
    return rows.filter(uuid=operation_params(context)["backup"]).first()


def _backup(context: Context) -> Backup:
    found = backup_or_none(context)
    if found is None:
        raise StageError("the backup's row is no longer there")
    return found


def note_backup(backup: Backup, **columns: object) -> None:
    """Change columns of the row, and tell the VM's page."""
    with transaction.atomic():
        Backup.objects.filter(pk=backup.pk).update(**columns)
        if vm := VM.objects.select_related("team").filter(backups=backup.pk).first():
            vm_changed(vm)


# Taken.


def choose_kind(context: Context) -> str:
    """A store that is not there is told before the host has any work with it."""
    vm, hypervisor, _ = placed(context)
    assert vm.host is not None
    backup, params = _backup(context), operation_params(context)
    opened(backup.store)
    runs = hypervisor.state(vm.domain) in LIVE
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=vm.team_id)
        kept = list(Backup.objects.filter(vm=vm).exclude(state=State.TAKING))
        wish = Wish(backup.store_id, vm.host.name, runs, bool(params["full"]), int(params["full_every"]))
        choice = choose(kept_of(kept), wish)
        kind = Kind.INCREMENTAL if choice.parent else Kind.FULL
        told = {"parent_id": choice.parent or None, "kind": kind, "reason": choice.reason[:200], "host": vm.host.name}
        Backup.objects.filter(pk=backup.pk).update(**told, disk_gib=vm.disk_gib, manifest=manifest_of(backup, vm))
    return f"full: {choice.reason}" if choice.reason else "incremental"


def forget(context: Context) -> None:
    """The row goes, unless it is all that tells of remains in the store."""
    Backup.objects.filter(uuid=operation_params(context)["backup"], state=State.TAKING).delete()


def copy(context: Context) -> str:
    vm, hypervisor, files = placed(context)
    backup = _backup(context)
    scratch = files.beside(backup.scratch_name)
    hypervisor.drop_copy(vm.domain, backup.checkpoint)
    remove_file(scratch)
    if hypervisor.state(vm.domain) in LIVE:
        words = _copy_live(context, hypervisor, vm, backup, scratch)
    else:
        _begin_anew(backup, "the VM is off: only a running one tells what it wrote since")
        copy_disk(files.disk, scratch, "", "")
        words = "while it is off"
    return f"{words}, {scratch.stat().st_size / 1024**2:.1f} MiB"


def _begin_anew(backup: Backup, reason: str) -> None:
    if backup.parent is not None:
        Backup.objects.filter(pk=backup.pk).update(parent=None, kind=Kind.FULL, reason=reason[:200])


def _copy_live(context: Context, hypervisor: Hypervisor, vm: VM, backup: Backup, scratch: Path) -> str:
    target = disk_target(vm.disk_bus, 0)
    since = backup.parent.checkpoint if backup.parent else ""
    words = "what was written since the last one" if since else "while it runs"
    try:
        hypervisor.begin_copy(CopyAsked(vm.domain, target, str(scratch), backup.checkpoint, since))
    except CheckpointLost as problem:
        words = f"begun anew with a full one: {problem}"
        _begin_anew(backup, f"the host lost track of what was written since the last one ({problem})")
        remove_file(scratch)
        hypervisor.begin_copy(CopyAsked(vm.domain, target, str(scratch), backup.checkpoint))
    problem_words = _await_copy(context, hypervisor, vm.domain)
    if problem_words:
        raise StageError(f"{vm.host} could not copy the disk: {problem_words}")
    stand_alone(scratch)
    Backup.objects.filter(pk=backup.pk).update(has_checkpoint=True)
    return words


def _await_copy(context: Context, hypervisor: Hypervisor, domain: str) -> str:
    """Until the host's copy has ended; in words why it did not end well, or ""."""
    told = time.monotonic()
    while not (seen := hypervisor.copy_progress(domain)).has_ended:
        stop_if_cancelled(context)
        if time.monotonic() - told > TELL_EVERY_S:
            context.tell(seen.words)
            told = time.monotonic()
        time.sleep(LOOK_EVERY_S)
    return seen.problem


def uncopy(context: Context) -> None:
    found, backup = placed_or_none(context), backup_or_none(context)
    if found is None or backup is None:
        return
    vm, hypervisor, files = found
    hypervisor.drop_copy(vm.domain, backup.checkpoint)
    remove_file(files.beside(backup.scratch_name))


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
    backup = _backup(context)
    scratch = files.beside(backup.scratch_name)
    put = opened(backup.store).put(backup.disk_key, scratch, telling(context, scratch.stat().st_size))
    Backup.objects.filter(pk=backup.pk).update(size_bytes=put.size_bytes, sha256=put.sha256)
    return f"{put.size_bytes / 1024**2:.1f} MiB to {backup.store.name}, SHA-256 {put.sha256[:12]}…"


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
    backup = _backup(context)
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
    backup = _backup(context)
    Backup.objects.filter(vm=vm, has_checkpoint=True).exclude(pk=backup.pk).update(has_checkpoint=False)
    with suppress(HypervisorError, OSError):
        hypervisor.keep_checkpoint(vm.domain, backup.checkpoint if backup.has_checkpoint else "")
    with suppress(OSError):
        remove_file(files.beside(backup.scratch_name))


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
