"""What if a flow of a switch were added, removed or given other actions: asked on a copy. For operators."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.accounts.access import require
from portal.accounts.views import person
from portal.checks.flow_apply import apply_flow_what_if, why_not
from portal.checks.flow_requests import EXAMPLE, FlowWhatIfSpec, ask_flow_what_if
from portal.checks.models import FlowWhatIf
from portal.checks.presentation import current_generation, flow_what_if_data
from portal.checks.requests import CheckProblem, Errors
from portal.topology.models import FlowRecord

FIELDS = ("host", "bridge", "action", "flow", "packet")


@require_http_methods(["GET", "HEAD", "POST"])
def flow_what_if_new(request: HttpRequest) -> HttpResponse:
    """The form, filled in by ?host=&bridge=&flow=…; a post computes it."""
    require(request, "flow.try")
    errors: Errors = {}
    given = request.POST if request.method == "POST" else request.GET
    fields = {name: given.get(name, "") for name in FIELDS}
    if at := given.get("place", ""):  # the form's one choice of both
        fields["host"], _, fields["bridge"] = at.partition(" ")
    if request.method == "POST":
        try:
            return redirect("flow_what_if", ask_flow_what_if(person(request), FlowWhatIfSpec(**fields)).uuid)
        except CheckProblem as problem:
            errors = problem.errors
    places = FlowRecord.objects.order_by("host__name", "-bridge").values_list("host__name", "bridge")
    context: dict[str, Any] = {
        "given": fields, "errors": errors, "example": EXAMPLE, "actions": FlowWhatIf.Action.choices,
        "places": [{"host": host, "bridge": bridge} for host, bridge in places],
        "recent": FlowWhatIf.objects.select_related("host").defer("result")[:8],
    }  # fmt: skip
    return render(request, "checks/flow_what_if_new.html", context, status=422 if errors else 200)


@require_safe
def flow_what_if(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What it would change, what would become of it, and the way to apply it, or to throw it away."""
    require(request, "flow.try")
    return _page(request, _run(uuid), {})


@require_POST
def flow_what_if_apply(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Send exactly this change to the bridge, if its name was typed; on the operation's page, or back with the reasons."""
    require(request, "flow.change")
    run = _run(uuid)
    try:
        made = apply_flow_what_if(run, person(request), request.POST.get("typed", ""))
    except CheckProblem as problem:
        return _page(request, run, problem.errors)
    return redirect("operation", made.uuid)


def _page(request: HttpRequest, run: FlowWhatIf, errors: Errors) -> HttpResponse:
    data = flow_what_if_data(run)
    context = {"run": run, "generation": current_generation(), "errors": errors, "why_not": why_not(run), **data}
    return render(request, "checks/flow_what_if.html", context, status=422 if errors else 200)


def _run(uuid: UUID) -> FlowWhatIf:
    return get_object_or_404(FlowWhatIf.objects.select_related("host", "created_by", "applied_by"), uuid=uuid)


@require_POST
def flow_what_if_discard(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Throw it away: back to the bridge's flows."""
    require(request, "flow.try")
    run = _run(uuid)
    run.delete()
    return redirect("flows", run.host.name, run.bridge)
