"""Distributed routing: a packet to a network's router MAC is routed on the sender's own host.

`router` tells what is for the router from what stays on its network, and puts the router's VNI into a register;
`route` finds the longest prefix (by priority), `next_hop` the MAC on the target network. Then the packet goes on in
`l2_lookup` as one of that network, from its router MAC. What has no route inside goes to the table `nat`.

Priorities of `route`: 500 the router's own addresses, 400 TTL, 200 + 2 × prefix length the routes, 1 more for a subnet
so that it wins over a static route to the same prefix; 0 no route.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from sdn.compiler.build import TOLD_BYTES, Match, drop, flow, goto, load, reg, to_prefix
from sdn.compiler.index import IntentIndex
from sdn.compiler.overlay import Overlay
from sdn.model.addresses import HostName
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow
from sdn.model.intent import (
    Address,
    Cidr,
    ExternalIntent,
    HostIntent,
    NetworkIntent,
    PortIntent,
    RouterIntent,
    SubnetIntent,
)
from sdn.pipeline import Register

# Broadcast, multicast, and IPv6's link-local addresses: never routed.
ON_THE_LINK = (
    {"ip": "", "nw_dst": "255.255.255.255"},
    {"ip": "", "nw_dst": "224.0.0.0/4"},
    {"ipv6": "", "ipv6_dst": "ff00::/8"},
    {"ipv6": "", "ipv6_dst": "fe80::/10"},
)
SWAP_MACS = (
    "push:NXM_OF_ETH_SRC[]",
    "push:NXM_OF_ETH_DST[]",
    "pop:NXM_OF_ETH_SRC[]",
    "pop:NXM_OF_ETH_DST[]",
)
ANYWHERE = 0  # prefix length of the default route
ETHERNET_BYTES = 14


@dataclass(frozen=True, slots=True)
class Leg:
    """A router's subnet and the network that it is on."""

    network: NetworkIntent
    subnet: SubnetIntent


@dataclass(frozen=True, slots=True)
class Routed:
    """A router as one host sees it. `gateway` is the host that leads outside, None where there is none."""

    router: RouterIntent
    legs: tuple[Leg, ...]
    ports: tuple[PortIntent, ...]  # of its networks
    external: ExternalIntent | None
    gateway: HostIntent | None
    is_gateway: bool  # this very host

    @property
    def bare(self) -> Routed:
        """Without ports: what may be known where they do not matter."""
        return self.only(())

    def only(self, ports: tuple[PortIntent, ...]) -> Routed:
        """With these ports alone."""
        return replace(self, ports=ports)

    @property
    def cause(self) -> Cause:
        return Cause(CauseKind.ROUTER, self.router.id)

    @property
    def address6(self) -> IPv6Address | None:
        """What its networks are seen as outside over IPv6, None where that has no way there."""
        return self.external.address6_of(self.router.external_mac) if self.external is not None else None

    @property
    def mark(self) -> Match:
        """The match of packets that the router has."""
        return {reg(Register.ROUTER): f"{self.router.vni:#x}"}


def routed_here(index: IntentIndex, host: HostName, router: RouterIntent) -> Routed:
    """The router as that host sees it."""
    legs = tuple(
        Leg(index.networks[leg.network_id], index.subnets[leg.subnet_id])
        for leg in sorted(router.ports, key=lambda leg: leg.subnet_id)
        if leg.network_id in index.networks and leg.subnet_id in index.subnets
    )
    external = index.externals.get(router.external_id) if router.external_id is not None else None
    is_gateway = external is not None and router.gateway_host == host
    attached = tuple(port for one in sorted({leg.network.id for leg in legs}) for port in index.ports_of.get(one, ()))
    gateway = index.hosts.get(router.gateway_host) if external is not None and router.gateway_host is not None else None
    return Routed(router, legs, attached, external, gateway, is_gateway)


def own_network_flows(overlay: Overlay) -> Iterator[Flow]:
    """What a network's own ports send to each other: its subnets, broadcast and multicast, none of it routed."""
    cause, mark = overlay.cause, overlay.mark
    here = (goto("router", "l2_lookup"),)
    for subnet in overlay.network.subnets:
        yield flow("router", 100, cause, {**mark, **to_prefix(subnet.cidr)}, here)
    for wide in ON_THE_LINK:
        yield flow("router", 90, cause, {**mark, **wide}, here)


def router_flows(routed: Routed) -> Iterator[Flow]:
    """The router's flows of the tables router and route, but for its static routes."""
    yield from _entries(routed)
    yield from _own_addresses(routed)
    yield from _ttl(routed)
    yield from _subnets(routed)
    yield from _default_route(routed)


def _families(routed: Routed) -> list[str]:
    return sorted({"ip" if leg.subnet.cidr.version == 4 else "ipv6" for leg in routed.legs} | {"ip"})


def _entries(routed: Routed) -> Iterator[Flow]:
    """To the router's MAC, from whichever of its networks; a packet to the own subnet too, which goes back there."""
    mine = (load(routed.router.vni, Register.ROUTER), goto("router", "route"))
    for network in {leg.network.id: leg.network for leg in routed.legs}.values():
        to_router = {reg(Register.VNI): f"{network.vni:#x}", "dl_dst": network.router_mac}
        for family in _families(routed):
            yield flow("router", 110, routed.cause, {**to_router, family: ""}, mine)


def _own_addresses(routed: Routed) -> Iterator[Flow]:
    """Each of its addresses answers ping, from whichever network; and nothing else."""
    addresses = {leg.subnet.gateway for leg in routed.legs if isinstance(leg.subnet.gateway, IPv4Address)}
    if routed.external is not None and routed.router.external_address is not None:
        addresses.add(routed.router.external_address)
    inside = {**routed.mark, reg(Register.EXTERNAL): "0"}
    for address in sorted(addresses):
        echo = {**inside, "icmp": "", "icmp_type": "8", "nw_dst": str(address)}
        answer = (*SWAP_MACS, *echo_reply(address), *_back("route"))
        yield flow("route", 500, routed.cause, echo, answer)


def echo_reply(address: IPv4Address) -> tuple[str, ...]:
    """An echo request to `address` becomes its answer, above Ethernet."""
    return ("move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]", f"set_field:{address}->ip_src", "set_field:0->icmp_type")


def _back(here: str) -> tuple[str, ...]:
    return (
        load(0xFFF8, Register.OUT),
        goto(here, "output"),
    )  # OFPP_IN_PORT, through output so that a probe is no guest's


def _ttl(routed: Routed) -> Iterator[Flow]:
    """The controller gets a copy of a packet from inside, and answers it (RFC 792); all are counted as drops."""
    inside = {**routed.mark, reg(Register.EXTERNAL): "0"}
    for family in _families(routed):
        for ttl in ("0", "1"):
            out = {**routed.mark, family: "", "nw_ttl": ttl}
            yield flow("route", 400, routed.cause, out, drop("route", "ttl_exceeded"))
        last = {**inside, family: "", "nw_ttl": "1"}
        yield flow("route", 410, routed.cause, last, (f"CONTROLLER:{TOLD_BYTES}", *drop("route", "ttl_exceeded")))


def _priority(cidr: Cidr, connected: bool) -> int:
    return 200 + 2 * cidr.prefixlen + connected


def _onto(network: NetworkIntent, legs: Iterable[Leg]) -> tuple[str, ...]:
    """From here on it is a packet of that network, sent by its router."""
    onto = ("dec_ttl", f"set_field:{network.router_mac}->eth_src", load(network.vni, Register.VNI))
    return (*_measured(network.mtu, legs), *onto)


def _measured(mtu: int, legs: Iterable[Leg]) -> tuple[str, ...]:
    """Looks whether the packet fits; nothing where every network that it may come from carries as little itself."""
    if max((leg.network.mtu for leg in legs), default=0) <= mtu:
        return ()
    return (f"check_pkt_larger({mtu + ETHERNET_BYTES})->NXM_NX_REG{int(Register.TOO_BIG)}[0]",)


def _subnets(routed: Routed) -> Iterator[Flow]:
    for leg in routed.legs:
        match = {**routed.mark, **to_prefix(leg.subnet.cidr)}
        there = (*_onto(leg.network, routed.legs), goto("route", "next_hop"))
        yield flow("route", _priority(leg.subnet.cidr, True), routed.cause, match, there)


def static_routes(routed: Routed) -> Iterator[Flow]:
    """What goes by a port's address; `routed.ports` need only hold those that are a next hop (`next_hop_ports`)."""
    owners = {(port.network_id, address): port for port in routed.ports for address in port.addresses}
    for route in {route.destination: route for route in routed.router.routes}.values():
        match = {**routed.mark, **to_prefix(route.destination)}
        found = _owner(routed, route.next_hop, owners)
        if found is None:
            actions = drop("route", "no_neighbour")
        else:
            leg, port = found
            actions = (*_onto(leg.network, routed.legs), f"set_field:{port.mac}->eth_dst", goto("route", "l2_lookup"))
        yield flow("route", _priority(route.destination, False), routed.cause, match, actions)


def _owner(
    routed: Routed, address: Address, owners: dict[tuple[int, Address], PortIntent]
) -> tuple[Leg, PortIntent] | None:
    for leg in routed.legs:
        if address in leg.subnet.cidr and (port := owners.get((leg.network.id, address))):
            return leg, port
    return None


def _default_route(routed: Routed) -> Iterator[Flow]:
    """What no route inside has, leaves by the external network; what came from there never goes back."""
    if routed.external is None:
        return
    external, router = routed.external, routed.router
    whole = {**routed.mark, reg(Register.EXTERNAL): "0", "ip": ""}
    beyond = whole if external.gateway is not None else {**whole, "nw_dst": str(external.cidr)}
    leave = (*_measured(external.mtu, routed.legs), "dec_ttl", load(router.vni, Register.VNI), goto("route", "nat"))
    if any(route.destination.prefixlen == ANYWHERE and route.destination.version == 4 for route in router.routes):
        beyond = {**whole, "nw_dst": str(external.cidr)}  # a static default goes before ours
    length = external.cidr.prefixlen if "nw_dst" in beyond else ANYWHERE
    yield flow("route", 200 + 2 * length, routed.cause, beyond, leave)
    if routed.address6 is not None and not any(
        route.destination.prefixlen == ANYWHERE and route.destination.version == 6 for route in router.routes
    ):
        six = {**routed.mark, reg(Register.EXTERNAL): "0", "ipv6": ""}
        yield flow("route", 200, routed.cause, six, leave)


def next_hop_ports(routed: Routed) -> tuple[PortIntent, ...]:
    """The ports that have an address which a static route names."""
    hops = {route.next_hop for route in routed.router.routes}
    return tuple(port for port in routed.ports if not hops.isdisjoint(port.addresses)) if hops else ()


def next_hop_flows(port: PortIntent, legs: tuple[Leg, ...]) -> Iterator[Flow]:
    """Who has the port's addresses, for what was routed to its network; `legs` are a router's there."""
    for address in port.addresses:
        if any(address in leg.subnet.cidr for leg in legs):
            match = {reg(Register.VNI): f"{legs[0].network.vni:#x}", **to_prefix(address)}
            actions = (f"set_field:{port.mac}->eth_dst", goto("next_hop", "l2_lookup"))
            yield flow("next_hop", 100, Cause(CauseKind.PORT, port.id), match, actions)
