"""The reports of VMs on emulated devices: a team's, and for operators everybody's; as a page and as CSV."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.accounts.access import may, refusal, require, team_for
from portal.compute.changes import changes_of
from portal.compute.devices import Report, reports_as_csv, reports_of, warning_of
from portal.compute.models import VM


@require_safe
def vm_devices(request: HttpRequest) -> HttpResponse:
    """The team's VMs that have emulated devices."""
    team = team_for(request, "vm.see")
    return _answer(request, team.vms.all(), {"team": team, "why": refusal(request, "vm.change", team)})


@require_safe
def emulated_devices(request: HttpRequest) -> HttpResponse:
    """Every team's, for operators, who change nothing of them."""
    require(request, "host.see")
    return _answer(request, VM.objects.all(), {"all": True})


def _answer(request: HttpRequest, vms: QuerySet[VM], context: dict[str, object]) -> HttpResponse:
    is_csv = request.GET.get("format") == "csv"
    reports = reports_of(vms, with_past=is_csv)
    if is_csv:
        answer = HttpResponse(reports_as_csv(reports), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="emulated-devices.csv"'
        return answer
    lines = [_line(report, str(context.get("why", "")) if "team" in context else None) for report in reports]
    return render(request, "compute/vm_devices.html", {**context, "lines": lines, "operates": may(request, "host.see")})


def _line(report: Report, why: str | None) -> tuple[Report, str, str]:
    """The report, why the one click cannot be now, and what to know before it."""
    reason = "" if why is None else why or changes_of(report.vm)["devices"]
    return report, reason, warning_of(report.vm)
