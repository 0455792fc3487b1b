"""Ports that a host's flows cannot tell apart, so that one trace answers for every pair of their classes.

A megaflow is a class of packets, but of one pair: what is delivered has matched its in-port, both its MACs and its sender's
address. So the classes are taken one step earlier, from the flows themselves. A port's *shape* on a host, as a sender or as
a receiver, is the set of that host's flows that mention it in a field of that role, its own ofport, MAC, addresses and row id
replaced by place holders. Two packets of one service whose senders have one shape and whose receivers have one shape meet
the same look-ups there: where the one matches a flow, the other matches the flow of the same priority and actions that
mentions its own ends in the same places, and so on from table to table.

What errs, errs towards more classes: a value that is not recognised as the port's own stays as it is, and a flow that
mentions both ends is never equal to another port's. Left out are flows that no packet of the service can match, cookies,
which no verdict reads, and the number of a port's conntrack zone, since a first packet is new in whatever zone. Where an
action moves a field of one role into the other's, roles are not told apart.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Literal, cast

from sdn.model.addresses import LINK_LOCAL, eui64
from sdn.model.flow import Flow
from sdn.model.intent import PortIntent
from sdn.model.packet import ECHO_REQUEST
from sdn.pipeline import Register
from sdn.reach.pairs import CLIENT_PORT, Scene, Service

Kind = Literal["ofport", "mac", "address", "id"]
KINDS: dict[str, Kind] = {
    "in_port": "ofport",
    f"reg{int(Register.OUT)}": "ofport",
    f"reg{int(Register.SOURCE_PORT)}": "id",
    f"reg{int(Register.TARGET_PORT)}": "id",
    **dict.fromkeys(("dl_src", "dl_dst", "eth_src", "eth_dst"), "mac"),
    f"reg{int(Register.NEXT_HOP)}": "address",
    **dict.fromkeys(("nw_src", "nw_dst", "ip_src", "ip_dst", "ipv6_src", "ipv6_dst"), "address"),
}  # fmt: skip
PROTOCOLS: dict[str, dict[int, frozenset[str]]] = {
    name: {4: frozenset(("ip", name)), 6: frozenset(("ipv6", "icmp6" if name == "icmp" else f"{name}6"))}
    for name in ("icmp", "tcp", "udp", "sctp")
}
ID_FIELDS = tuple(name for name, kind in KINDS.items() if kind == "id")
SENDER = frozenset(("in_port", "dl_src", "eth_src", "nw_src", "ip_src", "ipv6_src", f"reg{int(Register.SOURCE_PORT)}"))
RECEIVER = frozenset(KINDS) - SENDER
NEVER_FIRST = ("+est", "+rpl", "+rel", "+inv")
ZONE = f"->reg{int(Register.ZONE)}"
_TABLE = re.compile(r"^goto_table:(\d+)|^resubmit\(\d*,(\d+)|^ct\(.*\btable=(\d+)")
_CROSSING = re.compile(r"^move:\S+_(SRC|DST)\[.*->\S+_(?!\1)(SRC|DST)\[")
_SET = re.compile(r"^set_field:([^-]+)->(\w+)$")
Entry = tuple[Hashable, ...]
Value = tuple[Kind, str]
Acted = tuple[Value | None, str, str]  # the value that an action sets, the field, the whole action


@dataclass(frozen=True, slots=True)
class _Packets:
    """What all packets of a service have in common."""

    service: Service
    family: Literal[4, 6]

    def may_match(self, flow: Flow) -> bool:
        """Whether any of them could match the flow; True where that is not plain."""
        return all(self._fits(name, value) for name, value in flow.key.match)

    def _fits(self, name: str, value: str) -> bool:
        protocol = self.service.protocol
        if value == "":
            return name in PROTOCOLS[protocol][self.family]
        if name in ("tp_dst", "tp_src"):
            return protocol == "icmp" or _number_fits(value, self.service.port if name == "tp_dst" else CLIENT_PORT)
        if name == "icmp_type":
            return protocol == "icmp" and _number_fits(value, ECHO_REQUEST[self.family])
        if name == "ct_state":
            return not any(flag in value for flag in NEVER_FIRST)
        if name == "nw_frag":
            return value not in ("later", "yes", "first")
        return not (name == "dl_dst" and _is_group(value))


@dataclass(frozen=True, slots=True)
class Classes:
    """One host's view: port id → the number of its class as a sender, and as a receiver."""

    senders: Mapping[int, int]
    receivers: Mapping[int, int]


def port_classes(scene: Scene, service: Service, family: Literal[4, 6], ports: Iterable[int]) -> dict[str, Classes]:
    """Host → the classes of the ports there, for packets of the service over the IP family."""
    packets = _Packets(service, family)
    ids = tuple(ports)
    found = {}
    for host in sorted(scene.flows):
        flows = _reachable([flow for flow in scene.flows[host] if packets.may_match(flow)])
        roles = (SENDER | RECEIVER,) * 2 if any(_crosses(scene, flow) for flow in flows) else (SENDER, RECEIVER)
        names = _Names(scene, host)
        flows = [flow for flow in flows if not names.is_to_itself(flow)]
        senders, receivers = (_numbered(scene, ids, names.shapes(flows, role)) for role in roles)
        found[host] = Classes(senders, receivers)
    return found


def _numbered(scene: Scene, ports: Iterable[int], shapes: Mapping[int, list[Entry]]) -> dict[int, int]:
    numbers: dict[Hashable, int] = {}
    return {
        port_id: numbers.setdefault(_key(scene, scene.ports[port_id], shapes.get(port_id, [])), len(numbers))
        for port_id in ports
    }


def _key(scene: Scene, port: PortIntent, shape: list[Entry]) -> Hashable:
    families = frozenset(address.version for address in port.addresses)
    return port.network_id, families, frozenset(shape)


def _reachable(flows: list[Flow]) -> list[Flow]:
    """The flows of the tables that those of table 0 lead to."""
    ways: dict[int, set[int]] = defaultdict(set)
    for flow in flows:
        ways[flow.key.table_id].update(
            int(number) for action in flow.actions for found in _TABLE.findall(action) for number in found if number
        )
    seen, left = {0}, [0]
    while left:
        more = ways[left.pop()] - seen
        seen |= more
        left += more
    return [flow for flow in flows if flow.key.table_id in seen]


def _crosses(scene: Scene, flow: Flow) -> bool:
    """Does the flow move fields, of packets that some pair of ports may send? (A gateway's answers do, of none.)"""
    if not any(_CROSSING.search(action) for action in flow.actions):
        return False
    to = next((value for name, value in flow.key.match if name in ("nw_dst", "ipv6_dst")), "/")
    return "/" in to or any(to == str(address) for port in scene.ports.values() for address in port.addresses)


class _Names:
    """Which ports the values of one host's flows mean."""

    def __init__(self, scene: Scene, host: str) -> None:
        self._ports: dict[Value, tuple[int, ...]] = defaultdict(tuple)
        self._own: dict[int, Mapping[Value | None, str]] = {}
        self._masked: dict[Value, tuple[int, ...]] = {}
        for port in scene.snapshot.ports:
            self._own[port.id] = cast(Mapping[Value | None, str], dict(_values(scene, host, port)))
            for value, _ in _values(scene, host, port):
                self._ports[value] = (*self._ports[value], port.id)

    def is_to_itself(self, flow: Flow) -> bool:
        """Does it take only packets that some port sends to itself? Of no pair, then."""
        ids = {name: value for name, value in flow.key.match if KINDS.get(name) == "id"}
        return len(ids) == len(ID_FIELDS) and len(set(ids.values())) == 1

    def shapes(self, flows: Iterable[Flow], role: frozenset[str]) -> dict[int, list[Entry]]:
        """Port id → the flows that mention it in a field of the role."""
        shapes: dict[int, list[Entry]] = defaultdict(list)
        for flow in flows:
            self._note(flow, role, shapes)
        return shapes

    def _note(self, flow: Flow, role: frozenset[str], shapes: dict[int, list[Entry]]) -> None:
        match = [
            (name, (KINDS[name], _plain(KINDS[name], value)) if name in role else None, value)
            for name, value in flow.key.match
        ]
        actions = [_acted(action, role) for action in flow.actions]
        meant: set[int] = set()
        for _, known, value in match:
            if known is not None:
                meant.update(self._masked_ports(known[0], value) if "/" in value else self._ports.get(known, ()))
        for known, _, _ in actions:
            if known is not None:
                meant.update(self._ports.get(known, ()))
        for port_id in meant:
            own = self._own[port_id]
            seen = tuple([(name, own.get(known, value)) for name, known, value in match])
            done = tuple([(field, own[known]) if known in own else text for known, field, text in actions])
            shapes[port_id].append((flow.key.table_id, flow.key.priority, seen, done))

    def _masked_ports(self, kind: Kind, value: str) -> tuple[int, ...]:
        key = kind, value
        if key not in self._masked:
            test = _in_block(value) if kind == "address" else _in_mask(value)
            met = {port_id for (of, own), ids in self._ports.items() if of == kind and test(own) for port_id in ids}
            self._masked[key] = tuple(sorted(met))
        return self._masked[key]


def _values(scene: Scene, host: str, port: PortIntent) -> Iterable[tuple[Value, str]]:
    """The port's values and their place holders; its ofport counts on its own host only."""
    yield ("id", format(port.id & 0xFFFFFFFF, "x")), "<id>"
    yield ("mac", port.mac), "<mac>"
    plugged, ofport = scene.ofports.get(port.id, ("", 0))
    if plugged == host:
        yield ("ofport", format(ofport, "x")), "<ofport>"
    for number, address in enumerate(sorted(port.addresses, key=lambda one: one.version)):
        yield ("address", str(address)), f"<address {number}>"
    yield ("address", str(eui64(LINK_LOCAL, port.mac))), "<link-local>"


def _acted(action: str, role: frozenset[str]) -> Acted:
    if action.endswith(ZONE):
        return None, "", ZONE
    found = _SET.match(action)
    if found and found[2] in role:
        return (KINDS[found[2]], _plain(KINDS[found[2]], found[1])), found[2], action
    word, _, number = action.partition(":")
    return (("ofport", _plain("ofport", number)) if word == "output" else None), word, action


def _plain(kind: Kind, value: str) -> str:
    """Numbers in hexadecimal without a prefix, a register's address as one; anything else as it is."""
    try:
        number = int(value, 0)
    except ValueError:
        return value
    return str(IPv4Address(number)) if kind == "address" else format(number, "x")


def _number_fits(value: str, number: int) -> bool:
    wanted, _, mask = value.partition("/")
    bits = int(mask, 0) if mask else -1
    return number & bits == int(wanted, 0) & bits


def _is_group(value: str) -> bool:
    """Does it take broadcast and multicast MACs only?"""
    wanted, _, mask = value.partition("/")
    return bool(int(wanted[:2], 16) & (int(mask[:2], 16) if mask else 0xFF) & 1)


def _in_block(value: str) -> Callable[[str], bool]:
    """Whether an address fits `cidr` or `address/mask` (any mask, as IPv6 matches may have)."""
    wanted, _, mask = value.partition("/")
    first = ip_address(wanted)
    bits = int(ip_network(f"{'::' if first.version == 6 else '0.0.0.0'}/{mask}").netmask) if mask.isdigit() else int(ip_address(mask))  # fmt: skip

    def test(own: str) -> bool:
        address = ip_address(own)
        return address.version == first.version and int(address) & bits == int(first) & bits

    return test


def _in_mask(value: str) -> Callable[[str], bool]:
    """Whether a number, in hexadecimal, or a MAC fits `value/mask`."""
    wanted, _, mask = value.partition("/")
    want, bits = _as_int(wanted), _as_int(mask)
    return lambda own: int(own.replace(":", ""), 16) & bits == want & bits


def _as_int(text: str) -> int:
    return int(text.replace(":", ""), 16) if ":" in text else int(text, 0)
