"""Packets at any port of a live host's bridges over REST, for operators."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status

from portal.accounts.access import require
from portal.accounts.views import person
from portal.bundles.api import PacketIn
from portal.hosts.models import Host
from portal.traces.models import PortTrace
from portal.traces.port_traces import ask_port_trace
from portal.traces.raw import PacketAsked

router = Router()


class PortTraceOut(Schema):
    """`result` is a trace, in the schema of any other; none until it is done."""

    uuid: UUID
    host: str
    bridge: str
    flow: str
    ct_next: list[str]
    state: str
    result: dict[str, Any] | None
    error: str
    created_at: datetime

    @staticmethod
    def resolve_host(row: PortTrace) -> str:
        return row.host.name


@router.post("/hosts/{host}/port-traces", response={202: PortTraceOut}, summary="Ask which way a packet takes from a port of a host")  # fmt: skip
def post_port_trace(request: HttpRequest, host: str, asked: PacketIn) -> Any:
    """Any bridge of the host, ours or not; the packet is a flow in ovs-ofctl's syntax, whose in_port may be a name."""
    require(request, "flow.trace")
    packet = PacketAsked(asked.bridge, asked.flow, tuple(asked.ct_next))
    return Status(202, ask_port_trace(get_object_or_404(Host, name=host), person(request), packet))


@router.get("/port-traces/{uuid}", response=PortTraceOut, summary="A packet's way from a port of a host")
def get_port_trace(request: HttpRequest, uuid: UUID) -> Any:
    require(request, "flow.see")
    return get_object_or_404(PortTrace.objects.select_related("host"), uuid=uuid)
