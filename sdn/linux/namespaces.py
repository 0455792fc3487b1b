"""A host's network namespaces, of what `ip -j -d address`, `ip -j netns` and `lsns -J` print, and which of their interfaces is the
far end of which cable of the host's.

1. A cable is told by both its ends: the host's says the peer's number and the namespace's (`link_netnsid`, as the host counts
   namespaces), so that equal numbers in two namespaces are never taken for one.
2. An internal port of Open vSwitch that was moved into a namespace keeps its name and its kind, and is no more among the host's.
   Where two namespaces have such a one, nobody can tell which it is, and neither is taken for it.
3. Names are given inside namespaces by who owns them: they are cut to size and stripped. Junk is left out, never an exception.
"""

from __future__ import annotations

import ipaddress
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

MOST_NAMESPACES = 100  # of one host
MOST_INTERFACES = 64  # of one namespace; cabled ones first
MOST_ADDRESSES = 16
LONGEST = 64
INTERNAL_KINDS = ("openvswitch", "tun")  # of the kernel's datapath, and of the userspace one
MOST_INDEX = 1 << 31


@dataclass(frozen=True, slots=True)
class Link:
    """An interface as its own namespace has it. `peer_index` is its other end's number, in the namespace that this one counts
    as `peer_nsid` (None: in this very one)."""

    name: str
    index: int
    kind: str = ""
    mac: str = ""
    addresses: tuple[str, ...] = ()
    state: str = ""
    mtu: int = 0
    master: str = ""
    peer_index: int = 0
    peer_nsid: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace that may be looked into. `nsid` is how the host counts it; None: it does not, so no cable leads there."""

    name: str
    path: str  # of a file that it can be entered by
    nsid: int | None = None
    process: str = ""


@dataclass(frozen=True, slots=True)
class SpaceInterface:
    """An interface within a namespace. `port` is the host's end of its cable, or itself where it is an internal port of Open vSwitch
    ("": it leads to neither); `bridge` is the bridge in the namespace that it is in, `port_bridge` the Linux bridge of the host's end."""

    name: str
    kind: str = ""
    mac: str = ""
    addresses: tuple[str, ...] = ()
    state: str = ""
    mtu: int = 0
    bridge: str = ""
    port: str = ""
    port_bridge: str = ""

    @property
    def is_up(self) -> bool:
        return self.state != "DOWN"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace, by the name that `ip netns` has for it, else by a process in it ("pid 4711")."""

    name: str
    process: str = ""
    interfaces: tuple[SpaceInterface, ...] = ()

    @property
    def is_cabled(self) -> bool:
        return any(one.port for one in self.interfaces)


@dataclass(frozen=True, slots=True)
class FarEnd:
    """Where a cable of the host's ends."""

    namespace: Namespace
    interface: SpaceInterface

    @property
    def words(self) -> str:
        """'namespace blue, interface eth0 10.0.0.5/24'."""
        addresses = ", ".join(self.interface.addresses)
        own = f" {addresses}" if addresses else " without an address"
        return f"namespace {self.namespace.name}, interface {self.interface.name}{own}"


@dataclass(frozen=True, slots=True)
class NamespacesSeen:
    """What was read of a host's namespaces. `state`: "read", "unread" (and `problem` why), "" not looked."""

    state: str = ""
    problem: str = ""
    namespaces: tuple[Namespace, ...] = ()

    def behind(self, port: str) -> FarEnd | None:
        """What is at the other end of that port's cable, where it is in a namespace."""
        found = (
            FarEnd(space, one) for space in self.namespaces for one in space.interfaces if port and one.port == port
        )
        return next(found, None)


def parse_addresses(text: str) -> tuple[Link, ...]:
    """The interfaces of `ip -j -d address show`, in their order."""
    return tuple(link for one in _objects(text) if (link := _link(one)) is not None)


def parse_names(text: str) -> tuple[tuple[str, int | None], ...]:
    """`ip -j netns list`: the names, and how the namespace that it was asked in counts each (None: it does not)."""
    found = ((one.get("name"), one.get("id")) for one in _objects(text))
    return tuple(
        (name, nsid if _is_number(nsid) else None)
        for name, nsid in found
        if isinstance(name, str) and name and "/" not in name and name not in (".", "..") and name == _word(name)
    )


@dataclass(frozen=True, slots=True)
class Inhabited:
    """A namespace that a process is in."""

    inode: int
    pid: int
    command: str
    nsid: int | None


def parse_inhabited(text: str) -> tuple[Inhabited, ...]:
    """`lsns -J -t net -o NS,NETNSID,PID,COMMAND`. Of some versions numbers are words."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    rows = told.get("namespaces") if isinstance(told, dict) else None
    found = []
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and (inode := _number(row.get("ns"))) and (pid := _number(row.get("pid"))):
            nsid = str(row.get("netnsid"))
            command = _word(row.get("command")).partition(" ")[0].rpartition("/")[2]
            found.append(Inhabited(inode, pid, command, int(nsid) if nsid.isdecimal() and len(nsid) < 10 else None))
    return tuple(found)


def cabled_nsids(links: Iterable[Link]) -> frozenset[int]:
    """The namespaces that interfaces of the host's have their other end in."""
    return frozenset(link.peer_nsid for link in links if link.peer_nsid is not None and link.peer_index)


def moved_away(internal_ports: Collection[str], links: Iterable[Link]) -> frozenset[str]:
    """Internal ports of Open vSwitch that are not among the host's interfaces."""
    return frozenset(internal_ports) - {link.name for link in links}


def join(
    links: Iterable[Link],
    inside: Collection[tuple[Place, tuple[Link, ...]]],
    moved: Collection[str],
    *,
    with_uncabled: bool,
) -> tuple[Namespace, ...]:
    """The namespaces by name, each interface with the host's end of its cable. One that nothing leads to is told only where asked."""
    ends = {(nsid, link.peer_index): link for link in links if (nsid := link.peer_nsid) is not None and link.peer_index}
    named = Counter(
        link.name for _, own in inside for link in own if link.name in moved and link.kind in INTERNAL_KINDS
    )
    moved = frozenset(name for name, times in named.items() if times == 1)
    found = [Namespace(place.name, place.process, _interfaces(place, own, ends, moved)) for place, own in inside]
    shown = sorted((one for one in found if one.is_cabled or with_uncabled), key=lambda one: one.name)
    return tuple(shown[:MOST_NAMESPACES])


def _interfaces(
    place: Place, own: tuple[Link, ...], ends: Mapping[tuple[int, int], Link], moved: Collection[str]
) -> tuple[SpaceInterface, ...]:
    found = []
    for link in own:
        if link.name == "lo":
            continue
        end = ends.get((place.nsid, link.index)) if place.nsid is not None else None
        if end is not None and end.index != link.peer_index:
            end = None  # the number was given to another since
        is_moved = end is None and link.kind in INTERNAL_KINDS and link.name in moved
        port, port_bridge = (end.name, end.master) if end is not None else (link.name if is_moved else "", "")
        found.append(
            SpaceInterface(
                link.name, link.kind, link.mac, link.addresses, link.state, link.mtu, link.master, port, port_bridge
            )
        )
    found.sort(key=lambda one: (not one.port, one.name))
    return tuple(found[:MOST_INTERFACES])


def _link(one: dict[str, Any]) -> Link | None:
    name, index = _word(one.get("ifname")), _number(one.get("ifindex"))
    if not name or not index:
        return None
    info = one.get("linkinfo")
    kind = _word(info.get("info_kind")) if isinstance(info, dict) else ""
    nsid = one.get("link_netnsid")
    return Link(
        name, index, kind, _word(one.get("address")), tuple(_addresses(one))[:MOST_ADDRESSES], _state(one),
        _number(one.get("mtu")), _word(one.get("master")), _number(one.get("link_index")),
        nsid if _is_number(nsid) else None,
    )  # fmt: skip


def _state(one: dict[str, Any]) -> str:
    """UP or DOWN: is it switched on, and its other end too? (The kernel's operstate comes up to a second later.)"""
    flags = one.get("flags")
    return "UP" if isinstance(flags, list) and "UP" in flags and "LOWER_UP" in flags else "DOWN"


def _addresses(one: dict[str, Any]) -> Iterator[str]:
    """Those that packets are sent to from elsewhere: a link-local one of IPv6 every interface has."""
    told = one.get("addr_info")
    for own in told if isinstance(told, list) else ():
        if not isinstance(own, dict):
            continue
        with suppress(ValueError):
            address = ipaddress.ip_interface(f"{_word(own.get('local'))}/{_number(own.get('prefixlen'))}")
            if not address.is_link_local:
                yield str(address)


def _objects(text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_INDEX


def _number(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 11:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else 0


def _word(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text[:LONGEST]).split())
