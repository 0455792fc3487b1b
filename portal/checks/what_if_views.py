"""What if a rule were added or removed: asked on a copy, applied or thrown away."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.accounts.access import may, refusal, require, team_for
from portal.accounts.models import Team
from portal.accounts.views import person
from portal.checks.models import WhatIf
from portal.checks.presentation import current_generation, what_if_data
from portal.checks.requests import Errors, RouteWhatIf, WhatIfSpec, apply_what_if, ask_route_what_if, ask_what_if
from portal.networks.groups import GroupProblem
from portal.networks.models import Router, SecurityGroup, SecurityRule
from portal.networks.problems import NetworkProblem
from portal.networks.router_views import router_page
from portal.networks.rule_check import RuleSpec
from portal.networks.rule_words import rule_words
from portal.traces.models import TraceRequest

FIELDS = ("direction", "family", "protocol", "ports", "cidr", "remote_group")
PROTOCOLS = ("tcp", "udp", "icmp", "sctp", "any")


@require_http_methods(["GET", "HEAD", "POST"])
def what_if_new(request: HttpRequest) -> HttpResponse:
    """The form, filled in by ?group=&trace=&…; a post computes it. The group page's form posts here, too."""
    team = team_for(request, "what_if.ask")
    errors: Errors = {}
    given = request.POST if request.method == "POST" else request.GET
    if request.method == "POST":
        try:
            return redirect("what_if", _asked(team, request).uuid)
        except GroupProblem as problem:
            errors = problem.errors
        except NetworkProblem as problem:
            return router_page(request, get_object_or_404(Router, team=team, uuid=given["router"]), problem.errors)
    groups = list(team.security_groups.all())
    trace = _trace(team, given.get("trace", ""))
    context = {
        "team": team, "groups": groups, "group": given.get("group", ""), "protocols": PROTOCOLS, "errors": errors,
        "given": {"direction": "ingress", "family": "4", "protocol": "tcp"} | {name: given[name] for name in FIELDS if name in given},
        "trace": trace, "recent": _visible(request).filter(team=team)[:8],
    }  # fmt: skip
    return render(request, "checks/what_if_new.html", context, status=422 if errors else 200)


@require_safe
def what_if(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What it would change, and the way to apply it or throw it away."""
    return _page(request, get_object_or_404(_visible(request), uuid=uuid), {})


@require_POST
def what_if_apply(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Make exactly this change."""
    run = get_object_or_404(_visible(request), uuid=uuid)
    require(request, run.right, run.team)
    try:
        apply_what_if(run, person(request))
    except (GroupProblem, NetworkProblem) as problem:
        return _page(request, run, problem.errors)
    return redirect("what_if", run.uuid)


@require_POST
def what_if_discard(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Throw it away: back to where it was asked."""
    run = get_object_or_404(_visible(request), uuid=uuid)
    require(request, run.right, run.team)
    trace, group, router = run.trace, run.group, run.router
    run.delete()
    if trace is not None:
        return redirect("trace", trace.uuid)
    if router is not None:
        return redirect("router", router.uuid)
    return redirect("security_group", group.uuid) if group else redirect("security_groups")


def _page(request: HttpRequest, run: WhatIf, errors: Errors) -> HttpResponse:
    removed = rule_words(run.removed) if run.removed else ""
    context: dict[str, Any] = {
        "run": run, "removed": removed, "errors": errors, "generation": current_generation(),
        "may": may(request, run.right, run.team), "refusal": refusal(request, run.right, run.team),
        **what_if_data(run),
    }  # fmt: skip
    return render(request, "checks/what_if.html", context, status=422 if errors else 200)


def _asked(team: Team, request: HttpRequest) -> WhatIf:
    """The what-if of the posted form: with a router about one of its routes, else about a rule of a group."""
    posted = request.POST
    if not posted.get("router"):
        return ask_what_if(team, person(request), _spec(team, request))
    try:
        row = get_object_or_404(Router.objects.select_related("team"), team=team, uuid=UUID(posted["router"]))
    except ValueError:
        raise Http404 from None
    trace = _trace(team, posted.get("trace", ""))
    spec = RouteWhatIf(row, posted.get("destination", ""), posted.get("next_hop", ""), trace)
    return ask_route_what_if(team, person(request), spec)


def _spec(team: Team, request: HttpRequest) -> WhatIfSpec:
    posted = request.POST
    group = team.security_groups.filter(name=posted.get("group", "")).first()
    if group is None:
        raise GroupProblem({"group": [f"no such group; {team.name} has {', '.join(team.security_groups.values_list('name', flat=True))}"]})  # fmt: skip
    rule_id = posted.get("remove", "")
    removed = get_object_or_404(SecurityRule.objects.select_related("group", "remote_group"), group=group, pk=int(rule_id)) if rule_id.isdigit() and len(rule_id) < 16 else None  # fmt: skip
    text = {name: posted.get(name, "") for name in FIELDS}
    named = text.pop("remote_group")
    remote = get_object_or_404(SecurityGroup, team=team, name=named) if named else None
    return WhatIfSpec(group, RuleSpec(**text, remote_group=remote), removed, _trace(team, posted.get("trace", "")))


def _trace(team: Team, text: str) -> TraceRequest | None:
    try:
        return TraceRequest.objects.filter(team=team, uuid=UUID(text)).first()
    except ValueError:
        return None


def _visible(request: HttpRequest) -> QuerySet[WhatIf]:
    rows = WhatIf.objects.filter(team__memberships__user_id=request.user.pk or 0)
    return rows.select_related("team", "group", "router", "trace", "removed__remote_group", "removed__group", "created_by", "applied_by")  # fmt: skip
