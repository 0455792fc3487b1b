"""What every host has whatever the intent: misses, the drop table, and probes."""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import SYSTEM, Match, drop, flow, goto, reg, told_drop
from sdn.compiler.probes import probe_flows
from sdn.model.flow import Flow
from sdn.pipeline import DROP_REASONS, FLAG_PROBE, TABLES, Register

MISS_REASON = {
    "classify": "unknown_port",
    "router": "no_route",
    "route": "no_route",
    "next_hop": "no_neighbour",
    "nat": "external_down",
    "translated": "not_translated",
    "external_route": "no_route",
    "external_neighbour": "no_neighbour",
    "external_in": "not_ours",
    "l2_lookup": "unknown_mac",
    "output": "port_down",
    "mirror": "port_down",
    "egress_replies": "reply_denied",
    "ingress_replies": "reply_denied",
}


def system_flows(tunnel_ofports: tuple[int, ...]) -> Iterator[Flow]:
    for table in TABLES:
        if table.name == "drop":
            continue
        reason = MISS_REASON.get(table.name, "table_miss")
        yield flow(table.name, 0, SYSTEM, {}, drop(table.name, reason))
    yield flow("drop", 0, SYSTEM, {}, ())
    for reason_ in DROP_REASONS:
        yield flow("drop", 100, SYSTEM, {reg(Register.DROP_REASON): f"{reason_.code:#x}"}, ())
    for tunnel_ofport in tunnel_ofports:
        yield flow("classify", 1, SYSTEM, {"in_port": str(tunnel_ofport)}, drop("classify", "unknown_vni"))
    yield flow("responders", 50, SYSTEM, {"arp": ""}, drop("responders", "no_neighbour"))
    yield flow("nat", 1, SYSTEM, {reg(Register.ROUTER): "0"}, (goto("nat", "l2_lookup"),))
    yield flow("responders", 1, SYSTEM, {}, (goto("responders", "router"),))
    yield from _told()
    yield from probe_flows(tunnel_ofports)
    yield flow("output", 90, SYSTEM, {reg(Register.OUT): "0"}, drop("output", "port_down"))
    yield flow("output", 1, SYSTEM, {}, ("output:NXM_NX_REG3[]",))


def _told() -> Iterator[Flow]:
    """Drops whose sender is told by ICMP, as a router must; not probes', which are reported by the drop itself.

    A packet from outside is not: what an error would quote has been translated. It goes on even where it is too big.
    """
    inside: Match = {reg(Register.EXTERNAL): "0", reg(Register.FLAGS): f"0/{FLAG_PROBE:#x}"}
    for family in ("ip", "ipv6"):
        for table in ("router", "route"):
            yield flow(table, 1, SYSTEM, {**inside, family: ""}, told_drop(table, "no_route"))
        yield flow("next_hop", 1, SYSTEM, {**inside, family: ""}, told_drop("next_hop", "no_neighbour"))
    too_big = {reg(Register.TOO_BIG): "0x1"}
    for table in ("l2_lookup", "nat"):
        yield flow(table, 200, SYSTEM, {**too_big, **inside}, told_drop(table, "too_big"))
