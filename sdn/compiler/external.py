"""The external networks, on the hosts that are gateway host of a router: out by the cable to `br-ex`, and in from it.

An address of ours (a router's, or a floating one) is answered for on its gateway host alone. A packet from one of ours
to another of the same host is turned round before the cable (`external_route`), as br-ex would not send it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from sdn.compiler.build import Match, drop, flow, goto, load, reg
from sdn.compiler.external6 import Ours6, external6_flows, way_out6
from sdn.compiler.index import index_intent
from sdn.compiler.nat import external_mark, floating_cause
from sdn.compiler.responders import arp_reply
from sdn.compiler.routing import Routed, echo_reply, routed_here
from sdn.compiler.segments import from_segment, vlan_tag
from sdn.model.addresses import Mac
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow
from sdn.model.intent import ExternalIntent, HostView, IntentSnapshot, RouterIntent
from sdn.pipeline import TABLE_BY_NAME, Register

PORT_IN_PORT = 0xFFF8


@dataclass(frozen=True, slots=True)
class Ours:
    """One external address that this host answers for; `fixed` is what a floating one stands for."""

    address: IPv4Address
    mac: Mac
    router: RouterIntent
    cause: Cause
    fixed: IPv4Address | None


@dataclass(frozen=True, slots=True)
class Outside:
    """An external network as one gateway host sees it."""

    external: ExternalIntent
    ours: tuple[Ours, ...]
    ours6: tuple[Ours6, ...] = ()

    @property
    def cause(self) -> Cause:
        return Cause(CauseKind.EXTERNAL_NETWORK, self.external.id)

    @property
    def mark(self) -> Match:
        return external_mark(self.external.id)


def outsides(routers: Iterable[Routed]) -> tuple[Outside, ...]:
    """The external networks that this host is a gateway host on, with the addresses it answers for."""
    found: dict[int, tuple[ExternalIntent, list[Ours], list[Ours6]]] = {}
    for routed in routers:
        if routed.is_gateway and routed.external is not None:
            _, four, six = found.setdefault(routed.external.id, (routed.external, [], []))
            four.extend(_addresses(routed))
            six.extend(_addresses6(routed))
    return tuple(Outside(external, tuple(four), tuple(six)) for _, (external, four, six) in sorted(found.items()))


def outsides_of(snapshot: IntentSnapshot, view: HostView) -> tuple[Outside, ...]:
    """The external networks that `view.host` is a gateway host on."""
    index = index_intent(replace(snapshot, ports=()))
    led = sorted(index.led_by.get(view.host, ()))
    return outsides(routed_here(index, view.host, index.routers[router_id]) for router_id in led)


def _addresses(routed: Routed) -> Iterator[Ours]:
    router = routed.router
    if router.external_mac is None:
        return
    if router.external_address is not None:
        yield Ours(router.external_address, router.external_mac, router, routed.cause, None)
    for floating in router.floating:
        if isinstance(floating.address, IPv4Address) and isinstance(floating.fixed, IPv4Address):
            yield Ours(floating.address, router.external_mac, router, floating_cause(floating), floating.fixed)


def _addresses6(routed: Routed) -> Iterator[Ours6]:
    router = routed.router
    if routed.address6 is None or router.external_mac is None:
        return
    yield Ours6(routed.address6, router.external_mac, router, routed.cause, None)
    for floating in router.floating:
        if isinstance(floating.address, IPv6Address) and isinstance(floating.fixed, IPv6Address):
            yield Ours6(floating.address, router.external_mac, router, floating_cause(floating), floating.fixed)


def external_flows(outside: Outside, view: HostView) -> Iterator[Flow]:
    """The flows of external_route, external_neighbour and external_in, and the cable's way in."""
    yield from _routes(outside)
    yield from _neighbours(outside, view)
    if view.external_ofport is not None:
        yield _arrival(outside, view.external_ofport)
    for ours in outside.ours:
        yield from _answers(outside, ours)
        yield from _translations(outside, ours)
    for six in outside.ours6:
        yield from external6_flows(outside.external, outside.mark, six)
    yield from way_out6(outside.external, outside.mark, outside.cause)


def _routes(outside: Outside) -> Iterator[Flow]:
    external, mark = outside.external, outside.mark
    for ours in outside.ours:
        # The packet starts anew: another connection, and no port that an output would have to spare.
        turn = ("ct_clear", "set_field:0->in_port", f"set_field:{ours.mac}->eth_dst")
        to = {**mark, "ip": "", "nw_dst": str(ours.address)}
        yield flow("external_route", 200, ours.cause, to, (*turn, goto("external_route", "external_in")))
    on_link = {**mark, "ip": "", "nw_dst": str(external.cidr)}
    direct = (
        f"move:NXM_OF_IP_DST[]->NXM_NX_REG{int(Register.NEXT_HOP)}[]",
        goto("external_route", "external_neighbour"),
    )
    yield flow("external_route", 100, outside.cause, on_link, direct)
    if external.gateway is not None:
        by_gateway = (load(int(external.gateway), Register.NEXT_HOP), goto("external_route", "external_neighbour"))
        yield flow("external_route", 90, outside.cause, {**mark, "ip": ""}, by_gateway)


def _neighbours(outside: Outside, view: HostView) -> Iterator[Flow]:
    """Known MACs; the controller asks for an unknown one and sends the packet on when it is answered."""
    mark, cause, ofport = outside.mark, outside.cause, view.external_ofport
    if ofport is None:
        yield flow("external_neighbour", 50, cause, mark, drop("external_neighbour", "external_down"))
        return
    for external_id, address, mac in view.neighbours:
        if external_id == outside.external.id:
            hop = {**mark, reg(Register.NEXT_HOP): f"{int(address):#x}"}
            send = (f"set_field:{mac}->eth_dst", *vlan_tag(outside.external.vid), load(ofport, Register.OUT))
            yield flow("external_neighbour", 100, cause, hop, (*send, goto("external_neighbour", "output")))
    yield flow("external_neighbour", 50, cause, mark, ("CONTROLLER:65535",))


def _arrival(outside: Outside, ofport: int) -> Flow:
    match, strip = from_segment(ofport, outside.external.vid)
    known = load(outside.external.id & 0xFFFFFFFF, Register.EXTERNAL)
    return flow("classify", 100, outside.cause, match, (*strip, known, goto("classify", "external_in")))


def _answers(outside: Outside, ours: Ours) -> Iterator[Flow]:
    """ARP, what others answer to our ARP, and ping of the router's own address."""
    mark, address = outside.mark, str(ours.address)
    back = (*vlan_tag(outside.external.vid), load(PORT_IN_PORT, Register.OUT), goto("external_in", "output"))
    question = {**mark, "arp": "", "arp_op": "1", "arp_tpa": address}
    yield flow("external_in", 100, ours.cause, question, (*arp_reply(address, ours.mac), *back))
    answer = {**mark, "arp": "", "arp_op": "2", "arp_tpa": address, "dl_dst": ours.mac}
    yield flow("external_in", 100, ours.cause, answer, ("CONTROLLER:65535",))
    if ours.fixed is not None:
        return
    echo = {**mark, "dl_dst": ours.mac, "icmp": "", "icmp_type": "8", "nw_dst": address}
    swap = ("move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]", f"set_field:{ours.mac}->eth_src", *echo_reply(ours.address))
    turned = {**echo, "in_port": "0"}
    again = f"resubmit(,{TABLE_BY_NAME['external_route'].table_id})"
    yield flow("external_in", 120, ours.cause, turned, (*echo_reply(ours.address), again))
    yield flow("external_in", 110, ours.cause, echo, (*swap, *back))


def _translations(outside: Outside, ours: Ours) -> Iterator[Flow]:
    mark: Match = {**outside.mark, "dl_dst": ours.mac, "ip": ""}
    to = {**mark, "nw_dst": str(ours.address)}
    for ttl in ("0", "1"):
        yield flow("external_in", 130, ours.cause, {**to, "nw_ttl": ttl}, drop("external_in", "ttl_exceeded"))
    nat = f"nat(dst={ours.fixed})" if ours.fixed is not None else "nat"
    commit = "commit," if ours.fixed is not None else ""
    there, router = TABLE_BY_NAME["route"].table_id, ours.router
    track = f"ct({commit}table={there},zone={router.zone},{nat})"
    yield flow("external_in", 100, ours.cause, to, (load(router.vni, Register.ROUTER), track))
    # Whatever comes out of conntrack with the address unchanged is part of nothing.
    left = {reg(Register.ROUTER): f"{router.vni:#x}", **mark, "nw_dst": str(ours.address)}
    left.pop("dl_dst")
    yield flow("route", 490, ours.cause, left, drop("route", "nobody_asked"))
