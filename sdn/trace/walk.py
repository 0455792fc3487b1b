"""Follows the passes of one bridge's trace: registers, tunnel fields and outputs, from the first look-up to the end."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sdn.pipeline import TABLE_BY_NAME
from sdn.trace.parser import Lookup, Pass, parse_flow

DROP_TABLE = TABLE_BY_NAME["drop"].table_id
_SET = re.compile(r"^set_field:(.+)->(\w+)$")
_OUTPUT = re.compile(r"^output:(\d+)$")
_OUTPUT_NOTE = re.compile(r"^output port is (\d+)$")
_IN_PORT = re.compile(r"\bin_port=(\d+)")


@dataclass(slots=True)
class Seen:
    """One look-up with what was true before and after it."""

    lookup: Lookup
    before: dict[str, str]
    after: dict[str, str]


@dataclass(slots=True)
class Walk:
    """What the packet did on one bridge."""

    seen: list[Seen] = field(default_factory=list)
    registers: dict[int, int] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    outputs: list[int] = field(default_factory=list)
    drop: Lookup | None = None
    to_controller: bool = False
    in_port: int = 0

    @property
    def tun_id(self) -> str:
        return self.fields.get("tun_id", "0")

    @property
    def tun_dst(self) -> str:
        return self.fields.get("tun_dst", "")


def walk_passes(passes: list[Pass], bridge: str, tunnel_ofport: int | None) -> Walk:
    """The walk over `bridge`; other bridges (behind native tunnels) are told by the hops after it."""
    walk = Walk()
    walk.fields = {name: value for name, value in parse_flow(passes[0].flow).items() if name != "recirc_id"}
    found = _IN_PORT.search(passes[0].flow)
    walk.in_port = int(found[1]) if found else 0
    for one in passes:
        for visit in one.bridges:
            if visit.name in (bridge, ""):
                for lookup in visit.lookups:
                    _look(walk, lookup)
    if walk.outputs:
        walk.drop = None  # a side branch ended in the drop table, another one got out
    return walk


def _look(walk: Walk, lookup: Lookup) -> None:
    before = dict(walk.fields)
    for action in lookup.actions:
        _act(walk, action)
    for note in lookup.notes:
        if found := _OUTPUT_NOTE.match(note):
            walk.outputs.append(int(found[1]))
    if lookup.table == DROP_TABLE or lookup.priority is None:
        walk.drop = lookup
    walk.seen.append(Seen(lookup, before, dict(walk.fields)))


def _act(walk: Walk, action: str) -> None:
    if found := _SET.match(action):
        walk.fields[found[2]] = found[1]
        if found[2].startswith("reg") and found[2][3:].isdigit():
            walk.registers[int(found[2][3:])] = int(found[1], 0)
    elif found := _OUTPUT.match(action):
        walk.outputs.append(int(found[1]))
    elif action == "IN_PORT":
        walk.outputs.append(walk.in_port)
    elif action.startswith("CONTROLLER"):
        walk.to_controller = True
