"""Backup stores, into rows: whether each is there, how much room it has, and what lies in it that no backup explains."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.utils import timezone

from portal.backups.models import Backup, BackupStore
from tasks.backups.store import Lying, Store, StoreProblem, store_of
from tasks.backups.trying import TRY_FOLDER, try_store

log = logging.getLogger("hopsight.backups")
LIST_EVERY = timedelta(hours=1)  # a store is looked through, which may be many requests
STRAYS_TOLD = 50


def look_at_stores() -> None:
    """Look at every store once; a new one is given our mark, by which it is known from then on."""
    for row in BackupStore.objects.all():
        look_at(row)


def look_at(row: BackupStore) -> None:
    """Keep what one store is now; once in a while also what lies in it, and what a try finds that somebody asked for."""
    now = timezone.now()
    rows = BackupStore.objects.filter(pk=row.pk)
    if row.try_asked_at is not None and rows.filter(try_asked_at=row.try_asked_at).update(try_asked_at=None):
        rows.update(tried=try_store(row))
    try:
        store = store_of(row)
        seen = store.look(may_mark=not row.is_marked)
        rows.update(free_bytes=seen.free_bytes, is_marked=True)
        if row.listed_at is None or row.try_asked_at is not None or now - row.listed_at > LIST_EVERY:
            rows.update(strays=strays_of(row, store)[:STRAYS_TOLD], listed_at=now)
    except StoreProblem as problem:
        if str(problem)[:300] != row.problem:
            log.warning("store not usable store=%s problem=%s", row.name, problem)
        rows.update(problem=str(problem)[:300], seen_at=now)
    else:
        rows.update(problem="", seen_at=now)


def strays_of(row: BackupStore, store: Store) -> list[dict[str, object]]:
    """Folders of ours in the store that no row explains. Uploads that nobody is at are ended; files are left alone."""
    lying = store.inventory()
    known = {one.key: one.state for one in Backup.objects.filter(store=row).only("uuid", "vm_uuid", "state")}
    for one in lying:
        if one.uploads and known.get(one.folder) != Backup.State.TAKING and not one.folder.startswith(TRY_FOLDER):
            log.warning("uploads ended store=%s folder=%s count=%s", row.name, one.folder, one.uploads)
            store.end_uploads(one.folder)
    strays = [one for one in lying if one.files and one.folder not in known and not one.folder.startswith(TRY_FOLDER)]
    return [_as_json(one) for one in strays]


def _as_json(one: Lying) -> dict[str, object]:
    return {"folder": one.folder, "files": one.files, "size_bytes": one.size_bytes}
