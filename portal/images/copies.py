"""Copies of images on hosts, as operators see and ask for them; the worker pulls and evicts (tasks/images/copies.py)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, QuerySet
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.compute.models import VM, Image
from portal.compute.requests import VMProblem
from portal.hosts.models import Host
from portal.images.models import ImageCopy
from portal.operations.dispatch import enqueue_image_copies
from portal.operations.models import UNFINISHED, Operation

GRACE = timedelta(minutes=10)  # a disk may be in the making on what was used so lately


@dataclass(frozen=True, slots=True)
class CopyLine:
    """A copy with how many VMs of its host lie on its image, and why it cannot be evicted now, or ""."""

    row: ImageCopy
    vms: int
    refusal: str


@dataclass(frozen=True, slots=True)
class Uses:
    """What may need copies: VMs by their hosts' folder and image, images that VMs are rebuilt from, moves by host and image."""

    lying: dict[tuple[str, int], int]
    rebuilt: frozenset[int]
    coming: frozenset[tuple[str, int]]


def copies(rows: QuerySet[ImageCopy]) -> list[CopyLine]:
    """The copies as pages show them."""
    found = list(rows.select_related("image__team", "host"))
    uses = _uses([row.image_id for row in found])
    return [CopyLine(row, _vms(row, uses), _need_words(row, uses)) for row in found]


def need_words(row: ImageCopy) -> str:
    """Why the copy must stay, or "": a VM's disk lies on it, or may soon. Hosts that share a folder share the file."""
    return _need_words(row, _uses([row.image_id]))


def _need_words(row: ImageCopy, uses: Uses) -> str:
    if row.state == ImageCopy.State.WANTED:
        return ""
    if count := _vms(row, uses):
        return ngettext("%(count)s VM of this host lies on it", "%(count)s VMs of this host lie on it", count) % {
            "count": count
        }
    if row.image_id in uses.rebuilt or (row.host.name, row.image_id) in uses.coming:
        return gettext("a VM is being rebuilt or moved that may need it")
    if row.used_at is not None and timezone.now() - row.used_at < GRACE:
        return gettext("a disk was made on it within the last ten minutes")
    return ""


def _vms(row: ImageCopy, uses: Uses) -> int:
    return uses.lying.get((row.host.disks_dir, row.image_id), 0)


def _uses(images: list[int]) -> Uses:
    """In four queries, however many copies there are; deleted VMs that can be had back count too."""
    lying: Counter[tuple[str, int]] = Counter()
    for column in ("image_id", "rescue_image_id"):
        rows = VM.objects.filter(host__isnull=False, **{f"{column}__in": images}).order_by()
        for folder, image, count in rows.values_list("host__disks_dir", column).annotate(count=Count("id")):
            lying[folder, image] += count
    unfinished = Operation.objects.filter(state__in=UNFINISHED)
    rebuilds = unfinished.filter(kind="vm.rebuild").values_list("params__before__image", flat=True)
    moving = dict(unfinished.filter(kind="vm.migrate").values_list("object_uuid", "params__to"))
    of_moving = VM.objects.filter(uuid__in=moving).values_list("uuid", "image_id")
    coming = frozenset((str(moving[uuid]), image) for uuid, image in of_moving)
    return Uses(dict(lying), frozenset(rebuilds), coming)


def want_copy(image: Image, host: Host, user: User) -> ImageCopy:
    """The copy, or the wish for it, which a worker fulfils. Raises VMProblem."""
    if not image.disk_path:
        raise VMProblem({"image": [gettext("%(image)s has no file: there is nothing to pull") % {"image": image.name}]})
    with transaction.atomic():
        Host.objects.select_for_update(no_key=True).get(pk=host.pk)
        known = ImageCopy.objects.filter(image=image, host=host).exclude(state=ImageCopy.State.LEAVING).first()
        if known is not None:
            return known
        row = ImageCopy.objects.create(image=image, host=host, state=ImageCopy.State.WANTED)
        record("image.pull", image.team, user, ("image", image.slug, image.name), after={"host": host.name})
        transaction.on_commit(enqueue_image_copies)
        return row


def evict_copy(row: ImageCopy, user: User) -> None:
    """Ask to remove the copy, or take back the wish for one. Raises VMProblem with what needs it."""
    with transaction.atomic():
        fresh = (
            ImageCopy.objects.select_for_update(of=("self",)).select_related("image__team", "host").filter(pk=row.pk)
        )
        found = fresh.first()
        if found is None or found.state == ImageCopy.State.LEAVING:
            return
        if words := need_words(found):
            raise VMProblem({"copy": [f"{found} stays: {words}"]})
        what = ("image", found.image.slug, found.image.name)
        record("image.evict", found.image.team, user, what, before={"host": found.host.name})
        if found.state == ImageCopy.State.WANTED:
            found.delete()
            return
        ImageCopy.objects.filter(pk=found.pk).update(state=ImageCopy.State.LEAVING, words="")
        transaction.on_commit(enqueue_image_copies)


def copy_as_json(line: CopyLine) -> dict[str, Any]:
    """The copy as the API shows it."""
    names = ("id", "state", "size_bytes", "came_from", "words", "pulled_at", "used_at")
    shown: dict[str, Any] = {name: getattr(line.row, name) for name in names}
    return shown | {
        "image": line.row.image.slug, "host": line.row.host.name, "vms": line.vms, "needed": line.refusal,
    }  # fmt: skip
