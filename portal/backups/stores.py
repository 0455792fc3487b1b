"""Backup stores as operators set them up. What one finds in a store, the worker finds: pages and API only write the wish.

Only operators name a folder or an endpoint, as the worker then goes there (docs/backups.md). A secret is taken, sealed and
never told again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.accounts.sealing import seal
from portal.backups.models import BackupStore
from portal.backups.places import s3_problems
from portal.compute.requests import VMProblem
from portal.operations.dispatch import enqueue_stores

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
SECRET = re.compile(r"[\x21-\x7e]{8,200}")
ACCESS_KEY = re.compile(r"[\x21-\x7e]{3,128}")
Errors = dict[str, list[str]]
Kind = BackupStore.Kind


@dataclass(frozen=True)
class StoreSpec:
    """What an operator asks for: a folder, or a bucket of an S3-compatible store."""

    name: str
    folder: str = ""
    kind: str = Kind.DIRECTORY.value
    endpoint: str = ""
    bucket: str = ""
    prefix: str = ""
    region: str = ""
    access_key: str = ""
    secret: str = field(default="", repr=False)


def make_store(user: User, spec: StoreSpec) -> BackupStore:
    """The store; the worker looks at it soon. Raises VMProblem with all that is wrong."""
    with transaction.atomic():
        errors = _problems(spec)
        if errors:
            raise VMProblem(errors)
        made = BackupStore.objects.create(name=spec.name, kind=spec.kind, **_columns(spec))
        what = ("backup_store", str(made.uuid), made.name)
        record("backup_store.make", None, user, what, after={"kind": made.kind, "place": made.place})
    transaction.on_commit(enqueue_stores)
    return made


def _columns(spec: StoreSpec) -> dict[str, str]:
    if spec.kind == Kind.DIRECTORY:
        return {"folder": str(PurePosixPath(spec.folder))}
    return {
        "endpoint": spec.endpoint.rstrip("/"), "bucket": spec.bucket, "prefix": spec.prefix.strip("/"),
        "region": spec.region or "us-east-1", "access_key": spec.access_key, "sealed_secret": seal(spec.secret),
    }  # fmt: skip


def _problems(spec: StoreSpec) -> Errors:
    errors: Errors = {}
    if not NAME.fullmatch(spec.name):
        errors["name"] = [
            gettext("“%(spec)s” was given; allowed are 1 to 40 of a-z, 0-9 and -, not at either end")
            % {"spec": spec.name[:40]}
        ]
    elif BackupStore.objects.filter(name=spec.name).exists():
        errors["name"] = [gettext("there is a store %(spec)s already: choose another name") % {"spec": spec.name}]
    if spec.kind == Kind.S3:
        where = (spec.endpoint.rstrip("/"), spec.bucket, spec.prefix.strip("/"))
        return errors | s3_problems(*where, spec.region) | key_problems(spec.access_key, spec.secret)
    if spec.kind != Kind.DIRECTORY:
        errors["kind"] = [
            gettext("“%(kind)s” was given; allowed are %(values)s")
            % {"kind": spec.kind[:20], "values": ", ".join(Kind.values)}
        ]
    elif words := _folder_problem(spec.folder):
        errors["folder"] = [words]
    return errors


def key_problems(access_key: str, secret: str) -> Errors:
    """What is wrong with the two; the secret is not told back."""
    errors: Errors = {}
    if not ACCESS_KEY.fullmatch(access_key):
        errors["access_key"] = [
            gettext("%(count)s characters were given; allowed are 3 to 128 of ASCII without spaces")
            % {"count": len(access_key)}
        ]
    if not SECRET.fullmatch(secret):
        errors["secret"] = [
            gettext("%(count)s characters were given; allowed are 8 to 200 of ASCII without spaces")
            % {"count": len(secret)}
        ]
    return errors


def _folder_problem(folder: str) -> str:
    """Backups are written by root, perhaps: an installation says under which folders stores may be."""
    path, roots = PurePosixPath(folder), [PurePosixPath(root) for root in settings.BACKUP_FOLDERS]
    allowed = ", ".join(str(root) for root in roots)
    if "\0" in folder or len(folder) > 300 or not path.is_absolute() or ".." in path.parts:
        return gettext(
            "“%(folder)s” was given; allowed is an absolute path of at most 300 characters under %(allowed)s"
        ) % {"folder": folder[:60], "allowed": allowed}
    if not any(path.is_relative_to(root) for root in roots):
        return gettext("“%(folder)s” was given; allowed are folders under %(allowed)s (HOPSIGHT_BACKUP_FOLDERS)") % {
            "folder": folder[:60],
            "allowed": allowed,
        }
    if BackupStore.objects.filter(folder=str(path)).exists():
        return gettext("%(path)s is a store already") % {"path": path}
    return ""


def enable_store(store: BackupStore, user: User, is_enabled: bool) -> BackupStore:
    """Whether new backups may go there; what is there stays, and is restored from there."""
    with transaction.atomic():
        fresh = BackupStore.objects.get(pk=store.pk)
        if fresh.is_enabled != is_enabled:
            BackupStore.objects.filter(pk=fresh.pk).update(is_enabled=is_enabled)
            fresh.is_enabled = is_enabled
            record("backup_store.change", None, user, _what(fresh), after={"is_enabled": is_enabled})
        return fresh


def change_keys(store: BackupStore, user: User, access_key: str, secret: str) -> BackupStore:
    """The store is met with these from now on. Raises VMProblem."""
    with transaction.atomic():
        fresh = BackupStore.objects.get(pk=store.pk)
        errors = key_problems(access_key, secret)
        if fresh.kind != Kind.S3:
            errors = {"access_key": [gettext("%(fresh)s is a folder, which has no keys") % {"fresh": fresh.name}]}
        if errors:
            raise VMProblem(errors)
        before, fresh.access_key, fresh.sealed_secret = fresh.access_key, access_key, seal(secret)
        fresh.save(update_fields=["access_key", "sealed_secret"])
        record(
            "backup_store.change", None, user, _what(fresh),
            before={"access_key": before}, after={"access_key": access_key, "secret": "another one"},
        )  # fmt: skip
    transaction.on_commit(enqueue_stores)
    return fresh


def ask_for_try(store: BackupStore, user: User) -> BackupStore:
    """The worker writes, reads, lists and removes something there soon, and keeps what it found."""
    with transaction.atomic():
        fresh = BackupStore.objects.get(pk=store.pk)
        if fresh.try_asked_at is None:
            fresh.try_asked_at = timezone.now()
            fresh.save(update_fields=["try_asked_at"])
            record("backup_store.try", None, user, _what(fresh))
    transaction.on_commit(enqueue_stores)
    return fresh


def remove_store(store: BackupStore, user: User) -> None:
    """The store is known no more; what lies in it is left as it is. Refused while there are backups in it."""
    with transaction.atomic():
        fresh = BackupStore.objects.filter(pk=store.pk).first()
        if fresh is None:
            return
        if count := fresh.backups.count():
            raise VMProblem(
                {
                    "store": [
                        gettext("%(fresh)s has %(count)s backups: delete them first, or let it take no new ones")
                        % {"fresh": fresh.name, "count": count}
                    ]
                }
            )
        record("backup_store.remove", None, user, _what(fresh))
        fresh.delete()


def _what(store: BackupStore) -> tuple[str, str, str]:
    return ("backup_store", str(store.uuid), store.name)
