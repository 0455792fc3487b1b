"""The team's routers: list with a form, one router with all that can be changed on it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.accounts.access import may, require, team_for
from portal.accounts.models import Team
from portal.networks.models import ExternalNetwork, Router, RouterPort, StaticRoute, Subnet
from portal.networks.problems import Errors, NetworkProblem, check_name
from portal.networks.router_requests import (
    RouterSpec,
    add_route,
    attach_subnet,
    create_router,
    delete_router,
    detach_subnet,
    floating_of,
    remove_route,
    set_external,
)


@require_http_methods(["GET", "HEAD", "POST"])
def routers(request: HttpRequest) -> HttpResponse:
    """Every router of the team, and the form of a new one."""
    team = team_for(request, "network.see")
    errors: Errors = {}
    if request.method == "POST":
        require(request, "network.change", team)
        try:
            return redirect("router", create_router(team, _spec(team, request.POST)).uuid)
        except NetworkProblem as problem:
            errors = problem.errors
    rows = Router.objects.filter(team=team).select_related("external", "external_address", "gateway_host")
    context = {
        "team": team, "routers": rows.prefetch_related("ports__subnet__network", "routes"), "errors": errors,
        "may": may(request, "network.change", team), "free": free_subnets(team), "externals": ExternalNetwork.objects.all(),
        "given": request.POST, "chosen": request.POST.getlist("subnet"),
    }  # fmt: skip
    return render(request, "networks/routers.html", context, status=422 if errors else 200)


@require_safe
def router(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One router: its legs, its routes, its way outside."""
    return router_page(request, get_object_or_404(_visible(request), uuid=uuid), {})


@require_POST
def router_change(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Do what the posted form's `action` names; on a refusal the page says why."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    require(request, "network.change", row.team)
    change = CHANGES.get(request.POST.get("action", ""))
    try:
        if change is None:
            raise NetworkProblem(
                {"action": [gettext("no such change; %(changes)s are allowed") % {"changes": ", ".join(CHANGES)}]}
            )
        change(row, request.POST)
    except NetworkProblem as problem:
        return router_page(request, row, problem.errors)
    return redirect("router", row.uuid)


@require_http_methods(["GET", "HEAD", "POST"])
def router_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask once more, then delete; says what is in the way."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    require(request, "network.change", row.team)
    reasons: list[str] = []
    if request.method == "POST":
        try:
            delete_router(row)
            return redirect("routers")
        except NetworkProblem as problem:
            reasons = problem.errors["router"]
    status = 422 if reasons else 200
    return render(request, "networks/router_delete.html", {"router": row, "reasons": reasons}, status=status)


def free_subnets(team: Team) -> QuerySet[Subnet]:
    """The team's subnets that no router is attached to."""
    return (
        Subnet.objects.filter(network__team=team, router_port=None).select_related("network").order_by("network__name")
    )


def _attach(row: Router, posted: QueryDict) -> None:
    attach_subnet(row, get_object_or_404(Subnet, network__team=row.team, pk=_id(posted, "subnet")))


def _detach(row: Router, posted: QueryDict) -> None:
    detach_subnet(get_object_or_404(RouterPort, router=row, pk=_id(posted, "port")))


def _add_route(row: Router, posted: QueryDict) -> None:
    add_route(row, posted.get("destination", ""), posted.get("next_hop", ""))


def _remove_route(row: Router, posted: QueryDict) -> None:
    remove_route(get_object_or_404(StaticRoute, router=row, pk=_id(posted, "route")))


def _set_external(row: Router, posted: QueryDict) -> None:
    set_external(row, external_of(posted))


CHANGES: dict[str, Callable[[Router, QueryDict], None]] = {
    "attach": _attach,
    "detach": _detach,
    "add_route": _add_route,
    "remove_route": _remove_route,
    "set_external": _set_external,
}


def external_of(posted: QueryDict) -> ExternalNetwork | None:
    """The chosen external network; None for none. Raises NetworkProblem for one that is not there."""
    name = posted.get("external", "")
    found = ExternalNetwork.objects.filter(name=name).first() if not check_name(name) else None
    if name and found is None:
        raise NetworkProblem(
            {"external": [gettext("there is no external network of that name: choose one of the list")]}
        )
    return found


def _spec(team: Team, posted: QueryDict) -> RouterSpec:
    ids = [int(text) for text in posted.getlist("subnet") if text.isdecimal() and len(text) < 18]
    subnets = tuple(Subnet.objects.filter(network__team=team, id__in=ids).select_related("network").order_by("id"))
    if len(subnets) != len(posted.getlist("subnet")):
        raise NetworkProblem(
            {
                "subnet": [
                    gettext("one of the subnets is none of %(team)s's: choose from the list") % {"team": team.name}
                ]
            }
        )
    return RouterSpec(posted.get("name", "").strip(), subnets, external_of(posted))


def _id(posted: QueryDict, field: str) -> int:
    text = posted.get(field, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 18):
        raise Http404
    return int(text)


def router_page(request: HttpRequest, row: Router, errors: Errors) -> HttpResponse:
    context = {
        "router": row, "errors": errors, "may": may(request, "network.change", row.team), "free": free_subnets(row.team),
        "externals": ExternalNetwork.objects.all(), "floating": floating_of(row).select_related("fixed__port__vm"),
        "given": request.POST, "commands": _commands(row),
    }  # fmt: skip
    return render(request, "networks/router.html", context, status=422 if errors else 200)


def _commands(row: Router) -> list[tuple[str, str]]:
    where = f" on {row.gateway_host}" if row.gateway_host else ""
    return [
        (gettext("Its routes, on every host"), f"ovs-ofctl -O OpenFlow14 dump-flows br-int table=41,reg9={row.vni:#x}"),
        (
            gettext("What it hands to the gateway host"),
            f"ovs-ofctl -O OpenFlow14 dump-flows br-int table=45,reg9={row.vni:#x}",
        ),
        (
            gettext("Its translations now%(where)s") % {"where": where},
            f"ovs-appctl dpctl/dump-conntrack zone={row.zone}",
        ),
    ]


def _visible(request: HttpRequest) -> QuerySet[Router]:
    rows = Router.objects.filter(team__memberships__user_id=request.user.pk or 0)
    rows = rows.select_related("team", "external", "external_address", "gateway_host")
    return rows.prefetch_related("ports__subnet__network", "routes")
