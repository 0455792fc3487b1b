"""A flow as a value: what the compiler makes, the diff compares, the codec writes and people read.

Fields and actions are kept in ovs-ofctl(8)'s own words, already canonical (the order and the spelling that
`ovs-ofctl dump-flows --no-names` prints for OpenFlow 1.4), so that a flow has one text, one key and one encoding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class FlowKey(NamedTuple):
    """What OpenFlow itself tells flows apart by, within one bridge."""

    table_id: int
    priority: int
    match: tuple[
        tuple[str, str], ...
    ]  # (field, value or value/mask) in canonical order; ("ip", "") for a bare protocol


class Flow(NamedTuple):
    """One flow: its key, why it is there, and its actions in ovs-ofctl(8) syntax."""

    key: FlowKey
    cookie: int
    actions: tuple[str, ...]


_ORDER = [
    "conj_id",
    "ct_state",
    "ct_zone",
    "ct_mark",
    "PROTOCOL",
    "reg0",
    "reg1",
    "reg2",
    "reg3",
    "reg4",
    "reg5",
    "reg6",
    "reg7",
    "reg8",
    "reg9",
    "reg10",
    "reg11",
    "reg12",
    "reg13",
    "reg14",
    "reg15",
    "tun_id",
    "tun_src",
    "tun_dst",
    "metadata",
    "in_port",
    "vlan_tci",
    "dl_vlan",
    "dl_vlan_pcp",
    "dl_src",
    "dl_dst",
    "dl_type",
    "nw_src",
    "nw_dst",
    "ipv6_src",
    "ipv6_dst",
    "arp_spa",
    "arp_tpa",
    "nw_proto",
    "arp_op",
    "arp_sha",
    "arp_tha",
    "nw_tos",
    "nw_ttl",
    "nw_frag",
    "tp_src",
    "tp_dst",
    "icmp_type",
    "icmp_code",
    "nd_target",
    "nd_sll",
    "nd_tll",
    "nd_reserved",
    "nd_options_type",
    "tcp_flags",
]
_RANK = {name: rank for rank, name in enumerate(_ORDER)}


def canonical_match(fields: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The fields in the order of ovs-ofctl's dump (match_format in OVS's match.c); unknown ones last, by name."""
    given = tuple(fields)
    shape = tuple([name if value else (name,) for name, value in given])
    order = _orders.get(shape)
    if order is None:
        order = tuple(sorted(range(len(given)), key=lambda at: _rank(given[at])))
        if len(_orders) < MOST_SHAPES:
            _orders[shape] = order
    return tuple([given[at] for at in order])


def _rank(field: tuple[str, str]) -> tuple[int, str]:
    name, value = field
    return _RANK["PROTOCOL"] if value == "" else _RANK.get(name, len(_RANK)), name


# Flows have few shapes (which fields, which of them bare protocols), and each shape one order.
_orders: dict[tuple[str | tuple[str], ...], tuple[int, ...]] = {}
MOST_SHAPES = 10_000


def format_match(match: tuple[tuple[str, str], ...]) -> str:
    """`ip,reg1=0x1001,nw_dst=10.0.0.2`: the match as ovs-ofctl takes it; "" matches everything."""
    return ",".join(name if value == "" else f"{name}={value}" for name, value in match)


def format_flow(flow: Flow) -> str:
    """The line of `ovs-ofctl -O OpenFlow14 dump-flows --no-names --no-stats`, which add-flow takes as it is."""
    match = format_match(flow.key.match)
    table = f"table={flow.key.table_id}, " if flow.key.table_id else ""
    head = f"cookie={flow.cookie:#x}, {table}priority={flow.key.priority}"
    return f"{head}{',' + match if match else ''} actions={','.join(flow.actions) or 'drop'}"
