"""The map page: a table that says all of it, and the island that draws it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from portal.accounts.access import team_for
from portal.accounts.models import User
from portal.compute.models import VM
from portal.hosts.models import Host
from portal.topology.flow_instants import InstantProblem
from portal.topology.inventory import Guest, HostOnMap, Inventory, Scope, guest_count, load_inventory
from portal.topology.namespaces import leads_to
from portal.topology.past_map import kept_instants, past_map
from portal.topology.serialize import inventory_as_state

NO_UUID = str(UUID(int=0))
MOST_NAMESPACES = 200  # in the table, cabled ones first
MOST_IN_PAGE = 300  # guests; a bigger map is fetched by the island, and the table gives sums per host


def scope_of(request: HttpRequest) -> Scope:
    """Everything for operators, else the current team's; 403 in words for a person without teams."""
    user = request.user
    return Scope(None if isinstance(user, User) and user.is_operator else team_for(request, "topology.see"))


@require_safe
def topology(request: HttpRequest) -> HttpResponse:
    """Hosts, switches, guests and networks, as last seen; the island keeps them true. ?when= is the operators' map of then."""
    scope = scope_of(request)
    when, errors = request.GET.get("when", "").strip(), {}
    if when and scope.team is not None:
        raise Http404  # what was on hosts is the operators' to see
    try:
        past = past_map(when) if when else None
    except InstantProblem as problem:
        past, errors = None, problem.errors
    count = guest_count(scope)
    inventory = past.inventory if past else load_inventory(scope) if count <= MOST_IN_PAGE else None
    island = {
        "topic": "" if past else scope.topic,
        "past": past.at.isoformat() if past else "",
        "kept": kept_instants() if scope.team is None else [],
        "operator": scope.team is None,
        "state": inventory_as_state(inventory) if inventory else None,
        "urls": {
            "inventory": reverse("topology_inventory"),
            "vm": reverse("vm", args=[NO_UUID]).replace(NO_UUID, "{uuid}"),
            "trace": "" if scope.team is None else reverse("trace_new"),
            "tracePage": reverse("trace", args=[NO_UUID]).replace(NO_UUID, "{uuid}"),
            "traceAnswer": "/api/v1/traces/{uuid}",
            "drops": "" if scope.team is None else "/api/v1/ports/{uuid}/drops",
            "flows": reverse("flows", args=["HOST", "BRIDGE"]) if scope.team is None else "",
            "host": reverse("host", args=["HOST"]) if scope.team is None else "",
            "packet": reverse("port_traces", args=["HOST", "BRIDGE"]) if scope.team is None and not past else "",
            "history": reverse("topology_history") if scope.team is None else "",
            "networks": "" if scope.team is None else reverse("networks"),
        },
    }
    page = {
        "island": island, "scope": scope, "guest_count": count, "most": MOST_IN_PAGE, "past": past, "when": when, "errors": errors,
    }  # fmt: skip
    tables = _tables(inventory) if inventory else {"sums": _sums(scope)}
    return render(request, "topology/topology.html", page | tables, status=422 if errors else 200)


@require_safe
def topology_inventory(request: HttpRequest) -> JsonResponse:
    """The whole map as its live topic has it, without the number: what an island starts from."""
    return JsonResponse(
        inventory_as_state(load_inventory(scope_of(request))), json_dumps_params={"separators": (",", ":")}
    )


def _tables(inventory: Inventory) -> dict[str, Any]:
    networks = {network.uuid: network for network in inventory.networks}
    guests = [
        {"guest": guest, "nics": [{"nic": nic, "network": networks.get(nic.network)} for nic in guest.nics]}
        for guest in sorted(inventory.guests, key=_by_host)
    ]
    into = leads_to(inventory.namespaces)
    spaces = sorted(inventory.namespaces, key=lambda one: (not one.is_cabled, one.host, one.name))
    ports = [
        {
            "host": host,
            "bridge": bridge,
            "port": port,
            "words": port.kind.replace("-", " "),
            "into": into.get((host.name, port.name), ""),
        }
        for host in inventory.hosts
        for bridge in host.bridges
        for port in bridge.ports
    ]
    rows = [{"host": host, "guests": _count(inventory, host)} for host in inventory.hosts]
    routers = [
        {"router": router, "networks": [networks[uuid].name for uuid in router.networks if uuid in networks]}
        for router in inventory.routers
    ]
    return {
        "heard": [host for host in inventory.hosts if inventory.scope.team is None],
        "routers": routers,
        "rows": rows,
        "guests": guests,
        "ports": ports,
        "networks": networks.values(),
        "foreign": inventory.foreign,
        "namespaces": spaces[:MOST_NAMESPACES],
        "more_namespaces": max(len(spaces) - MOST_NAMESPACES, 0),
    }


def _by_host(guest: Guest) -> tuple[str, str]:
    return guest.host, guest.name


def _count(inventory: Inventory, host: HostOnMap) -> int:
    return sum(1 for guest in inventory.guests if guest.host == host.name and guest.kind == "vm")


def _sums(scope: Scope) -> list[dict[str, Any]]:
    """Per host how many of the map's guests it has."""
    mine = VM.objects.all() if scope.team is None else VM.objects.filter(team=scope.team)
    counts = dict(mine.values_list("host__name").order_by().annotate(Count("id")))
    return [{"name": name, "guests": counts.get(name, 0)} for name in Host.objects.values_list("name", flat=True)]
