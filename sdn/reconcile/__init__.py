"""Desired against observed: what to add, change and delete, so that a second look finds nothing to do.

Flows are compared in their encoded form (`WireFlow`), which is what the switch reports. Foreign flows, those without
our owner mark in the cookie, are never touched.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sdn.model.cookie import OWNER_COOKIE, OWNER_COOKIE_MASK

WireKey = bytes  # table, priority in 2 bytes, match: 100,000s are kept, and a tuple would take three times the memory
KEY_HEAD = struct.Struct("!BH")


class WireFlow(NamedTuple):
    """One flow as encoded: `match` and `instructions` are OpenFlow 1.4 bytes, OXM fields sorted by their header."""

    key: WireKey
    cookie: int
    instructions: bytes
    timeouts: int = 0  # idle and hard, 16 bits each, seconds; ours have none

    @property
    def table_id(self) -> int:
        return self.key[0]

    @property
    def priority(self) -> int:
        return self.key[1] << 8 | self.key[2]

    @property
    def match(self) -> bytes:
        return self.key[3:]


def wire_flow(
    table_id: int, priority: int, match: bytes, cookie: int, instructions: bytes, timeouts: int = 0
) -> WireFlow:
    """The flow of these parts."""
    return WireFlow(KEY_HEAD.pack(table_id, priority) + match, cookie, instructions, timeouts)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, each list sorted. A flow whose cookie or actions differ is replaced by an add (OpenFlow 1.4, 6.4)."""

    add: tuple[WireFlow, ...]
    replace: tuple[WireFlow, ...]
    delete: tuple[WireFlow, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.add or self.replace or self.delete)


def is_ours(cookie: int) -> bool:
    """Whether the cookie carries our owner mark."""
    return cookie & OWNER_COOKIE_MASK == OWNER_COOKIE


def diff_flows(observed: Mapping[WireKey, WireFlow], desired: Iterable[WireFlow]) -> Plan:
    """The plan that makes ours of `observed` equal to `desired`."""
    add: list[WireFlow] = []
    replace: list[WireFlow] = []
    wanted = set()
    for flow in desired:
        wanted.add(flow.key)
        present = observed.get(flow.key)
        if present is None:
            add.append(flow)
        elif present != flow:
            replace.append(flow)
    delete = [flow for key, flow in observed.items() if key not in wanted and is_ours(flow.cookie)]
    return Plan(_sorted(add), _sorted(replace), _sorted(delete))


def plan_changes(before: Mapping[WireKey, WireFlow | None], desired: Mapping[WireKey, WireFlow]) -> Plan:
    """The plan of what changed: `before` has the keys that did, with the flow that each had."""
    now = [(was, desired.get(key)) for key, was in before.items()]
    add = [flow for was, flow in now if was is None and flow is not None]
    replace = [flow for was, flow in now if was is not None and flow is not None and was != flow]
    delete = [was for was, flow in now if was is not None and flow is None]
    return Plan(_sorted(add), _sorted(replace), _sorted(delete))


def _sorted(flows: list[WireFlow]) -> tuple[WireFlow, ...]:
    return tuple(sorted(flows, key=lambda flow: (flow.table_id, -flow.priority, flow.match)))


def format_plan(plan: Plan) -> str:
    """One line for the log: how much of each."""
    return f"add={len(plan.add)} replace={len(plan.replace)} delete={len(plan.delete)}"
