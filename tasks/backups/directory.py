"""A store in a folder: a mount of another machine's, best. A mark lies in it, so that a mount that is gone is not
mistaken for it and its disk filled."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from portal.backups.models import FOLDER
from tasks.backups.store import CHUNK_BYTES, Lying, OnBytes, Put, StoreProblem, StoreSeen, is_key, lying_of

MARK, SCRATCH = ".hopsight-store", ".new"


class DirectoryStore:
    """The store in one folder. Files are its owner's alone: they hold what guests' disks hold."""

    def __init__(self, name: str, folder: Path, uuid: UUID) -> None:
        self._name = name
        self._folder = folder
        self._uuid = str(uuid)

    def look(self, may_mark: bool) -> StoreSeen:
        mark = self._folder / MARK
        try:
            if not self._folder.is_dir():
                raise StoreProblem(f"store {self._name}: the folder {self._folder} is not there")
            if not mark.exists() and may_mark:
                self._write(mark, self._uuid.encode())
            if not mark.exists():
                raise StoreProblem(f"store {self._name}: {self._folder} has no {MARK} (any more): is it mounted?")
            if mark.read_text().strip() != self._uuid:
                raise StoreProblem(f"store {self._name}: {self._folder} is another installation's store")
            return StoreSeen(shutil.disk_usage(self._folder).free)
        except OSError as problem:
            raise self._words("look at it", problem) from None

    def put(self, key: str, source: Path, on_bytes: OnBytes) -> Put:
        target, digest, done = self._path(key), hashlib.sha256(), 0
        scratch = target.with_name(target.name + SCRATCH)
        try:
            with source.open("rb") as reader, self._created(scratch) as writer:
                while chunk := reader.read(CHUNK_BYTES):
                    writer.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    on_bytes(done)
                writer.flush()
                os.fsync(writer.fileno())
            os.replace(scratch, target)
        except OSError as problem:
            raise self._words("write to it", problem) from None
        finally:
            scratch.unlink(missing_ok=True)
        return Put(done, digest.hexdigest())

    def put_text(self, key: str, text: str) -> None:
        try:
            self._write(self._path(key), text.encode())
        except OSError as problem:
            raise self._words("write to it", problem) from None

    def read(self, key: str) -> Iterator[bytes]:
        try:
            with self._path(key).open("rb") as reader:
                while chunk := reader.read(CHUNK_BYTES):
                    yield chunk
        except OSError as problem:
            raise self._words("read from it", problem) from None

    def remove_all(self, folder: str) -> None:
        path = self._path(folder)
        try:
            if path.exists():
                shutil.rmtree(path)
            if path.parent.exists() and path.parent.name != FOLDER and not any(path.parent.iterdir()):
                path.parent.rmdir()
        except OSError as problem:
            raise self._words("remove from it", problem) from None

    def inventory(self) -> list[Lying]:
        try:
            found = [path for path in (self._folder / FOLDER).rglob("*") if path.is_file()]
            keys = [(str(path.relative_to(self._folder)), path.stat().st_size) for path in found]
        except OSError as problem:
            raise self._words("look through it", problem) from None
        whole = ((key, size) for key, size in keys if not key.endswith(SCRATCH))
        return lying_of(whole, (key for key, _ in keys if key.endswith(SCRATCH)))

    def end_uploads(self, folder: str) -> None:
        try:
            for path in self._path(folder).glob(f"*{SCRATCH}"):
                path.unlink(missing_ok=True)
        except OSError as problem:
            raise self._words("remove from it", problem) from None

    def _path(self, key: str) -> Path:
        if not is_key(key):
            raise StoreProblem(f"store {self._name}: “{key[:80]}” is no key of ours")
        return self._folder / key

    def _created(self, path: Path) -> BinaryIO:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def _write(self, target: Path, content: bytes) -> None:
        scratch = target.with_name(target.name + SCRATCH)
        with self._created(scratch) as writer:
            writer.write(content)
            writer.flush()
            os.fsync(writer.fileno())
        os.replace(scratch, target)

    def _words(self, what: str, problem: OSError) -> StoreProblem:
        return StoreProblem(f"store {self._name}: could not {what}: {problem.strerror or problem}")
