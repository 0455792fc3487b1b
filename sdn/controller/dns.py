"""DNS for VM names (RFC 1035): what a team's networks know themselves, as bytes. Pure; the rest is for the forwarder.

`web-1.payments-net.payments.internal` is the VM web-1 of that network of that team; `web-1.payments.internal` finds it in
any network of the team, the asker's own first. Guests get both domains as their search list, so that `web-1` is enough.
A team sees its own names alone: whatever else ends in `.internal` does not exist for it, and is never forwarded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from sdn.model.intent import NetworkIntent, PortIntent

A, SOA, PTR, AAAA, ANY, INTERNET = 1, 6, 12, 28, 255, 1
NO_ERROR, SERVER_FAILURE, NAME_ERROR, NOT_IMPLEMENTED, REFUSED = 0, 2, 3, 4, 5
PRIVATE_ZONE = "internal"
TTL_S, NEGATIVE_TTL_S = 30, 5
HEADER = struct.Struct("!HHHHHH")
HEADERS_BYTES = 48  # IPv6 and UDP
NAME_POINTER = b"\xc0\x0c"  # to the question's name
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Query:
    """One question: `name` in lower case without the last dot, `question` its own bytes."""

    id: int
    flags: int
    name: str
    type: int
    question: bytes


@dataclass(frozen=True, slots=True)
class Names:
    """What one team's networks know: names by network and of all, and addresses by network."""

    zone: str
    by_name: dict[str, tuple[Address, ...]]
    by_address: dict[tuple[int, Address], str]
    subnets: tuple[tuple[int, object], ...]


def zones_of(networks: Iterable[NetworkIntent]) -> dict[str, tuple[NetworkIntent, ...]]:
    """The networks that have names, by their team's zone."""
    found: dict[str, list[NetworkIntent]] = {}
    for network in networks:
        if network.domain:
            found.setdefault(network.domain.partition(".")[2], []).append(network)
    return {zone: tuple(some) for zone, some in found.items()}


def index_zone(zone: str, networks: Sequence[tuple[NetworkIntent, Iterable[PortIntent]]]) -> Names:
    """The names of one team's networks and their ports; where two ports of it have one name, the lower id has it."""
    known = Names(
        zone, {}, {}, tuple((network.id, subnet.cidr) for network, _ in networks for subnet in network.subnets)
    )
    for network, _ in networks:
        for subnet in network.subnets:
            known.by_address[network.id, subnet.gateway] = f"gateway.{network.domain}"
            _add(known, f"gateway.{network.domain}", (subnet.gateway,))
    homes = [(port, network) for network, ports in networks for port in ports]
    for port, home in sorted(homes, key=lambda one: one[0].id):
        name = f"{port.name.lower()}.{home.domain}"
        _add(known, name, port.addresses)
        known.by_name.setdefault(f"{port.name.lower()}.{known.zone}", known.by_name[name])
        for address in port.addresses:
            known.by_address.setdefault((home.id, address), name)
    return known


def parse_query(message: bytes) -> Query | None:
    """The question of a message; None for what is no standard query with one question of the internet class."""
    if len(message) < HEADER.size:
        return None
    number, flags, questions, *_ = HEADER.unpack_from(message)
    if flags & 0xF800 or questions != 1:
        return None
    labels, at = [], HEADER.size
    while at < len(message) and message[at]:
        size = message[at]
        if size > 63 or at + 1 + size >= len(message) or at + size > HEADER.size + 254:
            return None
        labels.append(message[at + 1 : at + 1 + size].decode("latin-1").lower())
        at += 1 + size
    if at + 5 > len(message):
        return None
    kind, class_ = struct.unpack_from("!HH", message, at + 1)
    if class_ not in (INTERNET, ANY):
        return None
    return Query(number, flags, ".".join(labels), kind, message[HEADER.size : at + 5])


def resolve(query: Query, network: NetworkIntent, names: Names | None) -> bytes | None:
    """The answer that the team's own names give; None for a question that is the world's."""
    if query.name.endswith((".in-addr.arpa", ".ip6.arpa")):
        return _reverse(query, network, names)
    is_private = query.name == PRIVATE_ZONE or query.name.endswith(f".{PRIVATE_ZONE}")
    if not is_private and ("." in query.name or not query.name or names is None):
        return None
    if names is None:
        return format_answer(query, NAME_ERROR)
    candidates = [query.name]
    if query.name.endswith(f".{names.zone}"):  # a name without a network: the asker's own first
        candidates.insert(0, f"{query.name.removesuffix(names.zone)}{network.domain}")
    elif "." not in query.name:
        candidates = [f"{query.name}.{network.domain}", f"{query.name}.{names.zone}"]
    addresses = next((names.by_name[name] for name in candidates if name in names.by_name), None)
    if addresses is None:
        known = any(one.endswith(f".{query.name}") for one in names.by_name) or query.name == PRIVATE_ZONE
        return format_answer(query, NO_ERROR if known else NAME_ERROR, zone=names.zone)
    kinds = {A: (4,), AAAA: (6,), ANY: (4, 6)}.get(query.type, ())
    records = [(A if one.version == 4 else AAAA, one.packed) for one in addresses if one.version in kinds]
    return format_answer(query, NO_ERROR, records, names.zone)


def format_answer(
    query: Query, code: int, records: Iterable[tuple[int, bytes]] = (), zone: str = PRIVATE_ZONE
) -> bytes:
    """A message with the records, all of the question's name; without any it has the zone's SOA (RFC 2308)."""
    body = [NAME_POINTER + struct.pack("!HHIH", kind, INTERNET, TTL_S, len(data)) + data for kind, data in records]
    is_ours = code in (NO_ERROR, NAME_ERROR)
    soa = b"" if body or not is_ours else _soa(zone)
    flags = 0x8080 | query.flags & 0x0100 | (0x0400 if is_ours else 0) | code
    head = HEADER.pack(query.id, flags, 1, len(body), 1 if soa else 0, 0)
    return head + query.question + b"".join(body) + soa


def fit(query: Query, message: bytes, mtu: int) -> bytes:
    """The message, or one that says it was cut (TC), where it would not fit one packet of the network."""
    if len(message) <= mtu - HEADERS_BYTES:
        return message
    number, flags, *_ = HEADER.unpack_from(message)
    return HEADER.pack(number, flags | 0x0200, 1, 0, 0, 0) + query.question


def pack_name(name: str) -> bytes:
    """RFC 1035, 3.1."""
    return b"".join(bytes([len(label)]) + label.encode("latin-1") for label in name.split(".") if label) + b"\0"


def _soa(zone: str) -> bytes:
    times = struct.pack("!IIIII", 1, 3600, 600, 86400, NEGATIVE_TTL_S)
    data = pack_name(f"gateway.{zone}") + pack_name(f"hostmaster.{zone}") + times
    return pack_name(zone) + struct.pack("!HHIH", SOA, INTERNET, NEGATIVE_TTL_S, len(data)) + data


def _reverse(query: Query, network: NetworkIntent, names: Names | None) -> bytes | None:
    address = _pointed(query.name)
    if address is None or names is None:
        return None
    homes = sorted((id_ for id_, cidr in names.subnets if address in cidr), key=lambda id_: id_ != network.id)  # type: ignore[operator]
    if not homes:
        return None
    name = next((names.by_address[id_, address] for id_ in homes if (id_, address) in names.by_address), None)
    if name is None:
        return format_answer(query, NAME_ERROR, zone=names.zone)
    records = [(PTR, pack_name(name))] if query.type in (PTR, ANY) else []
    return format_answer(query, NO_ERROR, records, names.zone)


def _pointed(name: str) -> Address | None:
    labels = name.split(".")[:-2][::-1]
    try:
        if name.endswith(".in-addr.arpa") and len(labels) == 4:
            return IPv4Address(".".join(labels))
        if name.endswith(".ip6.arpa") and len(labels) == 32:
            return IPv6Address(int("".join(labels), 16).to_bytes(16))
    except (ValueError, OverflowError):
        return None
    return None


def _add(names: Names, name: str, addresses: tuple[Address, ...]) -> None:
    names.by_name[name] = (*names.by_name.get(name, ()), *addresses)
