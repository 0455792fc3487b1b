"""DHCPv4 answers (RFC 2131, 2132): a question's bytes and the port that asked become an answer's bytes. Pure.

There is one truth: the port's own address, whatever the client asks for. So no lease is stored: a release changes nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from sdn.controller.datagrams import (
    ETHERNET,
    IPV4,
    UDP,
    Datagram,
    format_datagram,
    format_names,
    mac_bytes,
    parse_datagram,
)
from sdn.controller.ra import search_domains
from sdn.model.intent import NetworkIntent, PortIntent, SubnetIntent

DISCOVER, OFFER, REQUEST, ACK, NAK, INFORM = 1, 2, 3, 5, 6, 8
MAGIC = b"\x63\x82\x53\x63"
LEASE_S = 86400
ETHERNET_IPV4_UDP = ETHERNET + IPV4 + UDP
CLIENT_PORT, SERVER_PORT = 68, 67
NOBODY, EVERYBODY = IPv4Address(0), IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Question:
    """What matters of a client's message."""

    type: int
    xid: bytes
    mac: bytes
    flags: bytes
    ciaddr: IPv4Address
    requested: IPv4Address | None
    server: IPv4Address | None


def parse_question(frame: bytes) -> Question | None:
    """The question in an Ethernet frame; None for anything that is not a well-formed DHCP request of a client."""
    datagram = parse_datagram(frame)
    if datagram is None or datagram.source.version != 4 or datagram.ports != (CLIENT_PORT, SERVER_PORT):
        return None
    dhcp = datagram.body
    if len(dhcp) < 244 or dhcp[:3] != b"\x01\x01\x06" or dhcp[236:240] != MAGIC:
        return None
    if dhcp[24:28] != bytes(4):  # through a relay: a guest is none
        return None
    options = _options(dhcp[240:])
    kind = options.get(53, b"")
    if len(kind) != 1:
        return None
    ciaddr = IPv4Address(dhcp[12:16])
    return Question(
        kind[0], dhcp[4:8], dhcp[28:34], dhcp[10:12], ciaddr, _address_in(options, 50), _address_in(options, 54)
    )


def answer(frame: bytes, port: PortIntent, network: NetworkIntent) -> bytes | None:
    """The frame to send back to the port, or None where DHCP says to be silent (release, decline, not for us)."""
    question = parse_question(frame)
    found = _address(port, network)
    if question is None or found is None or question.mac != mac_bytes(port.mac):
        return None
    address, subnet = found
    if question.type == DISCOVER:
        return _reply(question, OFFER, address, port, network, subnet)
    if question.type == INFORM:
        return _reply(question, ACK, NOBODY, port, network, subnet)
    if question.type != REQUEST or question.server not in (None, subnet.gateway):
        return None  # RFC 2131, 4.3.2: with another server's identifier the client took that one's offer
    asked = question.requested or question.ciaddr
    return _reply(question, ACK if asked == address else NAK, address, port, network, subnet)


def _address(port: PortIntent, network: NetworkIntent) -> tuple[IPv4Address, SubnetIntent] | None:
    for address in port.addresses:
        for subnet in network.subnets:
            if isinstance(address, IPv4Address) and address in subnet.cidr:
                return address, subnet
    return None


def _reply(question: Question, kind: int, address: IPv4Address, port: PortIntent, network: NetworkIntent, subnet: SubnetIntent) -> bytes:  # fmt: skip
    yours = NOBODY if kind == NAK else address
    ciaddr = NOBODY if kind == NAK else question.ciaddr
    head = struct.pack("!BBBB4sHH", 2, 1, 6, 0, question.xid, 0, 0)[:10] + question.flags
    dhcp = head + ciaddr.packed + yours.packed + subnet.gateway.packed + b"\0" * 4
    dhcp += question.mac + b"\0" * 10 + b"\0" * 192 + MAGIC
    dhcp += _option(53, bytes([kind])) + _option(54, subnet.gateway.packed)
    if kind != NAK:
        dhcp += _settings(port, network, subnet, lease=question.type != INFORM)
    dhcp += b"\xff"
    dhcp += b"\0" * max(0, 300 - len(dhcp))
    # RFC 2131, 4.1: a client that has an address is answered at it; one that has none takes only broadcast for sure
    to = EVERYBODY if kind == NAK or ciaddr == NOBODY else ciaddr
    ends = Datagram(mac_bytes(network.router_mac), subnet.gateway, to, (SERVER_PORT, CLIENT_PORT), dhcp)
    return format_datagram(ends, question.mac)


def _settings(port: PortIntent, network: NetworkIntent, subnet: SubnetIntent, *, lease: bool) -> bytes:
    options = b""
    if lease:
        for code, seconds in ((51, LEASE_S), (58, LEASE_S // 2), (59, LEASE_S * 7 // 8)):
            options += _option(code, struct.pack("!I", seconds))
    options += _option(1, subnet.cidr.netmask.packed) + _option(3, subnet.gateway.packed)
    if servers := b"".join(server.packed for server in network.resolvers(subnet) if server.version == 4):
        options += _option(6, servers)
    options += _option(12, port.name.encode("ascii", "replace")[:63])
    if network.domain:
        options += _option(15, network.domain.encode("ascii", "replace")[:255])
        options += _option(119, format_names(search_domains(network)))  # RFC 3397
    options += _option(121, _classless_routes(subnet)) if subnet.routes else b""
    return options + _option(26, struct.pack("!H", network.mtu))


def _classless_routes(subnet: SubnetIntent) -> bytes:
    """RFC 3442: the default route too, for a client that takes these ignores option 3."""
    routes = [(route.destination, route.next_hop) for route in subnet.routes]
    routes.append((IPv4Network("0.0.0.0/0"), subnet.gateway))
    found = b""
    for destination, next_hop in routes:
        if destination.version == 4 and next_hop.version == 4:
            significant = destination.network_address.packed[: (destination.prefixlen + 7) // 8]
            found += bytes([destination.prefixlen]) + significant + next_hop.packed
    return found


def _address_in(options: dict[int, bytes], code: int) -> IPv4Address | None:
    value = options.get(code, b"")
    return IPv4Address(value) if len(value) == 4 else None


def _options(body: bytes) -> dict[int, bytes]:
    """The options; parts of one are put together (RFC 3396)."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(body) and body[at] != 255:
        if body[at] == 0:
            at += 1
            continue
        if at + 1 >= len(body):
            break
        size = body[at + 1]
        found[body[at]] = found.get(body[at], b"") + body[at + 2 : at + 2 + size]
        at += 2 + size
    return found


def _option(code: int, value: bytes) -> bytes:
    """One option, in parts of 255 bytes where it is longer (RFC 3396)."""
    parts = [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]
    return b"".join(bytes([code, len(part)]) + part for part in parts)
