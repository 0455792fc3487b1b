"""A flow as a value: what the compiler makes, the diff compares, the codec writes and people read.

Fields and actions are kept in ovs-ofctl(8)'s own words, already canonical (the order and the spelling that
`ovs-ofctl dump-flows --no-names` prints for OpenFlow 1.4), so that a flow has one text, one key and one encoding.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class FlowKey:
    """What OpenFlow itself tells flows apart by, within one bridge."""

    table_id: int
    priority: int
    match: tuple[
        tuple[str, str], ...
    ]  # (field, value or value/mask) in canonical order; ("ip", "") for a bare protocol


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """One flow: its key, why it is there, and its actions in ovs-ofctl(8) syntax."""

    key: FlowKey
    cookie: int
    actions: tuple[str, ...]


def format_match(match: tuple[tuple[str, str], ...]) -> str:
    """`ip,reg1=0x1001,nw_dst=10.0.0.2`: the match as ovs-ofctl takes it; "" matches everything."""
    return ",".join(name if value == "" else f"{name}={value}" for name, value in match)


def format_flow(flow: Flow) -> str:
    """One line that `ovs-ofctl -O OpenFlow14 add-flow` takes as it is."""
    match = format_match(flow.key.match)
    head = f"cookie={flow.cookie:#x}, table={flow.key.table_id}, priority={flow.key.priority}"
    return f"{head}{',' + match if match else ''} actions={','.join(flow.actions) or 'drop'}"
