"""DHCPv6 (RFC 8415): a client's bytes and the port that asked become an answer's bytes. Pure.

There is one truth: the port's own address, whatever the client asks for. So no binding is stored: a release or a decline
is acknowledged and changes nothing, and an address that is not the port's comes back with lifetimes of zero.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from sdn.controller.datagrams import Datagram, format_datagram, format_names, mac_bytes, parse_datagram
from sdn.controller.ra import ipv6_subnets, resolvers, router_address, search_domains
from sdn.model.intent import NetworkIntent, PortIntent

SOLICIT, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY = 1, 2, 3, 4, 5, 6, 7
RELEASE, DECLINE, INFORMATION_REQUEST = 8, 9, 11
CLIENT_ID, SERVER_ID, IA_NA, IA_TA, IA_ADDRESS, PREFERENCE, STATUS, RAPID_COMMIT = 1, 2, 3, 4, 5, 7, 13, 14
DNS_SERVERS, DOMAIN_LIST, IA_PD, REFRESH_TIME = 23, 24, 25, 32
SUCCESS, NO_ADDRESSES, NOT_ON_LINK, NO_PREFIXES = 0, 2, 4, 6
LEASE_S, T1_S, T2_S = 86400, 43200, 69120
CLIENT_PORT, SERVER_PORT = 546, 547
MAX_ASSOCIATIONS = 8  # a client has one an interface; what is more is left unanswered

# What a message must, and must not, name the server by (RFC 8415, 16.2 to 16.12).
NAMES_SERVER = {REQUEST: True, RENEW: True, DECLINE: True, RELEASE: True, SOLICIT: False, CONFIRM: False, REBIND: False}


@dataclass(frozen=True, slots=True)
class Association:
    """One IA of a client's message: its option code, its id, and the addresses that it names."""

    code: int
    iaid: bytes
    addresses: tuple[IPv6Address, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What matters of a client's message."""

    type: int
    transaction: bytes
    source_mac: bytes
    source: IPv6Address
    client_id: bytes
    server_id: bytes | None
    associations: tuple[Association, ...]
    is_rapid: bool


def server_duid(network: NetworkIntent) -> bytes:
    """DUID-LL of the network's router MAC (RFC 8415, 11.4): the same after any restart."""
    return b"\x00\x03\x00\x01" + mac_bytes(network.router_mac)


def parse_question(frame: bytes) -> Question | None:
    """The question in an Ethernet frame; None for anything that is not a well-formed client's message."""
    datagram = parse_datagram(frame)
    if datagram is None or datagram.ports != (CLIENT_PORT, SERVER_PORT) or len(datagram.body) < 4:
        return None
    source, body = datagram.source, datagram.body
    if not isinstance(source, IPv6Address):
        return None
    options = list(_options(body[4:]))
    first = dict(reversed(options))
    associations = tuple(_association(code, value) for code, value in options if code in (IA_NA, IA_TA, IA_PD))
    wanted = tuple(one for one in associations if one is not None)[:MAX_ASSOCIATIONS]
    client = first.get(CLIENT_ID, b"")
    return Question(
        body[0], body[1:4], datagram.source_mac, source, client, first.get(SERVER_ID), wanted, RAPID_COMMIT in first
    )


def answer(frame: bytes, port: PortIntent, network: NetworkIntent) -> bytes | None:
    """The frame to send back to the port, or None where RFC 8415 says to be silent."""
    asked = parse_question(frame)
    if asked is None or not ipv6_subnets(network) or not _is_valid(asked, server_duid(network)):
        return None
    options = _body(asked, port, network)
    if options is None:
        return None
    kind = ADVERTISE if asked.type == SOLICIT and not asked.is_rapid else REPLY
    body = bytes([kind]) + asked.transaction + _option(SERVER_ID, server_duid(network)) + options
    ends = Datagram(
        mac_bytes(network.router_mac), router_address(network), asked.source, (SERVER_PORT, CLIENT_PORT), body
    )
    return format_datagram(ends, asked.source_mac)


def _is_valid(asked: Question, duid: bytes) -> bool:
    if asked.type == INFORMATION_REQUEST:
        return not asked.associations and asked.server_id in (None, duid)
    if asked.type not in NAMES_SERVER or not 2 < len(asked.client_id) <= 130:
        return False
    return asked.server_id == (duid if NAMES_SERVER[asked.type] else None)


def _body(asked: Question, port: PortIntent, network: NetworkIntent) -> bytes | None:
    client = _option(CLIENT_ID, asked.client_id) if asked.client_id else b""
    if asked.type == INFORMATION_REQUEST:
        return client + _settings(network) + _option(REFRESH_TIME, struct.pack("!I", LEASE_S))
    if asked.type == CONFIRM:
        named = [address for one in asked.associations for address in one.addresses]
        if not named:
            return None  # RFC 8415, 18.3.3
        on_link = all(any(address in subnet.cidr for subnet in ipv6_subnets(network)) for address in named)
        return client + _status(SUCCESS if on_link else NOT_ON_LINK)
    if asked.type in (RELEASE, DECLINE):
        return client + _status(SUCCESS)
    given = _given(asked, port, network)
    head = client + (_option(PREFERENCE, b"\xff") if asked.type == SOLICIT else b"")
    head += _option(RAPID_COMMIT, b"") if asked.type == SOLICIT and asked.is_rapid else b""
    return head + given + _settings(network)


def _given(asked: Question, port: PortIntent, network: NetworkIntent) -> bytes:
    """The port's addresses in the first IA_NA; every other association says why it gets nothing."""
    ours = [address for address in port.addresses if isinstance(address, IPv6Address)]
    ours = [address for address in ours if any(address in subnet.cidr for subnet in ipv6_subnets(network))]
    found = b""
    for one in asked.associations:
        if one.code != IA_NA or not ours:
            lacks = NO_PREFIXES if one.code == IA_PD else NO_ADDRESSES
            times = b"" if one.code == IA_TA else struct.pack("!II", 0, 0)
            found += _option(one.code, one.iaid + times + _status(lacks))
            continue
        given = b"".join(_address(address, LEASE_S) for address in ours)
        if asked.type in (RENEW, REBIND):  # RFC 8415, 18.3.4: what the client must no longer use
            given += b"".join(_address(address, 0) for address in one.addresses if address not in ours)
        found += _option(IA_NA, one.iaid + struct.pack("!II", T1_S, T2_S) + given)
        ours = []
    return found


def _settings(network: NetworkIntent) -> bytes:
    servers = b"".join(server.packed for server in resolvers(network))
    names = format_names(search_domains(network))
    return _option(DNS_SERVERS, servers) + (_option(DOMAIN_LIST, names) if names else b"")


def _association(code: int, value: bytes) -> Association | None:
    head = 4 if code == IA_TA else 12
    if len(value) < head:
        return None
    inner = (body for kind, body in _options(value[head:]) if kind == IA_ADDRESS and len(body) >= 24)
    return Association(code, value[:4], tuple(IPv6Address(body[:16]) for body in inner)[:MAX_ASSOCIATIONS])


def _address(address: IPv6Address, lifetime_s: int) -> bytes:
    return _option(IA_ADDRESS, address.packed + struct.pack("!II", lifetime_s, lifetime_s))


def _status(code: int) -> bytes:
    return _option(STATUS, struct.pack("!H", code))


def _options(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(body):
        code, size = struct.unpack_from("!HH", body, at)
        if at + 4 + size > len(body):
            return
        yield code, body[at + 4 : at + 4 + size]
        at += 4 + size


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("!HH", code, len(value)) + value
