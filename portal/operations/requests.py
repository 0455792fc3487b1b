"""Writing an operation down: queued, with its stages, audited, published, and sent to a worker on commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.live.publishers import operation_changed
from portal.operations.dispatch import enqueue_operation
from portal.operations.models import Operation, OperationStage
from portal.operations.stages import STAGES


@dataclass(frozen=True, slots=True)
class Subject:
    """What an operation is about. Operations of one subject run one after the other."""

    type: str
    uuid: UUID
    name: str


def begin_operation(
    kind: str,
    team: Team | None,
    user: User | None,
    subject: Subject,
    params: dict[str, Any],
    after: dict[str, Any] | None = None,
) -> Operation:
    """The queued operation; `after` is what the audit says of it (none: the params). Nobody's is Hopsight's own; one
    without a team is the operators'."""
    operation = Operation.objects.create(
        team=team, kind=kind, object_type=subject.type, object_uuid=subject.uuid, object_name=subject.name,
        created_by=user, params=params,
    )  # fmt: skip
    OperationStage.objects.bulk_create(
        OperationStage(operation=operation, position=position, name=name, title=title)
        for position, (name, title) in enumerate(STAGES[kind])
    )
    audited = params if after is None else after
    record(kind, team, user, (subject.type, str(subject.uuid), subject.name), after=audited or None)
    transaction.on_commit(lambda: enqueue_operation(operation.pk))  # first of what is sent: a worker begins meanwhile
    operation_changed(operation)
    return operation
