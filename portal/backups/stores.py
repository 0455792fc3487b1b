"""Backup stores as operators set them up. What one finds in a store, the worker finds: pages and API only write the wish."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from django.conf import settings
from django.db import transaction

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.backups.models import BackupStore
from portal.compute.requests import VMProblem

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
Errors = dict[str, list[str]]


@dataclass(frozen=True)
class StoreSpec:
    """What an operator asks for."""

    name: str
    folder: str


def make_store(user: User, spec: StoreSpec) -> BackupStore:
    """The store; the worker looks at it soon. Raises VMProblem with all that is wrong."""
    with transaction.atomic():
        errors = _problems(spec)
        if errors:
            raise VMProblem(errors)
        made = BackupStore.objects.create(name=spec.name, folder=str(PurePosixPath(spec.folder)))
        what = ("backup_store", str(made.uuid), made.name)
        record("backup_store.make", None, user, what, after={"kind": made.kind, "place": made.place})
        return made


def _problems(spec: StoreSpec) -> Errors:
    errors: Errors = {}
    if not NAME.fullmatch(spec.name):
        errors["name"] = [f"“{spec.name[:40]}” was given; allowed are 1 to 40 of a-z, 0-9 and -, not at either end"]
    elif BackupStore.objects.filter(name=spec.name).exists():
        errors["name"] = [f"there is a store {spec.name} already: choose another name"]
    if words := _folder_problem(spec.folder):
        errors["folder"] = [words]
    return errors


def _folder_problem(folder: str) -> str:
    """Backups are written by root, perhaps: an installation says under which folders stores may be."""
    path, roots = PurePosixPath(folder), [PurePosixPath(root) for root in settings.BACKUP_FOLDERS]
    allowed = ", ".join(str(root) for root in roots)
    if "\0" in folder or len(folder) > 300 or not path.is_absolute() or ".." in path.parts:
        return f"“{folder[:60]}” was given; allowed is an absolute path of at most 300 characters under {allowed}"
    if not any(path.is_relative_to(root) for root in roots):
        return f"“{folder[:60]}” was given; allowed are folders under {allowed} (HOPSIGHT_BACKUP_FOLDERS)"
    if BackupStore.objects.filter(folder=str(path)).exists():
        return f"{path} is a store already"
    return ""


def enable_store(store: BackupStore, user: User, is_enabled: bool) -> BackupStore:
    """Whether new backups may go there; what is there stays, and is restored from there."""
    with transaction.atomic():
        fresh = BackupStore.objects.get(pk=store.pk)
        if fresh.is_enabled != is_enabled:
            BackupStore.objects.filter(pk=fresh.pk).update(is_enabled=is_enabled)
            fresh.is_enabled = is_enabled
            what = ("backup_store", str(fresh.uuid), fresh.name)
            record("backup_store.change", None, user, what, after={"is_enabled": is_enabled})
        return fresh


def remove_store(store: BackupStore, user: User) -> None:
    """The store is known no more; its folder is left as it is. Refused while there are backups in it."""
    with transaction.atomic():
        fresh = BackupStore.objects.filter(pk=store.pk).first()
        if fresh is None:
            return
        if count := fresh.backups.count():
            raise VMProblem(
                {"store": [f"{fresh.name} has {count} backups: delete them first, or let it take no new ones"]}
            )
        record("backup_store.remove", None, user, ("backup_store", str(fresh.uuid), fresh.name))
        fresh.delete()
