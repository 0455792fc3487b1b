"""Flow tables of the hosts' switches, for operators."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from portal.accounts.access import memberships_of, require_operator
from portal.accounts.openable import openable
from portal.config.cut import cut
from portal.config.told import told
from portal.hosts.models import Host
from portal.live.transient import transient_snapshot
from portal.topology.bridges import Bridge, bridges_of, bridges_of_all
from sdn.pipeline import TABLES

MONITOR = "monitor"  # beside the flows in the topic's state: how they are known
MOST_WITHOUT_SCRIPT = 500


@require_safe
def flow_hosts(request: HttpRequest) -> HttpResponse:
    """The hosts and bridges whose flow tables can be looked at."""
    require_operator(request)
    found = cut(Host.objects.order_by("name"), request.GET)
    hosts = {host.name: host for host in found.rows}
    rows = [(hosts[bridge.host], bridge) for bridge in bridges_of_all(list(hosts))]
    return render(request, "topology/flow_hosts.html", {"rows": rows, "cut": found})


@require_safe
def flows(request: HttpRequest, host: str, bridge: str) -> HttpResponse:
    """One bridge's flows by table, as last read; the island keeps them true."""
    require_operator(request)
    row, here = bridge_or_404(host, bridge)
    state = _flows(row.name, bridge)
    hosts = list(Host.objects.order_by("name").values_list("name", flat=True))
    others = [one for one in bridges_of_all(hosts) if one != here]
    legend = (
        [] if here.foreign else [{"id": one.table_id, "name": one.name, "purpose": told(one.purpose)} for one in TABLES]
    )
    page = {
        "host": row,
        "bridge": here,
        "topic": f"flows:{row.name}/{bridge}",
        "tables": _by_table(_linked(request, dict(list(state.items())[:MOST_WITHOUT_SCRIPT])), legend),
        "teams": [one.team.slug for one in memberships_of(request)],
        "hidden": max(0, len(state) - MOST_WITHOUT_SCRIPT),
        "legend": legend,
        "bridges": [
            {
                "host": one.host,
                "bridge": one.name,
                "foreign": one.foreign,
                "url": reverse("flows", args=(one.host, one.name)),
            }
            for one in others
        ],
    }
    return render(request, "topology/flows.html", page)


@require_safe
def flows_export(request: HttpRequest, host: str, bridge: str, kind: str) -> HttpResponse:
    """The flows as last read, as text that ovs-ofctl takes or as JSON."""
    require_operator(request)
    row, _ = bridge_or_404(host, bridge)
    rows = sorted(_flows(row.name, bridge).values(), key=_order)
    if kind == "json":
        return JsonResponse({"host": row.name, "bridge": bridge, "flows": rows})
    return HttpResponse("".join(f"{_line(flow)}\n" for flow in rows), content_type="text/plain; charset=utf-8")


def bridge_or_404(host: str, name: str) -> tuple[Host, Bridge]:
    """The host and its bridge. Raises Http404 where there is none."""
    row = get_object_or_404(Host, name=host)
    found = next((bridge for bridge in bridges_of(row.name) if bridge.name == name), None)
    if found is None:
        raise Http404(f"no bridge {name} on {host}")
    return row, found


def _flows(host: str, bridge: str) -> dict[str, dict[str, Any]]:
    state: dict[str, dict[str, Any]] = transient_snapshot(f"flows:{host}/{bridge}")["state"]
    return {key: flow for key, flow in state.items() if key != MONITOR}


def _linked(request: HttpRequest, state: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The flows with the addresses alone that the reader may open."""
    places = {(flow["cause_url"], flow.get("cause_team", "")) for flow in state.values() if flow["cause_url"]}
    mine = {place: openable(request, *place) for place in places}
    return {
        key: {**flow, "cause_url": mine.get((flow["cause_url"], flow.get("cause_team", "")), "")}
        for key, flow in state.items()
    }


def _order(flow: dict[str, Any]) -> tuple[int, int, str]:
    return int(flow["table"]), -int(flow["priority"]), str(flow["match"])


def _line(flow: dict[str, Any]) -> str:
    match = f",{flow['match']}" if flow["match"] else ""
    counted = f"n_packets={flow['packets']}, n_bytes={flow['bytes']}"
    head = f" cookie={flow['cookie']}, table={flow['table']}, {counted}, priority={flow['priority']}"
    return f"{head}{match} actions={flow['actions'] or 'drop'}"


def _by_table(state: dict[str, dict[str, Any]], legend: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tables in order with their flows, highest priority first."""
    known = {int(table["id"]): table for table in legend}
    unnamed = (
        {"name": "foreign", "purpose": "a table that the pipeline does not use"}
        if legend
        else {"name": "table", "purpose": ""}
    )
    by_table: dict[int, list[dict[str, Any]]] = {}
    for flow in sorted(state.values(), key=_order):
        by_table.setdefault(int(flow["table"]), []).append(flow)
    return [{**known.get(number, {"id": number, **unnamed}), "flows": rows} for number, rows in by_table.items()]
