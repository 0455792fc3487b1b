"""Operations that nobody takes: what tells a person that the workers are busy, or that there are none."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet

from portal.operations.models import UNFINISHED, Operation, OperationState

WAITING_FOR = timedelta(seconds=30)


def not_taken(at: datetime) -> QuerySet[Operation]:
    """Queued for longer than a worker that has time needs, and not for an earlier one of the same object. Moves take turns."""
    earlier = Operation.objects.filter(object_uuid=OuterRef("object_uuid"), state__in=UNFINISHED, pk__lt=OuterRef("pk"))
    queued = Operation.objects.filter(state=OperationState.QUEUED, worker="", created_at__lt=at - WAITING_FOR)
    return queued.exclude(kind="vm.migrate").filter(~Exists(earlier))
