"""Floating addresses: the team's list, and one click on a VM's page."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import may, require, team_for
from portal.accounts.models import Team
from portal.compute.models import VM
from portal.config.cut import cut, few
from portal.networks.choices import port_named
from portal.networks.floating_requests import (
    allocate_floating,
    associate,
    disassociate,
    give_floating,
    release_floating,
)
from portal.networks.models import ExternalNetwork, FixedAddress, FloatingAddress, Port
from portal.networks.owners import owned_by
from portal.networks.problems import Errors, NetworkProblem
from portal.networks.quota import full_words, use_of_network
from portal.networks.router_models import family_of
from portal.networks.router_views import external_of


@require_http_methods(["GET", "HEAD", "POST"])
def floating(request: HttpRequest) -> HttpResponse:
    """Every floating address of the team, and the form that takes one more."""
    team = team_for(request, "network.see")
    errors: Errors = {}
    if request.method == "POST":
        require(request, "network.change", team)
        try:
            external = external_of(request.POST)
            if external is None:
                raise NetworkProblem({"external": [gettext("no external network was given: choose one of the list")]})
            allocate_floating(team, external, request.POST.get("address", "").strip(), _family(request))
            return redirect("floating")
        except NetworkProblem as problem:
            errors = problem.errors
    return _page(request, team, errors)


@require_POST
def floating_change(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Give it to a port, take it back, or release it, as the posted form's `action` names."""
    row = get_object_or_404(_of(request), uuid=uuid)
    require(request, "network.change", row.team)
    action = request.POST.get("action", "")
    try:
        if action == "associate":
            associate(row, _port(row.team, request.POST.get("port", "")))
        elif action == "disassociate":
            disassociate(row)
        elif action == "release":
            release_floating(row)
        else:
            raise NetworkProblem({"action": [gettext("no such change; associate, disassociate, release are allowed")]})
    except NetworkProblem as problem:
        return _page(request, row.team, problem.errors)
    return redirect("floating")


@require_POST
def vm_floating(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The one click on a VM's page: a floating address of a family for its first port, or the end of it."""
    vm = get_object_or_404(VM, uuid=uuid, team__memberships__user_id=request.user.pk or 0)
    require(request, "network.change", vm.team)
    port = vm.ports.first()
    try:
        if port is None:
            raise NetworkProblem(
                {"port": [gettext("%(vm)s has no port yet: wait until it is created") % {"vm": vm.name}]}
            )
        if request.POST.get("action") == "take":
            for row in FloatingAddress.objects.filter(fixed__port=port).select_related("address"):
                if row.family == _family(request):
                    disassociate(row)
        else:
            give_floating(vm.team, port, _family(request))
    except NetworkProblem as problem:
        for line in (line for lines in problem.errors.values() for line in lines):
            messages.error(request, line)
    return redirect("vm", vm.uuid)


def _family(request: HttpRequest) -> int:
    return 6 if request.POST.get("family") == "6" else 4


def _of(request: HttpRequest):  # type: ignore[no-untyped-def]
    rows = FloatingAddress.objects.filter(team__memberships__user_id=request.user.pk or 0)
    return rows.select_related("team", "address__network", "fixed__port__vm")


def _port(team: Team, text: str) -> Port:
    found = port_named(Port.objects.filter(owned_by(team)), text)
    if found is None and _is_uuid(text):
        raise Http404
    if found is None:
        raise NetworkProblem(
            {"port": [gettext("no VM was given: choose one of the list, or give its name or address")]}
        )
    return found


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _page(request: HttpRequest, team: Team, errors: Errors) -> HttpResponse:
    rows = FloatingAddress.objects.filter(team=team).select_related(
        "address__network", "fixed__port__vm", "fixed__subnet"
    )
    free = FixedAddress.objects.filter(port__vm__team=team, floating=None).select_related("port__vm", "port__network")
    found, listed, use = cut(rows, request.GET), few(free), use_of_network(team)
    ports: dict[int, dict[int, Port]] = {4: {}, 6: {}}
    for one in listed or ():
        ports[family_of(one.address)][one.port_id] = one.port
    context = {
        "team": team, "errors": errors, "may": may(request, "network.change", team), "cut": found,
        "rows": [(row, list(ports[row.family].values())) for row in found.rows], "is_typed": listed is None,
        "externals": ExternalNetwork.objects.all(), "use": use,
        "full": full_words(team, "floating_addresses", use),
    }  # fmt: skip
    return render(request, "networks/floating.html", context, status=422 if errors else 200)
