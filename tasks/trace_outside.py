"""A packet from an external network to a floating address, as a question: in by the gateway host of the router behind it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from django.utils import timezone

from portal.networks.models import FloatingAddress, Port, Router
from portal.networks.owners import owner_of
from portal.traces.models import TraceRequest
from portal.traces.outside import source_of
from portal.traces.packets import KINDS
from sdn.model.addresses import Mac
from sdn.model.packet import ECHO_REQUEST, Packet
from sdn.trace import Endpoint, Question
from sdn.trace.fields import frame_bytes
from sdn.trace.question import Outside
from tasks.trace_rows import CLIENT_PORT, Setting, endpoint_of, question_of

NEXT_HOP = Mac("02:00:00:00:00:01")  # whoever hands it on: no flow asks for the MAC that it comes from
ONE_WAY = "The way back is the connection's own: conntrack turns it round by what this packet leaves there."


def outside_question(request: TraceRequest, setting: Setting, target: Port) -> tuple[Question, tuple[str, ...]]:
    """The question, and what is to be told beside its answer."""
    assert request.outside is not None
    to = ip_address(request.address)
    came_from = ip_address(source_of(request.outside, request.source_address, to.version))
    router = _router_behind(request)
    host = router.gateway_host.name if router and router.gateway_host else ""
    name = f"{request.outside.name} {came_from}"
    ports = (0, ECHO_REQUEST[to.version]) if request.protocol == "icmp" else (CLIENT_PORT, request.port_dst)
    packet = Packet(
        KINDS[request.protocol].wire, NEXT_HOP, Mac(router.external_mac if router else str(NEXT_HOP)), came_from, to,
        port_src=ports[0], port_dst=ports[1], size_bytes=frame_bytes(request.size_bytes),
        tcp_flags="ack" if request.moment == "established" else "syn",
    )  # fmt: skip
    source = Endpoint(name, "", "", came_from, host, "", None, "", "", "-")
    question = Question(
        id=str(request.uuid), source=source, target=endpoint_of(target, to.version), packet=packet,
        hosts=setting.trace_hosts(owner_of(target), to.version), generation=setting.generation, started_at=timezone.now().isoformat(),
        moment="established" if request.moment == "established" else "first",
        outside=Outside(request.outside.name, request.outside.vid),
    )  # fmt: skip
    return question, (ONE_WAY,)


def asked_question(request: TraceRequest, setting: Setting, source: Port | None, target: Port | None) -> tuple[Question, tuple[str, ...]]:  # fmt: skip
    """The question there of a trace's row, and what is to be told beside its answer; one of source and target is given."""
    if source is not None:
        question, told = question_of(request, setting, source, target, "forward")
    else:
        assert target is not None
        question, told = outside_question(request, setting, target)
    return replace(question, overlay=tuple(sorted(request.header_fields.items()))), told


def _router_behind(request: TraceRequest) -> Router | None:
    """The router of the network that the floating address stands for a port of."""
    rows = FloatingAddress.objects.filter(address__address=request.address, address__network=request.outside)
    found = rows.select_related("fixed__subnet__router_port__router__gateway_host").first()
    if found is None or found.fixed is None or not hasattr(found.fixed.subnet, "router_port"):
        return None
    router: Router = found.fixed.subnet.router_port.router
    return router
