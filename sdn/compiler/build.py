"""Small words the compiler's tables are written in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from ipaddress import IPv4Address, ip_network

from sdn.model.cookie import Cause, CauseKind, format_cookie
from sdn.model.flow import Flow, FlowKey, canonical_match
from sdn.model.intent import Address, Cidr
from sdn.pipeline import DROP_REASON_BY_NAME, TABLE_BY_NAME, Register

Match = dict[str, str]  # field → value, "" for a bare protocol
SYSTEM = Cause(CauseKind.SYSTEM, 0)
TO_DROP = f"goto_table:{TABLE_BY_NAME['drop'].table_id}"


def flow(
    table: str, priority: int, cause: Cause, match: Mapping[str, str], actions: tuple[str, ...], *, counts: bool = False
) -> Flow:
    """One flow of the named table; its match is put in canonical order. `counts`: of the drop table, and not empty."""
    names = (*match,)
    order = _orders.get(names)
    if order is None:
        order = _orders[names] = tuple([name for name, _ in canonical_match(match.items())])
    key = FlowKey(TABLE_BY_NAME[table].table_id, priority, tuple([(name, match[name]) for name in order]))
    drops = counts or (actions[-1] == TO_DROP if actions else table == "drop")
    return Flow(key, format_cookie(cause, drops=drops), actions)


# The compiler's matches have few shapes: their fields as written down, and in canonical order.
_orders: dict[tuple[str, ...], tuple[str, ...]] = {}


@cache
def goto(here: str, there: str) -> str:
    """The instruction that moves on. Raises ValueError where the pipeline declares no such edge."""
    if there not in TABLE_BY_NAME[here].next:
        raise ValueError(f"the pipeline has no edge from {here} to {there}")
    return f"goto_table:{TABLE_BY_NAME[there].table_id}"


def to_prefix(cidr: Cidr | Address) -> Match:
    """The match of packets to an address or a prefix, of either family."""
    if isinstance(cidr, IPv4Address):  # most are: a network of one address costs twenty times its text
        return {"ip": "", "nw_dst": str(cidr)}
    block = ip_network(cidr)
    family, field = ("ip", "nw_dst") if block.version == 4 else ("ipv6", "ipv6_dst")
    if block.prefixlen == 0:
        return {family: ""}
    return {family: "", field: str(block.network_address if block.prefixlen == block.max_prefixlen else block)}


def reg(register: Register) -> str:
    """The register's field name in a match."""
    return _REGISTERS[register]


_REGISTERS = {register: f"reg{int(register)}" for register in Register}


def load(value: int, register: Register) -> str:
    """The action that sets a register."""
    return f"set_field:{format_value(value)}->{_REGISTERS[register]}"


def format_value(value: int) -> str:
    """Hexadecimal as ovs-ofctl prints it: zero has no prefix."""
    return f"{value:#x}" if value else "0"


TOLD_BYTES = 128  # of a packet that the controller answers with an ICMP error: all that one quotes


def told_drop(here: str, reason: str) -> tuple[str, ...]:
    """As `drop`, and the controller gets the packet's head, so that the sender is told (sdn.controller.icmp_errors)."""
    *why, onward = drop(here, reason)
    return (*why, f"CONTROLLER:{TOLD_BYTES}", onward)


def hand_over(ofport: int) -> tuple[str, ...]:
    """The actions of a packet-out for a guest: by the table output, as all that a port receives (limits, mirrors, captures)."""
    return load(ofport, Register.OUT), f"resubmit(,{TABLE_BY_NAME['output'].table_id})"


def meter(meter_id: int) -> tuple[str, ...]:
    """The instruction to pass a meter first; none for the id 0."""
    return (f"meter:{meter_id}",) if meter_id else ()


@cache
def drop(here: str, reason: str) -> tuple[str, ...]:
    """Go to the one drop table, saying why and from where."""
    return (
        load(DROP_REASON_BY_NAME[reason].code, Register.DROP_REASON),
        load(TABLE_BY_NAME[here].table_id, Register.DROP_TABLE),
        goto(here, "drop"),
    )
