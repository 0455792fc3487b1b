"""A Linux bridge as `ip -j -d link` and `bridge -j fdb` tell it. Junk is left out, never an exception."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdn.linux.ruleset import Ruleset


@dataclass(frozen=True, slots=True)
class BridgePort:
    """A port of a bridge; `state` is the spanning tree's word, "disabled" where its link is down."""

    name: str
    state: str
    floods: bool = True  # unicast to MACs that the bridge does not know
    floods_multicast: bool = True
    floods_broadcast: bool = True
    hairpin: bool = False
    isolated: bool = False
    locked: bool = False
    is_cable_away: bool = False  # its other end is in another network namespace


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """Where the bridge sends frames for a MAC. `kind`: "local" (the host's own), "static" or "learned"."""

    mac: str
    port: str
    kind: str
    vid: int = 0


@dataclass(frozen=True, slots=True)
class BridgeFacts:
    """The bridge itself. `ageing_s` 0: it forgets what it learned at once."""

    name: str
    is_up: bool
    ageing_s: float
    stp: bool
    vlan_filtering: bool
    calls_iptables: bool
    calls_ip6tables: bool


@dataclass(frozen=True, slots=True)
class BridgeReading:
    """What was read of one bridge and of its host's netfilter. `facts` or `ruleset` None: not read, `problems` say why."""

    bridge: str
    facts: BridgeFacts | None = None
    ports: Mapping[str, BridgePort] = field(default_factory=dict)
    fdb: tuple[FdbEntry, ...] = ()
    ruleset: Ruleset | None = None
    sees_ip: bool = False  # net.bridge.bridge-nf-call-iptables: the IPv4 chains see bridged frames of every bridge
    sees_ip6: bool = False
    conntrack: str | None = None  # connections in `dpctl/dump-conntrack`'s words; None: not read
    problems: tuple[str, ...] = ()
    evidence: str = ""  # the bridge's own part of what was read, as it was printed
    into: Mapping[str, str] = field(default_factory=dict)  # ports that lead into a namespace: into which, in words


def parse_links(text: str) -> list[dict[str, Any]]:
    """The objects of `ip -j -d link show`; none where it is no such list. (iproute2 prints {} for what a filter left out.)"""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, dict) and one.get("ifname")] if isinstance(found, list) else []


def parse_bridge(links: list[dict[str, Any]], name: str) -> BridgeFacts | None:
    """The bridge of that name; None where it is not among them."""
    for link in links:
        info = _map(link.get("linkinfo"))
        if link.get("ifname") == name and info.get("info_kind") == "bridge":
            data, flags = _map(info.get("info_data")), link.get("flags")
            return BridgeFacts(
                name, isinstance(flags, list) and "UP" in flags, _number(data.get("ageing_time")) / 100, bool(data.get("stp_state")),
                bool(data.get("vlan_filtering")), bool(data.get("nf_call_iptables")), bool(data.get("nf_call_ip6tables")),
            )  # fmt: skip
    return None


def parse_bridge_ports(links: list[dict[str, Any]], bridge: str) -> dict[str, BridgePort]:
    """The bridge's ports by name."""
    found = {}
    for link in links:
        info = _map(link.get("linkinfo"))
        if link.get("master") != bridge or info.get("info_slave_kind", "bridge") != "bridge":
            continue
        data, name = _map(info.get("info_slave_data")), str(link["ifname"])
        found[name] = BridgePort(
            name, str(data.get("state", "")), data.get("flood") is not False, data.get("mcast_flood") is not False,
            data.get("bcast_flood") is not False, data.get("hairpin") is True, data.get("isolated") is True,
            data.get("locked") is True, isinstance(link.get("link_netnsid"), int),
        )  # fmt: skip
    return found


def parse_fdb(text: str) -> tuple[FdbEntry, ...]:
    """The bridge's own entries of `bridge -j fdb show`; those of a device's own filter ("self") are no part of it."""
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return tuple(_entries(rows)) if isinstance(rows, list) else ()


def _entries(rows: list[Any]) -> Iterator[FdbEntry]:
    for row in rows:
        if not isinstance(row, dict) or not row.get("master") or not isinstance(row.get("mac"), str):
            continue
        kind = {"permanent": "local", "static": "static"}.get(str(row.get("state", "")), "learned")
        yield FdbEntry(row["mac"].lower(), str(row.get("ifname", "")), kind, int(_number(row.get("vlan"))))


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float:
    return value if isinstance(value, (int, float)) and abs(value) < 1e12 else 0
