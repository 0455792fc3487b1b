"""Asking for a capture on a trace's path, its page while it runs and after, and its file."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.accounts.access import may, require
from portal.accounts.views import person
from portal.captures.models import Capture
from portal.captures.points import PROTOCOLS, Filter, points_of
from portal.captures.requests import (
    MAX_PACKETS,
    MAX_SECONDS,
    CaptureProblem,
    CaptureSpec,
    Errors,
    create_capture,
    stop_capture,
)
from portal.captures.serialize import rows_with_meetings
from portal.traces.models import TraceRequest

RECENT = 8


def _visible(request: HttpRequest) -> QuerySet[Capture]:
    """Captures of the person's teams; another team's does not exist for them."""
    return Capture.objects.filter(team__members=person(request)).select_related("team", "trace").defer("file")


@require_http_methods(["GET", "HEAD", "POST"])
def capture_new(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The form for one trace's path, with the trace's own packet as the filter; a post starts it."""
    traces = TraceRequest.objects.filter(team__members=person(request))
    trace = get_object_or_404(traces.select_related("team", "source__network", "source__host", "target__network", "target__host"), uuid=uuid)  # fmt: skip
    require(request, "capture.start", trace.team)
    own = {"protocol": trace.protocol, "port": str(trace.port_dst or ""), "packets": str(MAX_PACKETS), "seconds": "30"}
    given = {name: request.POST.get(name, value) for name, value in own.items()}
    chosen = request.POST.getlist("points")
    is_between = request.method != "POST" or "is_between" in request.POST
    errors: Errors = {}
    if request.method == "POST":
        try:
            return redirect("capture", create_capture(trace, person(request), _spec(given, chosen, is_between)).uuid)
        except CaptureProblem as problem:
            errors = problem.errors
    points = points_of(trace, Filter("any"))
    context = {
        "trace": trace, "points": points, "given": given, "errors": errors, "protocols": PROTOCOLS, "is_between": is_between,
        "chosen": chosen or [point.key for point in points], "recent": _visible(request).filter(trace=trace)[:RECENT],
        "max_packets": MAX_PACKETS, "max_seconds": MAX_SECONDS,
    }  # fmt: skip
    return render(request, "captures/capture_new.html", context, status=422 if errors else 200)


@require_safe
def capture(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Its packets; the page follows it while it runs."""
    row = _one(request, uuid)
    context = {"row": row, "rows": rows_with_meetings(row), "may": may(request, "capture.start", row.team)}
    return render(request, "captures/capture.html", context)


@require_POST
def capture_stop(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """End it now; what was caught is kept."""
    row = _one(request, uuid)
    require(request, "capture.start", row.team)
    stop_capture(row, person(request))
    return redirect("capture", row.uuid)


@require_safe
def capture_file(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One pcapng, with the hops' names as its interfaces."""
    row = _one(request, uuid)
    if row.file is None:
        raise Http404
    answer = HttpResponse(bytes(row.file), content_type="application/x-pcapng")
    answer["Content-Disposition"] = f'attachment; filename="capture-{row.uuid}.pcapng"'
    return answer


def _one(request: HttpRequest, uuid: UUID) -> Capture:
    row = get_object_or_404(_visible(request), uuid=uuid)
    require(request, "capture.see", row.team)
    return row


def _spec(given: dict[str, str], chosen: list[str], is_between: bool) -> CaptureSpec:
    port, packets, seconds = (_number(given[name]) for name in ("port", "packets", "seconds"))
    return CaptureSpec(tuple(chosen), Filter(given["protocol"], port, is_between), packets, seconds)


def _number(text: str) -> int:
    """The number that was typed; nothing is 0, and what is none is −1, which nothing allows."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0 if not text else -1
