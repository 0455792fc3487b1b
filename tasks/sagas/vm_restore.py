"""A new VM from a backup: its chain is fetched, compared with the checksums that were written down, and made one disk.

[store: full] [store: what was written since] … --bytes, SHA-256--> [hs-…-0.fetched] ← [hs-…-1.fetched] … --convert--> [disk]
"""

from __future__ import annotations

import hashlib
import os
from functools import partial
from itertools import pairwise
from pathlib import Path

from portal.backups.models import Backup, BackupVolume
from portal.backups.restores import links_of
from tasks.backups.store import OnBytes, opened
from tasks.hypervisor.disks import copy_disk, grow_file, rebase_offline, remove_file
from tasks.sagas import vm_create
from tasks.sagas.backup_copy import backup_or_none
from tasks.sagas.engine import Context, Saga, Stage, StageError
from tasks.sagas.restored_volumes import links_with_files, make_volumes, unmake_volumes, unplace
from tasks.sagas.rows import placed, placed_or_none
from tasks.sagas.vm_backup import LONG_S, after, note_backup, telling
from tasks.sagas.vm_change import CREATED

State = Backup.State


def _links(context: Context) -> list[Backup]:
    backup = backup_or_none(context)
    links = links_of(backup) if backup is not None else []
    if not links or links[0].parent_id:
        raise StageError("the backup, or what it lies on, is no longer there")
    return links


def _fetched(disk: Path, stem: str, number: int) -> Path:
    return disk.with_name(f"{stem}-{number}.fetched")


def fetch(context: Context) -> str:
    vm, _, files = placed(context)
    links = _links(context)
    own = [(one, _fetched(files.disk, vm.domain, number)) for number, one in enumerate(links)]
    wanted: list[tuple[Backup | BackupVolume, Path]] = [*own, *links_with_files(context, links, files)]
    total, before = sum(one.size_bytes for one, _ in wanted), 0
    on_bytes = telling(context, total)
    files.disk.parent.mkdir(parents=True, exist_ok=True)
    for one, path in wanted:
        _fetch_one(one, path, partial(after, on_bytes, before))
        before += one.size_bytes
    return f"{len(wanted)} of {links[0].store.name}, {total / 1024**2:.1f} MiB, as they were written"


def _fetch_one(one: Backup | BackupVolume, target: Path, on_bytes: OnBytes) -> None:
    """That disk as that file, its bytes being those that were put; complete or not there."""
    if target.exists():
        return
    backup = one if isinstance(one, Backup) else one.backup
    scratch = target.with_name(target.name + ".new")
    scratch.unlink(missing_ok=True)
    digest, done = hashlib.sha256(), 0
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writer:
        for chunk in opened(backup.store).read(one.disk_key):
            digest.update(chunk)
            writer.write(chunk)
            done += len(chunk)
            on_bytes(done)
    if digest.hexdigest() != one.sha256:
        words = (
            f"{done} bytes with SHA-256 {digest.hexdigest()[:12]}… are in the store; "
            f"{one.size_bytes} with {one.sha256[:12]}… were put there"
        )
        words = words if one is backup else f"volume {one}: {words}"
        note_backup(backup, state=State.DAMAGED, problem=words)
        raise StageError(f"the backup {backup} is damaged: {words}")
    os.replace(scratch, target)


def unfetch(context: Context) -> None:
    if found := placed_or_none(context):
        vm, _, files = found
        for path in files.disk.parent.glob(f"{vm.domain}-*.fetched*"):
            path.unlink(missing_ok=True)


def volumes(context: Context) -> str:
    return make_volumes(context, _links(context))


def make_disk(context: Context) -> str:
    vm, _, files = placed(context)
    links = [_fetched(files.disk, vm.domain, number) for number in range(len(_links(context)))]
    if not files.disk.exists():
        for below, above in pairwise(links):
            rebase_offline(above, below)
        copy_disk(links[-1], files.disk, "", "")
        grow_file(files.disk, vm.disk_gib)
    for path in links:
        remove_file(path)
    return f"{vm.disk_gib} GiB, {files.disk.stat().st_size / 1024**2:.1f} MiB of it written"


SAGAS: dict[str, Saga] = {
    "vm.restore": (
        Stage("place", vm_create.place, unplace),
        Stage("fetch", fetch, unfetch, deadline_s=LONG_S),
        Stage("disk", make_disk, vm_create.unmake_disk, deadline_s=LONG_S),
        Stage("volumes", volumes, unmake_volumes, deadline_s=LONG_S),
        Stage("seed", vm_create.write_seed, vm_create.unwrite_seed),
        *CREATED,
    ),
}
