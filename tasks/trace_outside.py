"""Packets that come from no port, as questions: from an external network, in by the gateway host of the router behind the
floating address; and from a router, by the tunnel of the host that it is for."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from django.utils import timezone

from portal.networks.models import FloatingAddress, Port, Router, Subnet
from portal.networks.owners import owner_of
from portal.traces.models import TraceRequest
from portal.traces.outside import source_of
from portal.traces.packets import KINDS
from portal.traces.routers import leg_to
from sdn.model.addresses import Mac
from sdn.model.packet import ECHO_REQUEST, Address, Packet
from sdn.trace import Endpoint, Question
from sdn.trace.fields import frame_bytes
from sdn.trace.question import FromRouter, Outside
from tasks.trace_rows import CLIENT_PORT, NOBODY, Setting, endpoint_of, question_of

NEXT_HOP = Mac("02:00:00:00:00:01")  # whoever hands it on: no flow asks for the MAC that it comes from
FROM_ROUTER = "A router is on every host: its packet is followed as it comes to the target's host from another one."
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


def router_question(request: TraceRequest, setting: Setting, target: Port | None) -> tuple[Question, tuple[str, ...]]:
    """The question of a router's packet, and what is to be told beside its answer."""
    router = request.router
    assert router is not None
    subnet = leg_to(router, target, request.address)
    to = _of_family(target, request.address, subnet)
    network = target.network if target is not None else subnet.network if subnet is not None else None
    host = (target.host if target is not None else router.gateway_host) if subnet is not None else None
    own = ip_address(subnet.gateway) if subnet is not None else NOBODY[to.version]
    ports = (0, ECHO_REQUEST[to.version]) if request.protocol == "icmp" else (CLIENT_PORT, request.port_dst)
    packet = Packet(
        KINDS[request.protocol].wire, Mac(network.router_mac) if network else NEXT_HOP,
        Mac(target.mac if target is not None else router.external_mac), own, to,
        port_src=ports[0], port_dst=ports[1], size_bytes=frame_bytes(request.size_bytes),
        tcp_flags="ack" if request.moment == "established" else "syn",
    )  # fmt: skip
    vni = network.vni if target is not None and network is not None and network.vni else router.vni
    kind = network.kind if target is not None and network is not None else "vxlan"
    question = Question(
        id=str(request.uuid), source=Endpoint(router.name, "", "", own, host.name if host else "", "", None, "", "", "-"),
        target=endpoint_of(target, to.version) if target is not None else None, packet=packet,
        hosts=setting.trace_hosts(router.team, to.version), generation=setting.generation,
        started_at=timezone.now().isoformat(), moment="established" if request.moment == "established" else "first",
        router=FromRouter(router.name, vni, kind),
    )  # fmt: skip
    return question, (FROM_ROUTER,)


def _of_family(target: Port | None, address: str, subnet: Subnet | None) -> Address:
    """Where the packet goes: the address that was asked about, or the target's of the subnet."""
    if address or target is None:
        return ip_address(address)
    own = [ip_address(row.address) for row in target.addresses.all()]
    inside = [one for one in own if subnet is not None and one in ip_network(subnet.cidr)]
    return (inside or own)[0]


def asked_question(request: TraceRequest, setting: Setting, source: Port | None, target: Port | None) -> tuple[Question, tuple[str, ...]]:  # fmt: skip
    """The question there of a trace's row, and what is to be told beside its answer; a router's packet has no source."""
    if request.router is not None:
        question, told = router_question(request, setting, target)
    elif source is not None:
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
