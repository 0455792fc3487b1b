"""The first page: what the team uses, runs and asked for."""

from __future__ import annotations

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.accounts.access import current_team, may, refusal
from portal.accounts.models import AuditRow
from portal.accounts.presentation import as_feed
from portal.checks.presentation import check_counts, checks_of
from portal.compute.forms import quota_bars
from portal.compute.views import vms_of
from portal.operations.models import Operation
from portal.operations.panel import panel_of
from portal.traces.models import TraceRequest

CHECKS_SHOWN = 6


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """Quota, VMs, operations and traces of the current team."""
    team = current_team(request)
    if team is None:
        return render(request, "dashboards/no_team.html")
    counted = team.vms.order_by("state").values_list("state").annotate(vms=Count("id"))
    states = {str(state): int(vms) for state, vms in counted}
    checks = checks_of(team)
    context = {
        "team": team,
        "checks": checks[:CHECKS_SHOWN],
        "check_counts": check_counts(checks),
        "bars": quota_bars(team),
        "vms": vms_of(team)[:12],
        "total": sum(states.values()),
        "states": sorted(states.items()),
        "operations": Operation.objects.filter(team=team).select_related("created_by")[:6],
        "traces": TraceRequest.objects.filter(team=team).defer("reply")[:6],
        "refusal": refusal(request, "vm.create", team),
        "entries": as_feed(AuditRow.objects.filter(team_id=team.pk)[:8]),
    }
    return render(request, "dashboards/dashboard.html", context)


@require_safe
def status_line(request: HttpRequest) -> HttpResponse:
    """The running operation as the status line words it, and the panel of the latest ones: parts of every page."""
    team = current_team(request)
    cancels = bool(team) and may(request, "operation.cancel", team)
    return render(request, "dashboards/status_line.html", {"panel": panel_of(team, cancels) if team else []})
