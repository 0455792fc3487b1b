"""Flow tables of the hosts' switches, for operators."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from portal.accounts.access import require_operator
from portal.hosts.models import Host
from portal.live.transient import transient_snapshot
from sdn.pipeline import TABLES

BRIDGES = ("br-int",)


@require_safe
def flow_hosts(request: HttpRequest) -> HttpResponse:
    """The hosts whose flow tables can be looked at."""
    require_operator(request)
    return render(request, "topology/flow_hosts.html", {"hosts": Host.objects.all()})


@require_safe
def flows(request: HttpRequest, host: str, bridge: str) -> HttpResponse:
    """One bridge's flows by table, as last read; the island keeps them true."""
    require_operator(request)
    row = get_object_or_404(Host, name=host)
    if bridge not in BRIDGES:
        raise Http404(f"no bridge {bridge} on {host}")
    topic = f"flows:{row.name}/{bridge}"
    state = transient_snapshot(topic)["state"]
    page = {
        "host": row,
        "bridge": bridge,
        "topic": topic,
        "tables": _by_table(state),
        "total": len(state),
        "legend": [{"id": table.table_id, "name": table.name, "purpose": table.purpose} for table in TABLES],
        "hosts": Host.objects.exclude(pk=row.pk),
    }
    return render(request, "topology/flows.html", page)


def _by_table(state: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The tables of the pipeline in order with their flows, highest priority first; foreign tables at the end."""
    known = {table.table_id: {"id": table.table_id, "name": table.name, "purpose": table.purpose} for table in TABLES}
    by_table: dict[int, list[dict[str, Any]]] = {}
    for flow in state.values():
        by_table.setdefault(int(flow["table"]), []).append(flow)
    sections = []
    for number in sorted(by_table):
        table = known.get(
            number, {"id": number, "name": "foreign", "purpose": "a table that the pipeline does not use"}
        )
        ordered = sorted(by_table[number], key=lambda flow: (-int(flow["priority"]), str(flow["match"])))
        sections.append({**table, "flows": ordered})
    return sections
