"""SQLite's write-ahead log is written back by a thread of the worker, not by whichever commit happens to fill it.

SQLite's own way is that the commit which brings the log to 1,000 pages writes them back and waits for the disk, twice: one of
some twenty traces paid tens of milliseconds for it. Nobody waits for this thread, and it waits for nobody (PASSIVE). Without a
worker the log is written back at 64 MiB (`wal_autocheckpoint` in the settings). PostgreSQL does all this by itself.
"""

from __future__ import annotations

import logging
import threading

from django.db import DatabaseError, connection

log = logging.getLogger("hopsight.rows")
EVERY_S = 1.0


def write_back() -> tuple[int, int] | None:
    """(pages in the log, those of them that are in the database's file now); None where the rows lie elsewhere."""
    if connection.vendor != "sqlite":
        return None
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
        _, pages, written = cursor.fetchone()
    return int(pages), int(written)


class WriteBack:
    """Writes back once a second until stopped."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="write-back", daemon=True)

    def start(self) -> None:
        """Begin, where there is something to write back."""
        if connection.vendor == "sqlite":
            self._thread.start()

    def stop(self) -> None:
        """Do it no more."""
        self._stopping.set()

    def _serve(self) -> None:
        while not self._stopping.wait(EVERY_S):
            try:
                write_back()
            except DatabaseError as problem:
                log.warning("the log was not written back problem=%s", problem)
                connection.close()
        connection.close()
