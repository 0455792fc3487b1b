""" "Why can't I reach it?": asked from a VM's page, answered on one of its own, mended by one click."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from portal.accounts.access import may, refusal, require
from portal.accounts.views import person
from portal.networks.models import Port
from portal.networks.owners import owned_by_person, owner_of
from portal.traces.diagnosis import answer_of, ask_why
from portal.traces.mending import RIGHTS, mend
from portal.traces.models import Diagnosis
from portal.traces.outside import outside_address
from portal.traces.requests import Errors, TraceProblem

PROTOCOLS = ("tcp", "udp", "icmp", "sctp")


@require_POST
def trace_why(request: HttpRequest, port: UUID) -> HttpResponse:
    """Ask: for SSH, or for the service that was posted. Its page follows the packets."""
    rows = Port.objects.filter(owned_by_person(request.user.pk or 0)).select_related("network__team", "vm__team")
    row = get_object_or_404(rows, uuid=port)
    require(request, "trace.ask", owner_of(row))
    number = request.POST.get("port_dst", "22")
    service = (request.POST.get("protocol", "tcp"), int(number) if number.isdigit() and len(number) < 6 else 0)
    try:
        asked = ask_why(row, person(request), service, outside_address(request.META.get("REMOTE_ADDR", "")))
    except TraceProblem as problem:
        asked = ask_why(row, person(request))
        return _page(request, asked, problem.errors)
    return redirect("diagnosis", asked.uuid)


@require_safe
def diagnosis(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What was looked at, what it comes to, and the one change that would mend it."""
    return _page(request, get_object_or_404(_visible(request), uuid=uuid), {})


@require_POST
def diagnosis_mend(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Make the suggested change."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    kind = request.POST.get("kind", "")
    require(request, RIGHTS.get(kind, "group.change"), row.team)
    try:
        mend(row, person(request), kind)
    except TraceProblem as problem:
        return _page(request, row, problem.errors)
    return redirect("diagnosis", row.uuid)


def _visible(request: HttpRequest) -> QuerySet[Diagnosis]:
    rows = Diagnosis.objects.filter(team__memberships__user_id=request.user.pk or 0)
    return rows.select_related("team", "created_by", "port__vm__team", "port__network__team", "port__host")


def _page(request: HttpRequest, row: Diagnosis, errors: Errors) -> HttpResponse:
    answer = answer_of(row)
    right = RIGHTS[answer.fix.kind] if answer.fix else "trace.ask"
    rule_trace = next((trace for trace in row.traces.all() if answer.fix and answer.fix.rule and trace.result), None)
    context = {
        "asked": row, "answer": answer, "errors": errors, "may": may(request, right, row.team),
        "may_ask": may(request, "trace.ask", row.team), "refusal": refusal(request, right, row.team),
        "why_url": reverse("trace_why", args=[row.port.uuid]), "protocols": PROTOCOLS, "rule_trace": rule_trace,
    }  # fmt: skip
    return render(request, "traces/diagnosis.html", context, status=422 if errors else 200)
