"""The catalogue as the page shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone

from portal.accounts.access import may, team_for
from portal.accounts.models import Team
from portal.compute.models import VM, Image
from portal.images.models import ImageImport
from portal.operations.models import Operation, OperationState

FAILED_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Line:
    """An import that is not an image yet, with its newest operation."""

    row: ImageImport
    operation: Operation | None


def images_of(team: Team) -> QuerySet[Image]:
    """What the team may boot: its own, everybody's, and what is shared with it."""
    return Image.for_team(team).select_related("came_by", "team")


def pending_of(team: Team) -> list[Line]:
    """The team's imports under way and uploads not finished."""
    rows = list(ImageImport.objects.filter(team=team, image=None))
    newest = _newest(row.uuid for row in rows)
    return [Line(row, newest.get(row.uuid)) for row in rows]


def _newest(uuids: Iterable[UUID]) -> dict[UUID, Operation]:
    rows = Operation.objects.filter(object_type="image", object_uuid__in=list(uuids)).order_by("id")
    return {row.object_uuid: row for row in rows}


def failed_of(team: Team) -> list[Operation]:
    """The last day's imports that came to nothing, whose words tell why; those before are in the list of operations."""
    failed = Operation.objects.filter(team=team, kind="image.import", state=OperationState.FAILED)
    return list(failed.filter(finished_at__gt=timezone.now() - FAILED_FOR)[:5])


def looked_at(request: HttpRequest, slug: str) -> Image:
    """An image that the person may look at: any for an operator, else what the current team may boot; 404 for others."""
    plain = slug.encode(errors="replace").decode().replace("\0", "?")
    rows = Image.objects.select_related("team", "came_by")
    if not may(request, "image.look"):
        rows = rows.filter(pk__in=Image.for_team(team_for(request, "image.look")).values("pk"))
    found: Image = get_object_or_404(rows, slug=plain)
    return found


@dataclass(frozen=True, slots=True)
class Users:
    """How many VMs lie on an image: of one team, and of all others."""

    own: int
    others: int


def users_of(image: Image) -> Users:
    """Who lies on the image; deleted VMs that can still be had back too."""
    lying = VM.objects.filter(Q(image=image) | Q(rescue_image=image))
    own = lying.filter(team=image.team_id).count() if image.team_id else 0
    return Users(own, lying.count() - own)


def whose_words(image: Image, team: Team | None) -> str:
    """Whose it is, for a reader of that team."""
    if image.team is None:
        return "everybody’s"
    if team is not None and image.team_id == team.pk:
        return team.name
    return f"shared by {image.team.name}" + (" with everybody" if image.is_public else "")


def image_as_json(row: Image) -> dict[str, Any]:
    """The image as the API shows it."""
    names = ("slug", "name", "note", "os_family", "size_bytes", "min_ram_mib", "min_disk_gib", "login_user")
    shown: dict[str, Any] = {name: getattr(row, name) for name in names}
    return shown | {"team": row.team.slug if row.team else None, "is_public": row.is_public or row.team is None}
