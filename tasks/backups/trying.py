"""A store tried as backups will use it, step by step, so that what is missing shows before a backup needs it."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from django.utils import timezone

from portal.backups.models import FOLDER, BackupStore
from tasks.backups.store import Store, StoreProblem, opened

TRY_FOLDER = f"{FOLDER}/try/"
TRY_BYTES = 8 * 1024**2 + 1  # more than one part of an upload


def try_store(row: BackupStore) -> dict[str, object]:
    """What each step found; those after one that failed are not done. What was written is removed."""
    steps: list[dict[str, object]] = []
    folder = f"{TRY_FOLDER}{uuid4()}"
    problem = ""
    try:
        store = opened(row)
        store.remove_all(TRY_FOLDER.rstrip("/"))  # what a try left that was cut
        steps.append({"step": "reach", "words": "it answers, and is the one that it was"})
        for name, do in _steps(store, folder):
            began = time.monotonic()
            words = do()
            steps.append({"step": name, "words": f"{words} in {time.monotonic() - began:.1f} s"})
    except StoreProblem as found:
        problem = str(found)[:300]
    return {"at": timezone.now().isoformat(), "steps": steps, "problem": problem}


def _steps(store: Store, folder: str) -> list[tuple[str, Callable[[], str]]]:
    key = f"{folder}/disk.qcow2"
    content = os.urandom(TRY_BYTES)

    def write() -> str:
        with tempfile.NamedTemporaryFile(prefix="hopsight-try-") as file:
            file.write(content)
            file.flush()
            store.put(key, Path(file.name), lambda _done: None)
        return f"{TRY_BYTES / 1024**2:.0f} MiB written"

    def read() -> str:
        digest = hashlib.sha256()
        for chunk in store.read(key):
            digest.update(chunk)
        if digest.digest() != hashlib.sha256(content).digest():
            raise StoreProblem("what was read is not what was written")
        return "read back, the same"

    def listed() -> str:
        if folder not in [one.folder for one in store.inventory()]:
            raise StoreProblem("what was written is not in its list")
        return "found in its list"

    def remove() -> str:
        store.remove_all(folder)
        return "removed again"

    return [("write", write), ("read", read), ("list", listed), ("remove", remove)]
