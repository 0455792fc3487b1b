"""A store of backups, as the worker meets it: whole objects by key, put, read and removed. A key is made of uuids and our own words.

Each may be asked twice: what is put is there wholly or not at all, and what is gone may be removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from portal.accounts.sealing import SealBroken, unseal
from portal.backups.models import FOLDER, BackupStore
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


@dataclass(frozen=True, slots=True)
class Lying:
    """What lies in a store under one backup's folder; `uploads` are files that are not whole."""

    folder: str
    files: int
    size_bytes: int
    uploads: int


def is_key(key: str) -> bool:
    """Whether it may be a key of ours."""
    parts = Path(key).parts
    return bool(parts) and parts[0] == FOLDER and ".." not in parts


def lying_of(files: Iterable[tuple[str, int]], uploads: Iterable[str]) -> list[Lying]:
    """Keys with their sizes, and keys that are not whole yet, told by backup."""
    sums: dict[str, list[int]] = {}
    for key, size in files:
        one = sums.setdefault("/".join(key.split("/")[:3]), [0, 0, 0])
        one[0] += 1
        one[1] += size
    for key in uploads:
        sums.setdefault("/".join(key.split("/")[:3]), [0, 0, 0])[2] += 1
    return [Lying(folder, *one) for folder, one in sorted(sums.items())]


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
        """Nothing is left under that folder of keys, uploads that did not end neither."""

    def inventory(self) -> list[Lying]:
        """All that lies there and has our name."""

    def end_uploads(self, folder: str) -> None:
        """What is not whole under that folder goes."""


def store_of(row: BackupStore) -> Store:
    """The store of a row, which has been looked at: one that is not what it was is refused."""
    from tasks.backups.directory import DirectoryStore

    if row.kind == BackupStore.Kind.DIRECTORY:
        return DirectoryStore(row.name, Path(row.folder), row.uuid)
    return _s3_of(row)


def _s3_of(row: BackupStore) -> Store:
    from tasks.backups.s3 import Access, S3Store

    try:
        secret = unseal(row.sealed_secret)
    except SealBroken:
        words = (
            "its secret cannot be read, as this installation's own key (HOPSIGHT_SECRET) is another one: give it again"
        )
        raise StoreProblem(f"store {row.name}: {words}") from None
    access = Access(row.endpoint, row.region, row.access_key, secret)
    return S3Store(row.name, access, row.bucket, row.prefix, row.uuid)


def opened(row: BackupStore) -> Store:
    """The store, ready: it is there, and has our mark."""
    store = store_of(row)
    store.look(may_mark=not row.is_marked)
    return store
