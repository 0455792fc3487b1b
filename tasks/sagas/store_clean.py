"""Removing what no backup explains from a store, as an operator ticked it. Each is looked at again right before it goes: what
a backup explains by then stays, and the operation says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from portal.backups.models import BackupStore
from tasks.backups.look import STRAYS_TOLD, strays_of
from tasks.backups.store import Store, is_key, opened
from tasks.sagas.engine import Context, Saga, Stage, StageError
from tasks.sagas.rows import keep_params, operation_params

LONG_S = 3600.0


@dataclass(frozen=True, slots=True)
class Removed:
    """What became of one; `kept` says why it stayed, nothing when it went."""

    folder: str
    kept: str = ""
    freed_bytes: int = 0


def look(context: Context) -> str:
    row, store = _store(context)
    there, asked = _strays(row, store), _asked(context)
    return f"{len(asked & set(there))} of {len(asked)} are still there, and no backup explains them"


def remove(context: Context) -> str:
    """What an earlier worker removed is not there any more, and is no matter."""
    row, store = _store(context)
    asked, results = sorted(_asked(context)), []
    for number, folder in enumerate(asked):
        results.append(_remove_one(row, store, folder))
        context.tell(f"{number + 1} of {len(asked)}")
    left = strays_of(row, store)[:STRAYS_TOLD]
    BackupStore.objects.filter(pk=row.pk).update(strays=left, listed_at=timezone.now())
    _note(context, results)
    kept = [one for one in results if one.kept]
    freed = sum(one.freed_bytes for one in results)
    words = f"{len(results) - len(kept)} removed, {freed / 1024**2:.0f} MiB freed"
    return words + "".join(f"; {one.folder} stays: {one.kept}" for one in kept)


def _remove_one(row: BackupStore, store: Store, folder: str) -> Removed:
    there = _strays(row, store)
    if folder not in there:
        is_there = folder in {one.folder for one in store.inventory()}
        return Removed(folder, "a backup explains it now" if is_there else "")
    if not is_key(folder) or len(folder.split("/")) != 3:
        return Removed(folder, "it is no folder of a backup: remove it by hand if you know better")
    store.remove_all(folder)
    return Removed(folder, freed_bytes=there[folder])


def _strays(row: BackupStore, store: Store) -> dict[str, int]:
    return {str(one["folder"]): int(str(one["size_bytes"])) for one in strays_of(row, store)}


def _store(context: Context) -> tuple[BackupStore, Store]:
    row = BackupStore.objects.filter(uuid=context.operation.object_uuid).first()
    if row is None:
        raise StageError(f"the store {context.operation.object_name} is no longer known")
    return row, opened(row)


def _asked(context: Context) -> set[str]:
    return set(operation_params(context)["folders"])


def _note(context: Context, results: list[Removed]) -> None:
    told = [[one.folder, one.kept or "removed"] for one in results]
    keep_params(context, results=told)


SAGAS: dict[str, Saga] = {
    "store.clean": (Stage("look", look, deadline_s=LONG_S), Stage("remove", remove, deadline_s=LONG_S)),
}
