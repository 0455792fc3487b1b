"""What every host has whatever the intent: misses, the drop table, and probes."""

from __future__ import annotations

from collections.abc import Iterator

from sdn.compiler.build import SYSTEM, drop, flow, goto, reg
from sdn.compiler.probes import probe_flows
from sdn.model.flow import Flow
from sdn.pipeline import DROP_REASONS, TABLES, Register

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
    yield from probe_flows(tunnel_ofports)
    yield flow("output", 90, SYSTEM, {reg(Register.OUT): "0"}, drop("output", "port_down"))
    yield flow("output", 1, SYSTEM, {}, ("output:NXM_NX_REG3[]",))
