"""Operations: the team's list, and one with its stages, its log, and what can be done with it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from portal.accounts.access import may, refusal, require
from portal.accounts.audit_words import field_words, value_words
from portal.accounts.views import person
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.operations.cancel import OperationProblem, cancel_refusal, request_cancel
from portal.operations.log_lines import log_line
from portal.operations.models import UNFINISHED, Operation, OperationState
from portal.operations.retry import asked_values, request_retry, retry_refusal
from portal.operations.waiting import not_taken
from portal.operations.whose import operations_listed, operations_seen, right_over

SHOWN = 100


@require_safe
def operations(request: HttpRequest) -> HttpResponse:
    """The newest operations of the current team, and for operators over hosts; `?state=` shows those in one state."""
    team, rows = operations_listed(request)
    rows = rows.select_related("created_by")
    state = request.GET.get("state", "")
    if state == "unfinished":
        rows = rows.filter(state__in=UNFINISHED)
    elif state in OperationState.values:
        rows = rows.filter(state=state)
    choices = [("", _("All")), ("unfinished", _("Under way")), ("failed", _("Failed")), ("cancelled", _("Cancelled"))]
    topics = [f"team:{team.slug}"] if team else []
    topics += ["hosts"] if may(request, "host.see") else []
    context = {"operations": rows[:SHOWN], "team": team, "topics": " ".join(topics), "state": state, "choices": choices}
    return render(request, "operations/operations.html", context)


@require_safe
def operation(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One operation with its stages and its log."""
    row = get_object_or_404(operations_seen(request).prefetch_related("retries"), uuid=uuid)
    context = {
        "operation": row,
        "log": [(parse_datetime(at), log_line(words)) for at, words in row.log],
        "asked": sorted(
            (field_words(name), value_words(name, value)) for name, value in asked_values(row.params).items()
        ),
        "cancel_refusal": refusal(request, right_over(row, "operation.cancel"), row.team) or cancel_refusal(row),
        "retry_refusal": refusal(request, right_over(row, "operation.retry"), row.team) or retry_refusal(row),
        "object_url": object_url(row),
        "is_not_taken": row.state == OperationState.QUEUED and not_taken(timezone.now()).filter(pk=row.pk).exists(),
    }
    return render(request, "operations/operation.html", context)


@require_POST
def operation_cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask that it ends and is undone; back on its page, with the reason where it can't be."""
    row = get_object_or_404(operations_seen(request), uuid=uuid)
    require(request, right_over(row, "operation.cancel"), row.team)
    try:
        request_cancel(row, person(request))
    except OperationProblem as problem:
        messages.error(request, str(problem))
    return redirect("operation", row.uuid)


@require_POST
def operation_retry(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask for the same once more; on the new operation's page, or back with the reason."""
    row = get_object_or_404(operations_seen(request), uuid=uuid)
    require(request, right_over(row, "operation.retry"), row.team)
    try:
        return redirect("operation", request_retry(row, person(request)).uuid)
    except (OperationProblem, VMProblem) as problem:
        messages.error(request, str(problem))
    return redirect("operation", row.uuid)


def object_url(row: Operation) -> str:
    """The page of what it changes or changed; nothing when that is gone."""
    if row.object_type == "image":
        return reverse("images")
    if row.object_type == "backup":
        return reverse("backups")
    if row.object_type == "backup_store":
        return reverse("backup_stores")
    if row.object_type == "host":
        return reverse("host", args=[row.object_name])
    return reverse("vm", args=[row.object_uuid]) if VM.objects.filter(uuid=row.object_uuid).exists() else ""
