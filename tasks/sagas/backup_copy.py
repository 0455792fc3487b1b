"""A backup's first half: the host copies the VM's disk, and volumes of its, beside the disk, all as they are at one moment.

[what the VM writes] --libvirt's backup job--> [hs-….backup on the host]

A running VM's disks are copied while it runs on. One that is off has its disks opened by a QEMU in which no guest runs
(`open_disks`), so that its copies are incremental too. That is written down first (`params["opened"]`): who comes after a
worker that died closes them, and the collector does not take it for a VM that somebody has paused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portal.backups.models import Backup
from portal.compute.hardware import disk_target
from tasks.hypervisor.disks import VMFiles, copy_disk, remove_file, stand_alone
from tasks.hypervisor.driver import CallFailed, CheckpointLost, CopyAsked, DiskCopy, DomainState, Hypervisor
from tasks.sagas import vm_create
from tasks.sagas.awaited import await_copy
from tasks.sagas.engine import Context, StageError
from tasks.sagas.rows import keep_params, operation_params, placed, placed_or_none

LIVE = (DomainState.RUNNING, DomainState.PAUSED)


def backup_or_none(context: Context) -> Backup | None:
    """The operation's backup, if its row is still there."""
    rows = Backup.objects.select_related("store", "vm", "parent", "flavor", "image", "team")
    return rows.prefetch_related("volumes").filter(uuid=operation_params(context)["backup"]).first()


def backup_of(context: Context) -> Backup:
    """The operation's backup; a StageError when its row is gone."""
    found = backup_or_none(context)
    if found is None:
        raise StageError("the backup's row is no longer there")
    return found


def scratches_of(backup: Backup, files: VMFiles) -> list[Path]:
    """The files on the host: its own disk's first, then its volumes'."""
    names = [backup.scratch_name, *(one.scratch_name for one in backup.volumes.all())]
    return [files.beside(name) for name in names]


def copy(context: Context) -> str:
    """What was copied, in words; the row says by then which kind it is."""
    vm, hypervisor, files = placed(context)
    backup = backup_of(context)
    if operation_params(context).get("opened") or hypervisor.state(vm.domain) not in LIVE:
        words = _copy_off(context, backup, files)
    else:
        words = _copy_live(context, backup, files)
    return f"{words}, {sum(path.stat().st_size for path in scratches_of(backup, files)) / 1024**2:.1f} MiB"


def uncopy(context: Context) -> None:
    """Neither its files nor its checkpoint are on the host."""
    found, backup = placed_or_none(context), backup_or_none(context)
    if found is None or backup is None:
        return
    vm, hypervisor, files = found
    with live_again(context):
        hypervisor.drop_copy(vm.domain, backup.checkpoint)
    for path in scratches_of(backup, files):
        remove_file(path)


@contextmanager
def live_again(context: Context) -> Iterator[None]:
    """A VM whose disks were opened for its copy has them open again if its host can, for bitmaps are removed in no other way."""
    if not operation_params(context).get("opened"):
        yield
        return
    try:
        _open(context)
    except CallFailed:  # what libvirt says of checkpoints goes; the bitmap is left in the disk, and hurts nobody
        yield
        return
    try:
        yield
    finally:
        _close(context)


def _copy_off(context: Context, backup: Backup, files: VMFiles) -> str:
    """A host that cannot open the disks of a VM that is off has them copied whole, by qemu-img."""
    try:
        try:
            _open(context)
            return _copy_live(context, backup, files) + ", while it is off"
        finally:
            _close(context)
    except CallFailed as problem:
        words = f"its disks could not be opened while it is off: {problem}"
        if backup.volumes.all():
            raise StageError(f"{words}. Start the VM, or leave its volumes out.") from None
        _begin_anew(backup, words)
        path = files.beside(backup.scratch_name)
        remove_file(path)
        copy_disk(files.disk, path, "", "")
        return "whole, while it is off"


def _open(context: Context) -> None:
    vm, hypervisor, _ = placed(context)
    if hypervisor.state(vm.domain) in LIVE:
        return
    keep_params(context, opened=True)
    vm_create.define(context)
    hypervisor.open_disks(vm.domain)


def _close(context: Context) -> None:
    """A guest that runs by now was let run by somebody behind our back, and is left alone."""
    if found := placed_or_none(context):
        vm, hypervisor, _ = found
        if hypervisor.state(vm.domain) is DomainState.PAUSED:
            hypervisor.destroy(vm.domain)


def _begin_anew(backup: Backup, reason: str) -> None:
    """The backup is a full one, and so is each volume in it; one that was full already keeps its reason."""
    if backup.parent is not None:
        backup.volumes.update(kind=Backup.Kind.FULL)
        Backup.objects.filter(pk=backup.pk).update(parent=None, kind=Backup.Kind.FULL, reason=reason[:200])


def _copy_live(context: Context, backup: Backup, files: VMFiles) -> str:
    vm, hypervisor, _ = placed(context)
    since = backup.parent.checkpoint if backup.parent else ""
    words = "what was written since the last one" if since else "all of it"
    hypervisor.drop_copy(vm.domain, backup.checkpoint)
    try:
        _begin(hypervisor, vm.domain, backup, files, since)
    except CheckpointLost as problem:
        words = f"begun anew with a full one: {problem}"
        _begin_anew(backup, f"the host lost track of what was written since the last one ({problem})")
        _begin(hypervisor, vm.domain, backup, files, "")
    if problem_words := await_copy(context, lambda: hypervisor.copy_progress(vm.domain)):
        raise StageError(f"{vm.host} could not copy the disk: {problem_words}")
    for path in scratches_of(backup, files):
        stand_alone(path)
    Backup.objects.filter(pk=backup.pk).update(has_checkpoint=True)
    return words


def _begin(hypervisor: Hypervisor, domain: str, backup: Backup, files: VMFiles, since: str) -> None:
    for path in scratches_of(backup, files):
        remove_file(path)
    assert backup.vm is not None
    own = DiskCopy(disk_target(backup.vm.disk_bus, 0), str(files.beside(backup.scratch_name)), since)
    volumes = (
        DiskCopy(
            one.target, str(files.beside(one.scratch_name)), since if one.kind == Backup.Kind.INCREMENTAL else "",
            one.is_noted,
        )
        for one in backup.volumes.all()
    )  # fmt: skip
    hypervisor.begin_copy(CopyAsked(domain, backup.checkpoint, (own, *volumes)))
