"""Cancelling an operation: asked for here, honoured by the worker that holds it, between two stages or while one waits.

What was done is undone, as after a failure; an operation whose way back ends somewhere says so instead.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.live.publishers import operation_changed
from portal.operations.dispatch import enqueue_operation
from portal.operations.models import Operation, OperationState
from portal.operations.stages import STAGES

# Once they run, there is no way back; before that they can be cancelled as any other.
ONE_WAY = {
    "vm.delete": "what it has removed cannot be had back",
    "vm.snapshot_delete": "what is merged cannot be taken apart",
    "volume.snapshot_delete": "what is merged cannot be taken apart",
    "backup.delete": "what it has removed cannot be had back",
    "volume.delete": "what it has removed cannot be had back",
    "image.delete": "what it has removed cannot be had back",
    "store.clean": "what it has removed cannot be had back",
    "host.clean": "what it has removed cannot be had back",
}
WAITS_ALONE = frozenset({"vm.stop"})  # one stage, but one that waits


class OperationProblem(Exception):
    """It can't be cancelled or tried again; the message says why."""


def cancel_refusal(operation: Operation) -> str:
    """Why it cannot be cancelled now, or ""."""
    if operation.is_ended:
        return gettext("it has ended (%(state)s)") % {"state": str(operation.get_state_display()).lower()}
    if operation.state == OperationState.UNDOING:
        return gettext("it is being undone already")
    if operation.cancel_asked_at is not None:
        return gettext("it is being cancelled already")
    if operation.state == OperationState.RUNNING:
        if operation.kind in ONE_WAY:
            return ONE_WAY[operation.kind]
        if len(STAGES[operation.kind]) == 1 and operation.kind not in WAITS_ALONE:
            return gettext("it is one short stage, and that runs")
    return ""


def request_cancel(operation: Operation, user: User) -> Operation:
    """The operation, asked to end; a worker undoes it. Raises OperationProblem with the reason when it can't be."""
    with transaction.atomic():
        rows = Operation.objects.select_for_update(of=("self",)).select_related("team", "created_by")
        fresh = rows.prefetch_related("stages").get(pk=operation.pk)
        if reason := cancel_refusal(fresh):
            raise OperationProblem(
                gettext("%(fresh)s %(object_name)s cannot be cancelled: %(reason)s")
                % {"fresh": fresh.title, "object_name": fresh.object_name, "reason": reason}
            )
        fresh.cancel_asked_at, fresh.cancel_asked_by = timezone.now(), user
        fresh.save(update_fields=["cancel_asked_at", "cancel_asked_by"])
        what = ("operation", str(fresh.uuid), f"{fresh.title} {fresh.object_name}")
        record("operation.cancel", fresh.team, user, what)
        operation_changed(fresh)
        transaction.on_commit(lambda: enqueue_operation(fresh.pk))
        return fresh
