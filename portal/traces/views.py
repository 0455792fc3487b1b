"""Asking for a trace, and its page."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from portal.accounts.access import active_team, can
from portal.accounts.models import Team, User
from portal.traces.forms import TraceForm
from portal.traces.models import TraceRequest
from portal.traces.presentation import VERDICT_WORDS, island_data, read_trace, rows_of
from portal.traces.requests import TraceProblem, create_trace

DIRECTIONS = ("forward", "return")
RECENT = 12


def _person(request: HttpRequest) -> User:
    """The person behind a request that the log-in middleware let through."""
    assert isinstance(request.user, User)
    return request.user


def _visible(request: HttpRequest) -> QuerySet[TraceRequest]:
    """Traces of the person's teams; another team's trace does not exist for them."""
    rows = TraceRequest.objects.filter(team__members=_person(request))
    return rows.select_related("team", "source__host", "source__network", "target__host", "target__network")


def _store(form: TraceForm, team: Team, request: HttpRequest) -> TraceRequest | None:
    asked = form.cleaned_data
    try:
        return create_trace(
            team, _person(request), asked["source"], asked["target"], asked["protocol"], asked["port_dst"]
        )
    except TraceProblem as problem:
        for name, lines in problem.errors.items():
            for line in lines:
                form.add_error(name, line)
        return None


@require_http_methods(["GET", "HEAD", "POST"])
def trace_new(request: HttpRequest) -> HttpResponse:
    """The question; a GET with ?source=&target=&protocol=&port_dst= fills it in."""
    team = active_team(request)
    allowed = can(request, team)
    posted = request.POST if request.method == "POST" else None
    form = TraceForm(posted, team=team, initial=_given(request))
    if request.method == "POST" and allowed and form.is_valid():
        trace = _store(form, team, request)
        if trace is not None:
            return redirect("trace", trace.uuid)
    recent = _visible(request).filter(team=team)[:RECENT]
    status = 403 if request.method == "POST" and not allowed else 200
    page = {"form": form, "may_ask": allowed, "recent": recent, "team": team}
    return render(request, "traces/trace_new.html", page, status=status)


def _given(request: HttpRequest) -> dict[str, str]:
    return {name: request.GET[name] for name in ("source", "target", "protocol", "port_dst") if name in request.GET}


@require_safe
def trace(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One trace: the verdict, the whole way as a list, and what the island draws. ?dir=return shows the way back."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    direction = request.GET.get("dir", "forward")
    direction = direction if direction in DIRECTIONS else "forward"
    return render(request, "traces/trace.html", _page(request, row, direction))


def _page(request: HttpRequest, row: TraceRequest, direction: str) -> dict[str, Any]:
    value = row.result if direction == "forward" else row.reply
    shown = read_trace(value)
    other = read_trace(row.reply if direction == "forward" else row.result)
    ends = (row.source, row.target) if direction == "forward" else (row.target, row.source)
    return {
        "row": row,
        "trace": shown,
        "rows": rows_of(shown) if shown else [],
        "verdict": VERDICT_WORDS[shown.verdict] if shown else "",
        "other": other,
        "other_verdict": VERDICT_WORDS[other.verdict] if other else "",
        "direction": direction,
        "source": ends[0],
        "target": ends[1],
        "latency_us": sum(hop.latency_us or 0 for hop in shown.hops) if shown else 0,
        "island": island_data(row, value, direction),
        "may_ask": can(request, row.team),
        "form_url": reverse("trace_new"),
    }
