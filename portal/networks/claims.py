"""Which addresses guests use that are not theirs to use, found by comparing what was seen with what IPAM gave. Pure.

IPAM is the truth and nothing here changes it: a claim is a hint, and a conflict says where the two differ.

Rules
1. An address that IPAM gave to the port, or that one of its allowed pairs holds, is no conflict.
2. Every other address that a machine can have is exactly one conflict of the claiming port. A kind of `KINDS` is tried in
   their order, the worst first.
3. The port that has the address by IPAM gets a conflict too: its owner sees that another guest claims it.
4. A port without port security is a router or a firewall by its owner's word: it conflicts only with what others have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of conflict. `words` and `advice` are formatted with `address`, `own` and `others`; `is_bad`: another is hurt."""

    name: str
    is_bad: bool
    words: str
    advice: str


DHCP_ADVICE = "Set the NIC in the guest to DHCP: it then gets {own}."
KINDS: tuple[Kind, ...] = (
    Kind(
        "gateway", True,
        "The guest uses {address}, which is its network’s gateway’s.",
        DHCP_ADVICE,
    ),
    Kind(
        "another", True,
        "The guest uses {address}, which IPAM gave to {others}.",
        DHCP_ADVICE + " If both are to share the address, allow it as an address pair of both ports.",
    ),
    Kind(
        "twice", True,
        "The guest uses {address}, and so does {others}: IPAM gave it to neither.",
        DHCP_ADVICE + " Or allow the address as an address pair of the one port that is to have it.",
    ),
    Kind(
        "not_given", False,
        "The guest uses {address}, which is free and which IPAM did not give to it.",
        DHCP_ADVICE + " Or allow the address as an address pair of this port.",
    ),
    Kind(
        "outside", False,
        "The guest uses {address}, which no subnet of its network holds.",
        DHCP_ADVICE + " If the guest routes for others, allow their addresses as address pairs of this port.",
    ),
    Kind(
        "claimed", True,
        "Another guest ({others}) uses {address}, which IPAM gave to this port.",
        "Nothing is wrong here: the other guest is to be set to DHCP.",
    ),
    Kind(
        "static", False,
        "The guest uses {address}, which is right, but never asked DHCP for it: it was set by hand inside.",
        "Set the NIC in the guest to DHCP, or remember to change the guest whenever its address changes here.",
    ),
)  # fmt: skip
RIGHT, BY_ANOTHER = "static", "claimed"  # kinds in which the port's own guest does nothing that is dropped
KIND_BY_NAME: dict[str, Kind] = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Claim:
    """A port's guest was seen with an address; `asked_dhcp` and `is_secured` are of the port."""

    port: int
    network: int
    address: str
    source: str
    since: datetime
    asked_dhcp: bool = True
    is_secured: bool = True


@dataclass(frozen=True, slots=True)
class Given:
    """What IPAM says: by (network, address) who has it, the gateways, each network's subnets, each port's pairs."""

    holders: Mapping[tuple[int, str], int] = field(default_factory=dict)
    gateways: frozenset[tuple[int, str]] = frozenset()
    subnets: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    pairs: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Conflict:
    """One address that a port's guest uses, or that another guest uses of the port's; `others` are ports."""

    port: int
    kind: str
    address: str
    others: tuple[int, ...]
    sources: tuple[str, ...]
    since: datetime


def is_usable(address: Address) -> bool:
    """Whether a machine on a network can have it for itself. Link-local IPv6 is every guest's own choice (ADR 3)."""
    if address.version == 6 and address.is_link_local:
        return False
    return not (
        address.is_unspecified or address.is_multicast or address.is_loopback or str(address) == "255.255.255.255"
    )


def find_conflicts(claims: Iterable[Claim], given: Given) -> list[Conflict]:
    """Every conflict, in order of ports, whatever order the claims come in."""
    by_place: dict[tuple[int, str], dict[int, list[Claim]]] = defaultdict(lambda: defaultdict(list))
    for claim in claims:
        if is_usable(ip_address(claim.address)):
            by_place[claim.network, claim.address][claim.port].append(claim)
    found: list[Conflict] = []
    for place, seen in by_place.items():
        wrong = {port: rows for port, rows in seen.items() if not _may(port, place, rows, given)}
        for port, rows in wrong.items():
            others = tuple(sorted(other for other in wrong if other != port))
            found.append(_conflict(port, _kind(place, others, given), place, _others(place, others, given), rows))
        holder = given.holders.get(place)
        if holder is not None and wrong:
            rows = [row for rows in wrong.values() for row in rows]
            found.append(_conflict(holder, "claimed", place, tuple(sorted(wrong)), rows))
        found.extend(_by_hand(place, seen, given))
    return sorted(found)


def _may(port: int, place: tuple[int, str], rows: Iterable[Claim], given: Given) -> bool:
    holder = given.holders.get(place)
    if holder == port:
        return True
    if holder is None and place not in given.gateways and not any(row.is_secured for row in rows):
        return True
    address = ip_address(place[1])
    return any(address in ip_network(pair) for pair in given.pairs.get(port, ()))


def _kind(place: tuple[int, str], others: tuple[int, ...], given: Given) -> str:
    if place in given.gateways:
        return "gateway"
    if place in given.holders:
        return "another"
    if others:
        return "twice"
    address = ip_address(place[1])
    return "not_given" if any(address in ip_network(one) for one in given.subnets.get(place[0], ())) else "outside"


def _others(place: tuple[int, str], others: tuple[int, ...], given: Given) -> tuple[int, ...]:
    holder = given.holders.get(place)
    return others if holder is None else (holder,)


def _by_hand(place: tuple[int, str], seen: Mapping[int, list[Claim]], given: Given) -> Iterable[Conflict]:
    """IPv4 alone: an IPv6 guest may rightly make its address of its MAC without asking (SLAAC)."""
    holder = given.holders.get(place, -1)
    rows = seen.get(holder, [])
    if rows and ":" not in place[1] and not any(row.asked_dhcp for row in rows):
        yield _conflict(holder, "static", place, (), rows)


def _conflict(port: int, kind: str, place: tuple[int, str], others: tuple[int, ...], rows: Iterable[Claim]) -> Conflict:
    kept = list(rows)
    sources = tuple(sorted({row.source for row in kept}))
    return Conflict(port, kind, place[1], others, sources, min(row.since for row in kept))
