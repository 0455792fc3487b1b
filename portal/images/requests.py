"""What people ask of images: import by URL or upload, give up, delete. Checked and stored under the team's row lock."""

from __future__ import annotations

import re
import secrets
import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext, ngettext

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.backups.models import Backup
from portal.compute.models import VM, Image
from portal.compute.os_families import FAMILIES, guessed
from portal.compute.requests import VMProblem
from portal.config.internet import is_inside
from portal.images.models import ImageImport
from portal.images.store import incoming_folder, write_at
from portal.operations.models import UNFINISHED, Operation
from portal.operations.requests import Subject, begin_operation

GIB = 1024**3
FORMATS = ("qcow2", "raw")
CHECKSUM = re.compile(r"[0-9a-f]{64}|[0-9a-f]{128}")
LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
LIMITS = {"min_ram_mib": (16, 1024**2, "MiB"), "min_disk_gib": (1, 16 * 1024, "GiB")}
ABANDONED_AFTER = timedelta(hours=24)
Errors = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """An image as asked for: with a `url`, or the `size_bytes` of what will be uploaded."""

    name: str
    url: str = ""
    size_bytes: int = 0
    disk_format: str = "qcow2"
    checksum: str = ""
    note: str = ""
    login_user: str = "root"
    min_ram_mib: int = 64
    min_disk_gib: int = 1
    os_family: str = ""  # none: as the name tells


def begin_import(team: Team, user: User, spec: ImageSpec) -> tuple[ImageImport, Operation | None]:
    """The import, and its operation when there is a URL; an upload's comes with its last byte. Raises VMProblem."""
    with transaction.atomic():
        locked = Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        left = bytes_left(locked)
        if errors := spec_errors(spec, left):
            raise VMProblem(errors)
        source = ImageImport.Source.URL if spec.url else ImageImport.Source.UPLOAD
        row = begin_row(locked, user, spec, source, min(left, max_bytes()) if spec.url else spec.size_bytes)
        return row, start_image_operation("image.import", row, user) if spec.url else None


def begin_row(team: Team, user: User, spec: ImageSpec, source: str, size_bytes: int) -> ImageImport:
    """The import's row, which holds so much of the team's room from now on."""
    return ImageImport.objects.create(
        team=team, name=spec.name.strip(), slug=_slug(spec.name), note=spec.note.strip(), url=spec.url, source=source,
        disk_format=spec.disk_format, checksum=spec.checksum.lower(), login_user=spec.login_user, created_by=user,
        min_ram_mib=spec.min_ram_mib, min_disk_gib=spec.min_disk_gib, size_bytes=size_bytes,
        os_family=spec.os_family or guessed(spec.name),
    )  # fmt: skip


def max_bytes() -> int:
    """The largest file that is taken."""
    return int(settings.IMAGE_MAX_GIB) * GIB


def bytes_left(team: Team) -> int:
    """What the team has left of its room for images; imports under way hold theirs."""
    used = ImageImport.objects.filter(team=team).aggregate(used=Sum("size_bytes"))["used"] or 0
    return max(0, int(settings.IMAGE_TEAM_GIB) * GIB - used)


def spec_errors(spec: ImageSpec, left: int) -> Errors:
    """Field → what is wrong with it, all at once."""
    errors: Errors = {}
    texts = {"name": (spec.name, 1, 60), "note": (spec.note, 0, 120), "url": (spec.url, 0, 500)}
    for field, (text, least, most) in texts.items():
        if not least <= len(text.strip()) <= most or not text.isprintable():
            errors[field] = [
                gettext("%(count)s characters were given; %(least)s to %(most)s that can be printed are allowed")
                % {"count": len(text), "least": least, "most": most}
            ]
    if spec.disk_format not in FORMATS:
        errors["disk_format"] = [
            gettext("“%(disk_format)s” was given; %(formats)s are allowed")
            % {"disk_format": spec.disk_format[:20], "formats": gettext(" and ").join(FORMATS)}
        ]
    if spec.os_family not in FAMILIES:
        errors["os_family"] = [
            gettext("“%(os_family)s” was given; %(filter)s are allowed")
            % {"os_family": spec.os_family[:20], "filter": ", ".join(filter(None, FAMILIES))}
        ]
    if spec.checksum and not CHECKSUM.fullmatch(spec.checksum.lower()):
        errors["checksum"] = [
            gettext("%(count)s characters; 64 (SHA-256) or 128 (SHA-512) hex digits are allowed")
            % {"count": len(spec.checksum)}
        ]
    if not LOGIN.fullmatch(spec.login_user):
        errors["login_user"] = [
            gettext("“%(login_user)s” was given; allowed are 1 to 32 of a-z, 0-9, _ and -")
            % {"login_user": spec.login_user[:40]}
        ]
    for field, (low, high, unit) in LIMITS.items():
        given = getattr(spec, field)
        if not low <= given <= high:
            errors[field] = [
                gettext("%(given)s %(unit)s were given; %(low)s to %(high)s are allowed")
                % {"given": given, "unit": unit, "low": low, "high": high}
            ]
    if spec.url:
        errors |= {} if "url" in errors else _url_errors(spec.url)
    elif not 0 < spec.size_bytes <= max_bytes():
        errors["size_bytes"] = [
            gettext("%(size_bytes)s bytes were given; 1 to %(max_bytes)s are allowed, or a URL")
            % {"size_bytes": spec.size_bytes, "max_bytes": max_bytes()}
        ]
    if left == 0 or spec.size_bytes > left:
        words = gettext(
            "the team's images may hold %(image_team_gib)s GiB, %(left)s bytes are left: delete one first"
        ) % {"image_team_gib": settings.IMAGE_TEAM_GIB, "left": left}
        errors.setdefault("url" if spec.url else "size_bytes", []).append(words)
    return errors


def _url_errors(url: str) -> Errors:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return {"url": [gettext("this is not a URL")]}
    if parts.username or parts.password:
        return {
            "url": [gettext("a name or password in the URL was given: it would be stored and shown; upload the file")]
        }
    if usable and is_inside(parts.hostname or "", settings.IMAGE_FETCH_ALSO):
        return {"url": [gettext("%(one)s is not on the internet: upload the file instead") % {"one": parts.hostname}]}
    return (
        {}
        if usable
        else {"url": [gettext("“%(url)s” was given; an http:// or https:// address is allowed") % {"url": url[:60]}]}
    )


def receive(row: ImageImport, user: User, offset: int, chunk: bytes) -> ImageImport:
    """The upload with the next bytes; they begin where the last ended. The last one starts the import."""
    with transaction.atomic():
        fresh = ImageImport.objects.select_for_update().select_related("team").get(pk=row.pk)
        if fresh.source != ImageImport.Source.UPLOAD or fresh.is_complete:
            raise VMProblem({"offset": [gettext("%(fresh)s takes no more bytes") % {"fresh": fresh.name}]})
        if offset != fresh.received_bytes:
            raise VMProblem(
                {
                    "offset": [
                        gettext("%(offset)s was given; the next byte is %(received_bytes)s")
                        % {"offset": offset, "received_bytes": fresh.received_bytes}
                    ]
                }
            )
        if not chunk or offset + len(chunk) > fresh.size_bytes:
            words = gettext("%(count)s bytes were given; 1 to %(size_bytes)s are wanted") % {
                "count": len(chunk),
                "size_bytes": fresh.size_bytes - offset,
            }
            raise VMProblem({"body": [words]})
        write_at(fresh.uuid, offset, chunk)
        fresh.received_bytes = offset + len(chunk)
        fresh.save(update_fields=["received_bytes", "touched_at"])
        if fresh.is_complete:
            start_image_operation("image.import", fresh, user)
        return fresh


def abandon(row: ImageImport, user: User | None) -> None:
    """The upload is given up: its bytes and its row are gone. One whose import runs is not touched."""
    with transaction.atomic():
        fresh = ImageImport.objects.select_for_update().select_related("team").filter(pk=row.pk).first()
        if fresh is None:
            return
        if fresh.source != ImageImport.Source.UPLOAD or fresh.is_complete:
            raise VMProblem(
                {
                    "image": [
                        gettext("%(fresh)s is being imported, or is there: wait, or delete the image")
                        % {"fresh": fresh.name}
                    ]
                }
            )
        record("image.abandon", fresh.team, user, ("image", str(fresh.uuid), fresh.name))
        fresh.delete()
        shutil.rmtree(incoming_folder(fresh.uuid), ignore_errors=True)


def abandon_old() -> int:
    """Give up every upload that nobody went on with for a day; how many."""
    old = ImageImport.objects.filter(source="upload", image=None, touched_at__lt=timezone.now() - ABANDONED_AFTER)
    due = [row for row in old if not row.is_complete]
    for row in due:
        abandon(row, None)
    return len(due)


def delete_image(team: Team, user: User, image: Image) -> Operation:
    """The operation that deletes a team's image, which no VM may need any more. Raises VMProblem."""
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        row = ImageImport.objects.filter(image=image, team=team).first()
        if row is None:
            raise VMProblem(
                {"image": [gettext("%(image)s is everybody's: an operator keeps it") % {"image": image.name}]}
            )
        if words := use_words(image):
            raise VMProblem({"image": [f"{image.name} {words}"]})
        running = Operation.objects.filter(object_uuid=row.uuid, kind="image.delete", state__in=UNFINISHED).first()
        return running or start_image_operation("image.delete", row, user)


def use_words(image: Image) -> str:
    """Who needs the image, as words; nothing when nobody does. Disks are overlays: without it they are lost."""
    lying = VM.objects.filter(Q(image=image) | Q(rescue_image=image))
    own = lying.filter(team=image.team_id)
    names = list(own.values_list("name", flat=True)[:4])
    whose = [", ".join(names[:3]) + (gettext(" and more") if len(names) > 3 else "")] if names else []
    if others := lying.exclude(team=image.team_id).count():
        whose.append(
            ngettext(
                "%(count)s VM of teams that it is or was shared with",
                "%(count)s VMs of teams that it is or was shared with",
                others,
            )
            % {"count": others}
        )
    if whose:
        return gettext("is what the disks of %(whose)s lie on") % {"whose": gettext(" and of ").join(whose)}
    if count := Backup.objects.filter(image=image).count():
        return ngettext(
            "is what %(count)s backup would boot with: delete it first",
            "is what %(count)s backups would boot with: delete them first",
            count,
        ) % {"count": count}
    rebuilt = Operation.objects.filter(kind="vm.rebuild", state__in=UNFINISHED, params__before__image=image.pk)
    return gettext("is what a VM is rebuilt from now") if rebuilt.exists() else ""


def start_image_operation(kind: str, row: ImageImport, user: User | None) -> Operation:
    """A queued operation of an import with its stages, published, and sent to a worker on commit."""
    asked = _asked(row) if kind == "image.import" else {}
    after: dict[str, Any] = {"source": row.source, "format": row.disk_format, "url": row.url}
    subject = Subject("image", row.uuid, row.name)
    return begin_operation(kind, row.team, user, subject, asked, after if kind == "image.import" else {})


def _asked(row: ImageImport) -> dict[str, Any]:
    """What a retry needs when the row is gone."""
    names = ("name", "url", "disk_format", "checksum", "note", "login_user", "min_ram_mib", "min_disk_gib", "os_family")
    return {"asked": {name: getattr(row, name) for name in names}}


def _slug(name: str) -> str:
    return f"{slugify(name)[:30] or 'image'}-{secrets.token_hex(4)}"
