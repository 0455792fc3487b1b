"""Asking for a trace, its page, and its exports."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.accounts.access import active_team, can, may, require
from portal.accounts.models import Team, User
from portal.config.told import told, told_value
from portal.networks.choices import port_named
from portal.traces.exports import EXPORTS
from portal.traces.forms import TraceForm
from portal.traces.models import TraceRequest
from portal.traces.offers import pin_of, starts_of, what_if_of
from portal.traces.presentation import (
    addresses_of,
    conclusion_of,
    contradiction_of,
    island_data,
    narrow_of,
    read_trace,
    rows_of,
    verdict_words,
)
from portal.traces.probings import probing_as_json
from portal.traces.question import again_of, asked_of, form_with, swapped_of, with_gone_told
from portal.traces.requests import GIVEN as HANDED_OVER
from portal.traces.requests import MOMENTS, OPENING, TraceProblem, create_trace, ports_of, spec_again
from sdn.trace.asked import ends_of

DIRECTIONS = ("forward", "return")
GIVEN = (
    "source", "target", "protocol", "port_dst", "family", "moment", "size_bytes", "at", "header_fields", "source_address",
)  # fmt: skip
RECENT = 12
PROBING_SECONDS = (("60", "for a minute"), ("300", "for 5 minutes"), ("600", "for 10 minutes"))


def _person(request: HttpRequest) -> User:
    """The person behind a request that the log-in middleware let through."""
    assert isinstance(request.user, User)
    return request.user


def _visible(request: HttpRequest) -> QuerySet[TraceRequest]:
    """Traces of the person's teams; another team's trace does not exist for them."""
    rows = TraceRequest.objects.filter(team__members=_person(request))
    return rows.select_related(
        "team", "source__host", "source__network", "target__host", "target__network", "outside", "router"
    )


def _store(form: TraceForm, team: Team, request: HttpRequest) -> TraceRequest | None:
    try:
        return create_trace(team, _person(request), form.spec)
    except TraceProblem as problem:
        for name, lines in problem.errors.items():
            for line in lines:
                form.add_error(name, line)
        return None


@require_http_methods(["GET", "HEAD", "POST"])
def trace_new(request: HttpRequest) -> HttpResponse:
    """The question; a GET with ?source=&target=&protocol=&port_dst=… fills it in."""
    team = active_team(request)
    allowed = can(request, team)
    posted = request.POST if request.method == "POST" else None
    form = TraceForm(posted, team=team, initial=_given(request, team))
    if request.method == "POST" and allowed and form.is_valid():
        trace = _store(form, team, request)
        if trace is not None:
            return redirect("trace", trace.uuid)
    recent = _visible(request).filter(team=team)[:RECENT]
    status = 403 if request.method == "POST" and not allowed else 200
    page = {"form": form, "may_ask": allowed, "recent": recent, "team": team, "targets": form.listed or ()}
    return render(request, "traces/trace_new.html", page, status=status)


def _given(request: HttpRequest, team: Team) -> dict[str, str]:
    given = {name: request.GET[name] for name in GIVEN if name in request.GET}
    port = port_named(ports_of(team), given["target"]) if given.get("target") else None
    return given | {"target": port.name} if port else given


@require_POST
def trace_deliver(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The same question once more, whose real packet is handed over to the guest."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    require(request, "trace.deliver", row.team)
    try:
        return redirect("trace", create_trace(row.team, _person(request), spec_again(row, is_handed_over=True)).uuid)
    except TraceProblem as problem:
        messages.error(request, str(problem))
        return redirect("trace", row.uuid)


@require_safe
def trace(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One trace: the verdict, the whole way as a list, and what the island draws. ?dir=return shows the way back."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    direction = request.GET.get("dir", "forward")
    direction = direction if direction in DIRECTIONS else "forward"
    return render(request, "traces/trace.html", _page(request, row, direction))


@require_safe
def trace_export(request: HttpRequest, uuid: UUID, form: str) -> HttpResponse:
    """Both directions as a file, in one of the forms of the table."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    if form not in EXPORTS:
        raise Http404
    answer = HttpResponse(EXPORTS[form].make(row), content_type=EXPORTS[form].media_type)
    answer["Content-Disposition"] = f'attachment; filename="trace-{row.uuid}.{form}"'
    return answer


def _probing(row: TraceRequest) -> dict[str, Any] | None:
    """The trace's last continuous probing, whole."""
    last = row.probings.select_related("trace").first()
    return {**probing_as_json(last), "is_live": last.is_live, "lost": last.sent - last.arrived} if last else None


def _page(request: HttpRequest, row: TraceRequest, direction: str) -> dict[str, Any]:
    value = row.result if direction == "forward" else row.reply
    shown, spoken = read_trace(value), told_value(value)
    trace = read_trace(spoken)
    other = read_trace(row.reply if direction == "forward" else row.result)
    ends = (row.source, row.target) if direction == "forward" else (row.target, row.source)
    sender = row.outside or row.router
    asked, again = with_gone_told(asked_of(row)), again_of(row)
    gone = sender.name if sender else row.address
    told_names = [asked.source_name, asked.target_name][:: 1 if direction == "forward" else -1]
    names = [port.name if port else gone or name for port, name in zip(ends, told_names, strict=True)]
    real = contradiction_of(row, shown) if direction == "forward" else None
    is_followed = row.source is not None and (row.target is not None or bool(row.address))
    return {
        "row": row,
        "trace": trace,
        "rows": rows_of(trace) if trace else [],
        "verdict": verdict_words(shown.verdict) if shown else "",
        "other": other,
        "other_verdict": verdict_words(other.verdict) if other else "",
        "lost": told(real.reason) if real else "",
        "is_narrow": direction == "forward" and narrow_of(row) is not None,
        "conclusion": told(conclusion_of(row, shown, other, direction)),
        "direction": direction,
        "source": ends[0],
        "target": ends[1],
        "source_name": names[0],
        "target_name": names[1],
        "addresses": addresses_of(shown.packet) if shown else ("", ""),
        "moment": gettext(dict(MOMENTS).get(asked.moment, asked.moment)),
        "asked": asked,
        "asked_ends": ends_of(asked, (row.result or {}).get("packet", {})),
        "again": again,
        "change_url": form_with(again),
        "now_url": form_with({name: value for name, value in again.items() if name != "at"}),
        "swap_url": form_with(swapped_of(row)),
        "latency_us": sum(hop.latency_us or 0 for hop in shown.hops) if shown else 0,
        "island": island_data(row, spoken, direction),
        "may_ask": can(request, row.team),
        "may_deliver": may(request, "trace.deliver", row.team)
        and row.target is not None
        and row.protocol in HANDED_OVER,
        "may_probe": may(request, "probing.start", row.team) and is_followed,
        "may_catch": can(request, row.team, "trace.ask") and is_followed and row.protocol in OPENING,
        "probing": _probing(row) if direction == "forward" else None,
        "probing_seconds": PROBING_SECONDS,
        "pin": pin_of(row, shown, direction) if can(request, row.team, "check.change") else None,
        "what_if": what_if_of(row, shown, direction),
        "starts": starts_of(row, shown) if may(request, "vm.power", row.team) else None,
        "is_mendable": shown is not None and shown.verdict != "delivered" and row.at is None,
        "form_url": reverse("trace_new"),
        "exports": EXPORTS,
        "link": request.build_absolute_uri(reverse("trace", args=[row.uuid])),
    }
