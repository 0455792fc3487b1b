"""Router advertisements (RFC 4861, 4.2; RFC 8106 for the resolver) and answers to bare solicitations. Pure.

The network itself is the guests' IPv6 router, at the link-local address that its router MAC makes. Its advertisement says
how addresses are come by: a SLAAC subnet's prefix is autonomous (A), any other one's addresses come by DHCPv6 (M). A
provider network has its router outside: there it tells addresses and MTU, and a lifetime of 0, which is "no router".
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address, IPv6Network

from sdn.controller.datagrams import ALL_NODES, ALL_NODES_MAC, Icmp6, format_icmp6, format_names, mac_bytes, parse_icmp6
from sdn.model.addresses import LINK_LOCAL, eui64
from sdn.model.intent import NetworkIntent, PortIntent, SubnetIntent

ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 133, 134, 135, 136
MANAGED, OTHER = 0x80, 0x40
ON_LINK, AUTONOMOUS = 0x80, 0x40
ROUTER, SOLICITED, OVERRIDE = 1 << 31, 1 << 30, 1 << 29
ROUTER_LIFETIME_S, VALID_S, PREFERRED_S = 1800, 86400, 86400
RDNSS_LIFETIME_S = 3 * 600  # RFC 8106, 5.1: at least three times the longest interval between advertisements
NOBODY = IPv6Address("::")


def router_address(network: NetworkIntent) -> IPv6Address:
    """The network's own link-local address: what advertisements and DHCPv6 come from."""
    return eui64(LINK_LOCAL, network.router_mac)


def ipv6_subnets(network: NetworkIntent) -> tuple[SubnetIntent, ...]:
    """The network's IPv6 subnets."""
    return tuple(subnet for subnet in network.subnets if subnet.cidr.version == 6)


def resolvers(network: NetworkIntent) -> tuple[IPv6Address, ...]:
    """Whom guests ask for names over IPv6: the gateways, or in a provider network, which has none of ours, others."""
    if not network.is_provider:
        return tuple(subnet.gateway for subnet in ipv6_subnets(network) if isinstance(subnet.gateway, IPv6Address))
    return tuple(one for subnet in ipv6_subnets(network) for one in subnet.dns if isinstance(one, IPv6Address))


def answer(frame: bytes, port: PortIntent, network: NetworkIntent, known: tuple[PortIntent, ...] = ()) -> bytes | None:
    """The answer to a router solicitation, or to a neighbour solicitation that has no link-layer option (flows answer
    the others) for an address of the network's gateway or of the `known` ports; None where there is none."""
    asked = parse_icmp6(frame)
    if asked is None or asked.hop_limit != 255 or len(asked.body) < 8 or asked.body[1]:
        return None
    if asked.body[0] == ROUTER_SOLICITATION:
        source = None if asked.source == NOBODY else asked.source
        return advertisement(port, network, source)
    if asked.body[0] == NEIGHBOUR_SOLICITATION and len(asked.body) >= 24:
        return _neighbour(asked, port, network, known)
    return None


def advertisement(port: PortIntent, network: NetworkIntent, to: IPv6Address | None = None) -> bytes | None:
    """The router advertisement for a port, to one address of it or to all nodes; None without an IPv6 subnet."""
    subnets = ipv6_subnets(network)
    if not subnets:
        return None
    flags = OTHER | (0 if all(subnet.is_slaac for subnet in subnets) else MANAGED)
    body = struct.pack(
        "!BBHBBHII", ROUTER_ADVERTISEMENT, 0, 0, 64, flags, 0 if network.is_provider else ROUTER_LIFETIME_S, 0, 0
    )
    body += struct.pack("!BBHI", 5, 1, 0, network.mtu)
    for subnet in subnets:
        prefix = ON_LINK | (AUTONOMOUS if subnet.is_slaac and subnet.cidr.prefixlen == 64 else 0)
        body += struct.pack("!BBBBIII", 3, 4, subnet.cidr.prefixlen, prefix, VALID_S, PREFERRED_S, 0)
        body += subnet.cidr.network_address.packed
    if servers := b"".join(server.packed for server in resolvers(network)):
        body += struct.pack("!BBHI", 25, 1 + len(servers) // 8, 0, RDNSS_LIFETIME_S) + servers
    for subnet in subnets:
        body += b"".join(
            _route(route.destination)
            for route in (() if network.is_provider else subnet.routes)
            if isinstance(route.destination, IPv6Network)
        )
    body += _search_list(network) + b"\x01\x01" + mac_bytes(network.router_mac)
    to_mac = mac_bytes(port.mac) if to else ALL_NODES_MAC
    return format_icmp6(
        Icmp6(mac_bytes(network.router_mac), router_address(network), to or ALL_NODES, 255, body), to_mac
    )


def search_domains(network: NetworkIntent) -> tuple[str, ...]:
    """The network's domain, then the team's."""
    team = network.domain.partition(".")[2]
    return tuple(domain for domain in (network.domain, team) if domain)


def _route(destination: IPv6Network) -> bytes:
    """RFC 4191, 2.3: through us, whatever the next hop; the router knows the rest."""
    head = struct.pack("!BBBBI", 24, 3, destination.prefixlen, 0, ROUTER_LIFETIME_S)
    return head + destination.network_address.packed


def _search_list(network: NetworkIntent) -> bytes:
    names = format_names(search_domains(network))
    if not names:
        return b""
    names += b"\0" * (-len(names) % 8)
    return struct.pack("!BBHI", 31, 1 + len(names) // 8, 0, RDNSS_LIFETIME_S) + names


def _neighbour(asked: Icmp6, port: PortIntent, network: NetworkIntent, known: tuple[PortIntent, ...]) -> bytes | None:
    target = IPv6Address(asked.body[8:24])
    mac = _owner(target, port, network, known)
    if mac is None:
        return None
    detects = asked.source == NOBODY
    flags = OVERRIDE | (0 if detects else SOLICITED) | (ROUTER if mac == network.router_mac else 0)
    body = struct.pack("!BBHI", NEIGHBOUR_ADVERTISEMENT, 0, 0, flags) + target.packed + b"\x02\x01" + mac_bytes(mac)
    to, to_mac = (ALL_NODES, ALL_NODES_MAC) if detects else (asked.source, asked.source_mac)
    return format_icmp6(Icmp6(mac_bytes(mac), target, to, 255, body), to_mac)


def _owner(target: IPv6Address, port: PortIntent, network: NetworkIntent, known: tuple[PortIntent, ...]) -> str | None:
    ours = {router_address(network), *(subnet.gateway for subnet in ipv6_subnets(network))}
    if target in ours:
        return network.router_mac
    return next((other.mac for other in known if other.id != port.id and target in other.addresses), None)
