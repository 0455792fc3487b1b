"""Beginning and ending a continuous probing; it is shown on its trace's page."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from portal.accounts.access import require
from portal.accounts.views import person
from portal.traces.models import Probing, TraceRequest
from portal.traces.probings import ProbingProblem, start_probing, stop_probing


@require_POST
def probing_start(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Begin, and back to the trace's page, which shows it."""
    mine = TraceRequest.objects.filter(team__members=person(request)).select_related("team", "source", "target")
    trace = get_object_or_404(mine, uuid=uuid)
    require(request, "probing.start", trace.team)
    given = request.POST.get("seconds", "").strip()
    try:
        start_probing(
            trace, person(request), int(given) if given.isascii() and given.isdecimal() and len(given) < 6 else 0
        )
    except ProbingProblem as problem:
        messages.error(request, str(problem))
    return redirect("trace", trace.uuid)


@require_POST
def probing_stop(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """End it now; what was measured is kept."""
    mine = Probing.objects.filter(team__members=person(request)).select_related("team", "trace")
    row = get_object_or_404(mine, uuid=uuid)
    require(request, "probing.start", row.team)
    stop_probing(row, person(request))
    return redirect("trace", row.trace.uuid)
