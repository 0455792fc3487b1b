"""Backup stores, into rows: whether each is there, and how much room it has."""

from __future__ import annotations

import logging

from django.utils import timezone

from portal.backups.models import BackupStore
from tasks.backups.store import StoreProblem, store_of

log = logging.getLogger("hopsight.backups")


def look_at_stores() -> None:
    """Look at every store once; a new one is given our mark, by which it is known from then on."""
    for row in BackupStore.objects.all():
        look_at(row)


def look_at(row: BackupStore) -> None:
    """Keep what one store is now."""
    now = timezone.now()
    rows = BackupStore.objects.filter(pk=row.pk)
    try:
        seen = store_of(row).look(may_mark=not row.is_marked)
    except StoreProblem as problem:
        if str(problem) != row.problem:
            log.warning("store not usable store=%s problem=%s", row.name, problem)
        rows.update(problem=str(problem)[:300], seen_at=now)
    else:
        rows.update(problem="", free_bytes=seen.free_bytes, is_marked=True, seen_at=now)
