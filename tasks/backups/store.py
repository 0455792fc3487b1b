"""A store of backups, as the worker meets it: whole objects by key, put, read and removed. A key is made of uuids and our own words.

Each may be asked twice: what is put is there wholly or not at all, and what is gone may be removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from portal.backups.models import BackupStore
from tasks.sagas.engine import StageError

CHUNK_BYTES = 1024**2
OnBytes = Callable[[int], None]  # how many so far; what it raises ends the copy


class StoreProblem(StageError):
    """A store did not do what was asked; in words, which name it and hold none of its secrets."""


@dataclass(frozen=True, slots=True)
class Put:
    """What was put: its size, and the SHA-256 of what was read on the way."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """What a look at a store found. `free_bytes` None: it does not tell."""

    free_bytes: int | None


class Store(Protocol):
    """One store."""

    def look(self, may_mark: bool) -> StoreSeen:
        """Whether it is there and is the one that it was; a new one is given our mark if that is allowed."""

    def put(self, key: str, source: Path, on_bytes: OnBytes) -> Put:
        """The file's bytes under that key."""

    def put_text(self, key: str, text: str) -> None:
        """A small text under that key."""

    def read(self, key: str) -> Iterator[bytes]:
        """The object's bytes, in chunks."""

    def remove_all(self, folder: str) -> None:
        """Nothing is left under that folder of keys."""


def store_of(row: BackupStore) -> Store:
    """The store of a row, which has been looked at: one that is not what it was is refused."""
    from tasks.backups.directory import DirectoryStore

    return DirectoryStore(row.name, Path(row.folder), row.uuid)


def opened(row: BackupStore) -> Store:
    """The store, ready: it is there, and has our mark."""
    store = store_of(row)
    store.look(may_mark=not row.is_marked)
    return store
