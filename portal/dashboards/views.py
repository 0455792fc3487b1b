"""The first page: what the team uses, runs and asked for."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from portal.accounts.access import can, current_team
from portal.compute.forms import quota_bars
from portal.compute.views import vms_of
from portal.operations.models import Operation
from portal.traces.models import TraceRequest


def dashboard(request: HttpRequest) -> HttpResponse:
    """Quota, VMs, operations and traces of the current team."""
    team = current_team(request)
    if team is None:
        return render(request, "dashboards/no_team.html")
    vms = list(vms_of(team))
    states: dict[str, int] = {}
    for row in vms:
        states[row.state] = states.get(row.state, 0) + 1
    context = {
        "team": team,
        "bars": quota_bars(team),
        "vms": vms[:12],
        "total": len(vms),
        "states": sorted(states.items()),
        "operations": Operation.objects.filter(team=team).select_related("created_by")[:6],
        "traces": TraceRequest.objects.filter(team=team).defer("reply")[:6],
        "may": can(request, team),
    }
    return render(request, "dashboards/dashboard.html", context)
