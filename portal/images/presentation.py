"""The catalogue as the page shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet

from portal.accounts.models import Team
from portal.compute.models import Image
from portal.images.models import ImageImport
from portal.operations.models import Operation


@dataclass(frozen=True, slots=True)
class Line:
    """An import that is not an image yet, with its newest operation."""

    row: ImageImport
    operation: Operation | None


def images_of(team: Team) -> QuerySet[Image]:
    """What the team may boot: its own and everybody's."""
    return Image.objects.filter(Q(team=None) | Q(team=team)).select_related("came_by")


def pending_of(team: Team) -> list[Line]:
    """The team's imports under way and uploads not finished."""
    rows = list(ImageImport.objects.filter(team=team, image=None))
    newest = _newest(row.uuid for row in rows)
    return [Line(row, newest.get(row.uuid)) for row in rows]


def _newest(uuids: Iterable[UUID]) -> dict[UUID, Operation]:
    rows = Operation.objects.filter(object_type="image", object_uuid__in=list(uuids)).order_by("id")
    return {row.object_uuid: row for row in rows}


def failed_of(team: Team) -> list[Operation]:
    """The last imports that came to nothing, whose words tell why."""
    return list(Operation.objects.filter(team=team, kind="image.import", state="failed")[:5])
