"""Joins datapath entries into the way that real packets take: pass by pass through recirculations, host by host through tunnels.

A packet's class may have several entries at one place (a new connection's and a known one's): the last used one is where
packets go now, and the others count with it. NAT is undone with the host's own conntrack. A place that no entry is of ends
the way: entries go ten seconds after their last packet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sdn.observe.conntrack import Connection, connections_of, translated
from sdn.observe.datapath import DatapathFlow, parse_dump, split_list

EndKind = Literal["port", "tunnel", "drop", "controller", "lost"]
MAX_HOSTS, MAX_PASSES = 8, 16
_RECIRC = re.compile(r"^recirc\((0x[0-9a-f]+|[0-9]{1,20})\)")
_CT = re.compile(r"^ct\((.*)\)$")
_TUNNEL_ENDS = re.compile(r"ipv4\(src=([\d.]+),dst=([\d.]+)")
_VNI = re.compile(r"vni=(0x[0-9a-f]+)")
_SET = re.compile(r"^set\((eth|ipv4|ipv6|tcp|udp|tunnel)\((.*)\)\)$")
_PUSH_VLAN = re.compile(r"^push_vlan\((?:.*,)?vid=([0-9]{1,20})")
BARE_ACTIONS = ("drop", "pop_vlan", "ct_clear")  # that are no port's name
_SET_FIELDS = {
    "eth": {"src": "dl_src", "dst": "dl_dst"}, "ipv4": {"src": "nw_src", "dst": "nw_dst"},
    "ipv6": {"src": "ipv6_src", "dst": "ipv6_dst"}, "tcp": {"src": "tp_src", "dst": "tp_dst"},
    "udp": {"src": "tp_src", "dst": "tp_dst"}, "tunnel": {"tun_id": "tun_id", "src": "tun_src", "dst": "tun_dst"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Glance:
    """One host's datapath at one moment. `names` gives a port's name for its number, where the dump has numbers."""

    host: str
    underlay_ip: str
    flows: tuple[DatapathFlow, ...]
    conntrack: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, host: str, underlay_ip: str, flows: str, conntrack: str, names: Mapping[str, str]) -> Glance:
        """A host's two dumps as a value."""
        return cls(host, underlay_ip, parse_dump(flows), conntrack, names)

    def name(self, port: str) -> str:
        return self.names.get(port, port)


@dataclass(frozen=True, slots=True)
class Stage:
    """One pass: the entry last used, and the others that the packet's class has there."""

    flow: DatapathFlow
    others: tuple[DatapathFlow, ...] = ()

    @property
    def packets(self) -> int:
        return self.flow.packets + sum(other.packets for other in self.others)

    @property
    def bytes(self) -> int:
        return self.flow.bytes + sum(other.bytes for other in self.others)


@dataclass(frozen=True, slots=True)
class Passage:
    """The way through one host: its passes in order, and where its packets leave. `arrival` is the outer packets' entry."""

    host: str
    stages: tuple[Stage, ...]
    end: EndKind
    port: str = ""
    tun_dst: str = ""
    vni: str = ""
    header: Mapping[str, str] = field(default_factory=dict)  # as it leaves
    connections: tuple[Connection, ...] = ()
    arrival: DatapathFlow | None = None


@dataclass(slots=True)
class _Effect:
    """What one entry's actions do with the packet."""

    packet: dict[str, str]
    end: EndKind | None = None
    port: str = ""
    tun_dst: str = ""
    vni: str = ""
    recirc_id: int = 0
    zones: list[int] = field(default_factory=list)


def follow(
    glances: Mapping[str, Glance], host: str, in_port: str, packet: Mapping[str, str], wired_to: str = ""
) -> tuple[Passage, ...]:
    """The passages in order; none where no entry of the packet's class is at the port.

    `wired_to` is the host that a provider network's wire leads to: what leaves by a port elsewhere goes on there.
    """
    found: list[Passage] = []
    entry, now, arrival = {"in_port": in_port}, dict(packet), None
    while host in glances and len(found) < MAX_HOSTS:
        passage = _through(glances[host], entry, now, arrival)
        if passage is None:
            break
        found.append(passage)
        if passage.end == "port" and wired_to in glances and host != wired_to:
            entry, host, now, arrival = {}, wired_to, dict(passage.header), None
            continue
        there = next((one for one in glances.values() if one.underlay_ip == passage.tun_dst), None)
        if passage.end != "tunnel" or there is None or any(one.host == there.host for one in found):
            break
        here = glances[host].underlay_ip
        arrival = _arrival(there, here)
        entry = {"tun_id": passage.vni, "tun_src": here, "tun_dst": there.underlay_ip}
        host, now = there.host, dict(passage.header)
    return tuple(found)


def _through(glance: Glance, entry: Mapping[str, str], packet: dict[str, str], arrival: DatapathFlow | None) -> Passage | None:  # fmt: skip
    stages: list[Stage] = []
    connections: list[Connection] = []
    effect, recirc_id = _Effect(packet), 0
    while len(stages) < MAX_PASSES:
        stage = _stage(glance, entry, recirc_id, effect.packet)
        if stage is None:
            break
        stages.append(stage)
        effect = _act(glance, stage.flow, effect.packet, connections)
        if effect.end is not None or not effect.recirc_id:
            break
        recirc_id = effect.recirc_id
    if not stages:
        return None
    return Passage(
        glance.host, tuple(stages), effect.end or "lost", effect.port, effect.tun_dst, effect.vni, effect.packet,
        tuple({one.text: one for one in connections}.values()), arrival,
    )  # fmt: skip


def _stage(glance: Glance, entry: Mapping[str, str], recirc_id: int, packet: Mapping[str, str]) -> Stage | None:
    whole = {**packet, **{name: value for name, value in entry.items() if name != "in_port"}}
    port = entry.get("in_port")  # none of a tunnel's, nor of a wire's: any that is, or is not, a tunnel
    found = [
        flow for flow in glance.flows
        if flow.recirc_id == recirc_id and (glance.name(flow.in_port) == port if port else ("tun_id" in entry) == ("tun_id" in flow.fields))
        and flow.takes(whole)
    ]  # fmt: skip
    if not found:
        return None
    found.sort(key=lambda flow: (flow.used_s is None, flow.used_s or 0.0, -flow.packets))
    return Stage(found[0], tuple(found[1:]))


def _arrival(there: Glance, outer_src: str) -> DatapathFlow | None:
    outer = {"nw_src": outer_src, "nw_dst": there.underlay_ip, "nw_proto": "17", "dl_type": "0x0800"}
    pops = [flow for flow in there.flows if any(one.startswith("tnl_pop(") for one in flow.actions) and flow.takes(outer)]  # fmt: skip
    return min(pops, key=lambda flow: flow.used_s if flow.used_s is not None else 1e9, default=None)


def _act(glance: Glance, flow: DatapathFlow, packet: Mapping[str, str], known: list[Connection]) -> _Effect:
    """The effect of the entry's actions, up to where the packet leaves; of a flood, its first copy.

    What a mirror or a capture copies leaves before the packet itself does.
    """
    effect, is_flood = _Effect(dict(packet)), _is_group(packet.get("dl_dst", ""))
    for at, action in enumerate(flow.actions, 1):
        is_exit = action.startswith("userspace(") or ("(" not in action and action not in BARE_ACTIONS)
        if is_exit and not is_flood and _goes_on(flow.actions[at:]):
            effect.packet.pop("tun_dst", None)
            effect.packet.pop("tun_id", None)
        elif found := _SET.match(action):
            _set(effect.packet, found[1], found[2])
        elif found := _CT.match(action):
            effect.packet = _track(glance, found[1], effect.packet, known)
        elif found := _PUSH_VLAN.match(action):
            effect.packet["dl_vlan"] = found[1]
        elif action == "pop_vlan":
            effect.packet.pop("dl_vlan", None)
        elif found := _RECIRC.match(action):
            effect.recirc_id = int(found[1], 0)
            return effect
        elif action.startswith("tnl_push("):
            ends, vni = _TUNNEL_ENDS.search(action), _VNI.search(action)
            effect.end, effect.port = "tunnel", "tunnel"
            effect.tun_dst, effect.vni = ends[2] if ends else "", vni[1] if vni else "0"
            return effect
        elif action.startswith("userspace("):
            effect.end = "controller"
            return effect
        elif action == "drop":
            effect.end = "drop"
            return effect
        elif "(" not in action:
            return _out(glance, action, effect)
    effect.end = "drop" if not flow.actions else None
    return effect


def _goes_on(rest: tuple[str, ...]) -> bool:
    """Does the packet still leave, or come again, by the actions that are left?"""
    return any(one.startswith(("recirc(", "tnl_push(")) or ("(" not in one and one not in BARE_ACTIONS) for one in rest)


def _is_group(mac: str) -> bool:
    return mac[:2] != "" and bool(int(mac[:2], 16) & 1)


def _out(glance: Glance, port: str, effect: _Effect) -> _Effect:
    """Out of a port; a kernel's tunnel port is told by the tunnel that was set before."""
    effect.end, effect.port = "port", glance.name(port)
    if effect.packet.get("tun_dst"):
        effect.end, effect.tun_dst = "tunnel", effect.packet.pop("tun_dst")
        effect.vni = effect.packet.pop("tun_id", "0")
    return effect


def _set(packet: dict[str, str], key: str, body: str) -> None:
    for name, value in (part.partition("=")[::2] for part in split_list(body)):
        if field_name := _SET_FIELDS[key].get(name):
            packet[field_name] = value.partition("/")[0]


def _track(glance: Glance, body: str, packet: dict[str, str], known: list[Connection]) -> dict[str, str]:
    """The packet behind a ct(): its connection is remembered, and translated where the action says so."""
    words = split_list(body)
    zone = next((int(word[5:], 0) for word in words if word.startswith("zone=") and word[5:].isdecimal()), 0)
    mine = connections_of(glance.conntrack, packet, zone)
    known.extend(mine)
    if not any(word == "nat" or word.startswith("nat(") for word in words):
        return packet
    changed = next((one for one in mine if one.is_translated), None)
    if changed is not None:
        return translated(changed, packet)
    if "nat" in words and mine:
        return packet
    gone = ("nw_src", "nw_dst", "ipv6_src", "ipv6_dst")  # translated to what no entry says: not known any more
    return {name: value for name, value in packet.items() if name not in gone}
