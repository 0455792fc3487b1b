"""Who reaches whom, and pinned path checks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import may, refusal, require, team_for
from portal.accounts.models import Team
from portal.accounts.views import person
from portal.checks.models import Expected, MatrixRun, PathCheck
from portal.checks.presentation import check_counts, checks_of, current_generation, matrix_rows, verdict_counts
from portal.checks.requests import PROTOCOLS, CheckProblem, Errors, add_check, ask_matrix, remove_check
from portal.config.cut import few
from portal.networks.choices import port_named
from portal.networks.models import Network
from portal.traces.requests import TraceSpec, find_target, ports_of

TURNS_SHOWN = 3


@require_http_methods(["GET", "HEAD", "POST"])
def matrix(request: HttpRequest) -> HttpResponse:
    """The newest matrix of the team, or that of ?run=; a post computes one."""
    team = team_for(request, "matrix.see")
    errors: Errors = {}
    if request.method == "POST":
        require(request, "matrix.ask", team)
        network = _network(team, request.POST.get("network", ""))
        try:
            run = ask_matrix(team, person(request), request.POST.get("protocol", ""), _number(request.POST), network)
            return redirect(f"{reverse('matrix')}?run={run.uuid}")
        except CheckProblem as problem:
            errors = problem.errors
    return render(request, "checks/matrix.html", _matrix_page(request, team, errors), status=422 if errors else 200)


def _matrix_page(request: HttpRequest, team: Team, errors: Errors) -> dict[str, Any]:
    wanted = _uuid(request.GET.get("run", ""))
    runs = MatrixRun.objects.filter(team=team).select_related("network")
    run = runs.filter(uuid=wanted).first() if wanted else runs.first()
    given = request.POST if request.method == "POST" else _given(run)
    return {
        "team": team, "run": run, "rows": matrix_rows(run) if run else [], "counts": verdict_counts(run) if run else [],
        "generation": current_generation(), "networks": team.networks.all(), "protocols": PROTOCOLS, "given": given,
        "errors": errors, "may": may(request, "matrix.ask", team), "refusal": refusal(request, "matrix.ask", team),
    }  # fmt: skip


def _given(run: MatrixRun | None) -> dict[str, Any]:
    if run is None:
        return {"protocol": "tcp", "port_dst": 22, "network": ""}
    return {"protocol": run.protocol, "port_dst": run.port_dst or "", "network": str(run.network.uuid) if run.network else ""}  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
def checks(request: HttpRequest) -> HttpResponse:
    """The team's checks with their last turns; a post pins one."""
    team = team_for(request, "check.see")
    errors: Errors = {}
    if request.method == "POST":
        require(request, "check.change", team)
        try:
            add_check(team, person(request), _spec(team, request.POST), request.POST.get("expected", ""))
            return redirect("checks")
        except CheckProblem as problem:
            errors = problem.errors
    rows = checks_of(team)
    turns = {check.pk: list(check.turns.all()[:TURNS_SHOWN]) for check in _with_turns(team)}
    context = {
        "team": team, "checks": [(check, turns.get(check.pk, [])) for check in rows], "counts": check_counts(rows),
        "objects": [f"check:{check.uuid}" for check in rows], "ports": few(ports_of(team)), "protocols": PROTOCOLS,
        "expected": Expected.values, "errors": errors, "generation": current_generation(),
        "given": request.POST if errors else {"protocol": "tcp", "expected": "delivered"},
        "may": may(request, "check.change", team), "refusal": refusal(request, "check.change", team),
    }  # fmt: skip
    return render(request, "checks/checks.html", context, status=422 if errors else 200)


def _with_turns(team: Team) -> list[PathCheck]:
    return list(team.checks.prefetch_related("turns"))


@require_POST
def check_remove(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The path is looked at no more."""
    rows = PathCheck.objects.filter(team__memberships__user_id=request.user.pk or 0)
    check = get_object_or_404(rows.select_related("team", "source", "target"), uuid=uuid)
    require(request, "check.change", check.team)
    remove_check(check, person(request))
    return redirect("checks")


def _spec(team: Team, posted: QueryDict) -> TraceSpec:
    """The path as posted. Raises CheckProblem for a target that is nobody's name or address."""
    source = port_named(ports_of(team), posted.get("source", ""))
    target, address, unknown = find_target(team, source, posted.get("target", ""))
    if unknown:
        raise CheckProblem({"target": [unknown]})
    return TraceSpec(source, target, posted.get("protocol", ""), _number(posted), address)


def _network(team: Team, text: str) -> Network | None:
    """The team's network of that uuid; 404 for another's, None for the whole team."""
    return get_object_or_404(Network, team=team, uuid=_uuid(text)) if text else None


def _number(posted: QueryDict) -> int:
    text = posted.get("port_dst", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
