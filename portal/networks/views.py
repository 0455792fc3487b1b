"""The team's networks: list, create, one network with its subnets, delete."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Count, Prefetch, QuerySet, prefetch_related_objects
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.accounts.access import current_team, may, require, role_in, team_for
from portal.accounts.models import Team
from portal.config.cut import cut
from portal.drops.presentation import drops_of_ports
from portal.networks import numbers
from portal.networks.models import Network, Port, PortKind, Subnet
from portal.networks.mtu import network_mtu
from portal.networks.network_requests import (
    OVERLAYS,
    NetworkSpec,
    SubnetSpec,
    add_subnet,
    create_network,
    delete_network,
    delete_subnet,
    uses_of_network,
)
from portal.networks.owners import owned_by, owned_by_person, usable_networks, visible_networks
from portal.networks.problems import Errors, NetworkProblem, all_at_once
from portal.networks.quota import full_words, use_of_network
from portal.networks.subnet_requests import reservations
from sdn.model.mtu import PROVIDER_KINDS

NETWORKS_SHOWN, PORTS_SHOWN = 20, 50  # networks of a page; one with more ports shows them on its own page
FIELDS = ("name", "cidr", "gateway", "pool_start", "pool_end", "dns", "mtu", "kind", "address")


@require_safe
def networks(request: HttpRequest) -> HttpResponse:
    """Every network with its subnets, ports and addresses."""
    team = team_for(request, "network.see")
    rows = usable_networks(team).select_related("team").prefetch_related("subnets__router_port__router")
    found = cut(rows, request.GET, NETWORKS_SHOWN)
    owned = Port.objects.filter(owned_by(team), network__in=found.rows)
    counts = dict(owned.values_list("network").annotate(Count("pk")).order_by())
    short = [row for row in found.rows if counts.get(row.pk, 0) <= PORTS_SHOWN]
    prefetch_related_objects(short, Prefetch("ports", _shown_ports().filter(owned_by(team)), "listed"))
    context = {
        "networks": [(row, counts.get(row.pk, 0)) for row in found.rows], "cut": found, "team": team,
        "may": may(request, "network.change", team), "ports_shown": PORTS_SHOWN, "use": use_of_network(team),
    }  # fmt: skip
    return render(request, "networks/networks.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def network_create(request: HttpRequest) -> HttpResponse:
    """The form of a new network with its first subnet."""
    team = team_for(request, "network.change")
    errors: Errors = {}
    if request.method == "POST":
        mtu, errors = number_of(request.POST, "mtu")
        kind = request.POST.get("kind", "") or OVERLAYS[0]
        spec = NetworkSpec(request.POST.get("name", "").strip(), subnet_spec(request.POST), mtu, kind=kind)
        try:
            return redirect("network", all_at_once(errors, lambda: create_network(team, spec)).uuid)
        except NetworkProblem as problem:
            errors = problem.errors
    values = {field: request.POST.get(field, "") for field in FIELDS}
    use = use_of_network(team)
    context = {
        "team": team, "values": values, "errors": errors, "default_mtu": network_mtu(),
        "largest_mtu": numbers.largest_mtu(), "use": use, "full": full_words(team, "networks", use),
    }  # fmt: skip
    return render(request, "networks/network_create.html", context, status=422 if errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def network(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One network: its ports, its subnets, and a form for one more of these."""
    row = get_object_or_404(visible(request), uuid=uuid)
    errors: Errors = {}
    if request.method == "POST":
        require(request, change_right(row), row.team)
        try:
            add_subnet(row, subnet_spec(request.POST))
            return redirect("network", row.uuid)
        except NetworkProblem as problem:
            errors = problem.errors
    return network_page(request, row, errors)


@require_http_methods(["GET", "HEAD", "POST"])
def network_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask once more, then delete; says what is in the way."""
    row = get_object_or_404(visible(request), uuid=uuid)
    require(request, change_right(row), row.team)
    reasons = uses_of_network(row)
    if request.method == "POST":
        try:
            delete_network(row)
            return redirect("networks")
        except NetworkProblem as problem:
            reasons = problem.errors["network"]
    status = 422 if request.method == "POST" else 200
    return render(request, "networks/network_delete.html", {"network": row, "reasons": reasons}, status=status)


@require_POST
def subnet_delete(request: HttpRequest, uuid: UUID, subnet_id: int) -> HttpResponse:
    """Delete a subnet that nothing uses."""
    row = get_object_or_404(visible(request), uuid=uuid)
    require(request, change_right(row), row.team)
    try:
        delete_subnet(get_object_or_404(Subnet, network=row, pk=subnet_id))
    except NetworkProblem as problem:
        return network_page(request, row, problem.errors)
    return redirect("network", row.uuid)


def subnet_spec(posted: QueryDict) -> SubnetSpec:
    """The subnet of a posted form; name servers are parted by commas or spaces."""
    dns = tuple(posted.get("dns", "").replace(",", " ").split())
    cidr, gateway, start, end = (posted.get(name, "").strip() for name in ("cidr", "gateway", "pool_start", "pool_end"))
    return SubnetSpec(cidr, gateway, start, end, dns)


def number_of(posted: QueryDict, field: str) -> tuple[int | None, Errors]:
    """A number of a posted form, None where it was left empty."""
    text = posted.get(field, "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return int(text), {}
    return None, {
        field: [gettext("“%(text)s” was given; a number is allowed, or nothing") % {"text": text[:40]}]
    } if text else {}


def network_page(request: HttpRequest, row: Network, errors: Errors) -> HttpResponse:
    """The network's page, with what was wrong about a form of it."""
    values: dict[str, Any] = {field: request.POST.get(field, "") for field in FIELDS}
    ports = _ports(request, row)
    context = {
        "network": row, "errors": errors, "values": values, "may": may(request, change_right(row), row.team),
        "ports": cut(ports.exclude(kind=PortKind.RESERVED), request.GET), "reserved": reservations(row),
        "drops": drops_of_ports(ports), "drops_team": _reader(request, row),
    }  # fmt: skip
    return render(request, "networks/network.html", context, status=422 if errors else 200)


def _reader(request: HttpRequest, network: Network) -> Team:
    """The team as which the person sees the network: its own, or the one that it is shared with."""
    own = current_team(request) if role_in(request, network.team) is None else None
    return own or network.team


def change_right(network: Network) -> str:
    """The right that changing the network needs: a segment of the hosts' wire is the operators'."""
    return "provider.manage" if network.is_provider else "network.change"


def visible(request: HttpRequest) -> QuerySet[Network]:
    """The person's teams' networks, and for operators every provider network."""
    rows = visible_networks(request.user.pk or 0)
    if may(request, "provider.manage"):
        rows |= Network.objects.filter(kind__in=PROVIDER_KINDS)
    return rows.select_related("team").prefetch_related("subnets__router_port__router")


def _ports(request: HttpRequest, network: Network) -> QuerySet[Port]:
    """The network's ports of the person's teams; all of them for operators."""
    ports = _shown_ports().filter(network=network).prefetch_related("addresses__floating__address")
    return ports if may(request, "provider.manage") else ports.filter(owned_by_person(request.user.pk or 0))


def _shown_ports() -> QuerySet[Port]:
    return Port.objects.select_related("host", "vm").prefetch_related("addresses")
