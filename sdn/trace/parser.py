"""Reads the text of `ofproto/trace` (OVS 3.1, ofproto-dpif-trace.c) into values that keep their place in the text.

The text is a list of passes, parted by `recirc(0x…)` headings; a pass visits bridges; a bridge looks up tables; a
look-up does actions, and notes (` -> …`) explain them. `drop` under a `ct(table=…)` is no drop: the packet goes on in
the next pass. A line of a shape that is not known stays as text; nothing raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_BRIDGE = re.compile(r'^bridge\("(.*)"\)$')
_LOOKUP = re.compile(r"^(\s*)(\d+)\. (?:(.*), )?priority (\d+)(?:, cookie (0x[0-9a-f]+))?\s*$")
_NO_MATCH = re.compile(r"^(\s*)(\d+)\. No match\.?")
_RECIRC = re.compile(r"^recirc\((0x[0-9a-f]+)\)")
_NOTE = re.compile(r"^\s*(?:->|>>>>|>>) ?(.*)$")


@dataclass(slots=True)
class Lookup:
    """One table look-up: what matched, what it did, and `start` to `end` in the text."""

    table: int
    match: str
    priority: int | None
    cookie: int | None
    start: int
    end: int = 0
    actions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class BridgeVisit:
    """One bridge within a pass."""

    name: str
    lookups: list[Lookup] = field(default_factory=list)


@dataclass(slots=True)
class Pass:
    """From injection or recirculation to the datapath's actions."""

    recirc_id: str = ""
    flow: str = ""
    bridges: list[BridgeVisit] = field(default_factory=list)
    final_flow: str = ""
    megaflow: str = ""
    datapath_actions: str = ""


def parse_trace(text: str) -> list[Pass]:
    """The passes of a trace, the first one first; at least one, empty where the text is none of OVS's."""
    passes = [Pass()]
    at = 0
    for line in text.splitlines(keepends=True):
        _take(passes, line.rstrip("\n"), at, at + len(line))
        at += len(line)
    return passes


def _take(passes: list[Pass], line: str, start: int, end: int) -> None:
    if found := _RECIRC.match(line):
        passes.append(Pass(found[1]))
        return
    here = passes[-1]
    for head, name in (("Flow: ", "flow"), ("Final flow: ", "final_flow"), ("Megaflow: ", "megaflow"), ("Datapath actions: ", "datapath_actions")):  # fmt: skip
        if line.startswith(head):
            setattr(here, name, line.removeprefix(head).strip())
            return
    if found := _BRIDGE.match(line):
        here.bridges.append(BridgeVisit(found[1]))
    elif found := _LOOKUP.match(line):
        cookie = int(found[5], 16) if found[5] else 0
        _bridge(here).lookups.append(Lookup(int(found[2]), found[3] or "", int(found[4]), cookie, start, end))
    elif found := _NO_MATCH.match(line):
        _bridge(here).lookups.append(Lookup(int(found[2]), "", None, None, start, end))
    elif here.bridges and here.bridges[-1].lookups and line.strip() and not set(line) <= {"-", "="}:
        _inside(here.bridges[-1].lookups[-1], line, end)


def _bridge(here: Pass) -> BridgeVisit:
    if not here.bridges:
        here.bridges.append(BridgeVisit(""))
    return here.bridges[-1]


def _inside(lookup: Lookup, line: str, end: int) -> None:
    lookup.end = end
    note = _NOTE.match(line)
    if note:
        lookup.notes.append(note[1].strip())
    else:
        lookup.actions.append(line.strip())


def parse_flow(text: str) -> dict[str, str]:
    """A flow's text ("icmp,reg0=0x1,in_port=2,…") as field → value; a bare protocol has the value ""."""
    fields: dict[str, str] = {}
    for part in re.split(r",(?![^(]*\))", text):
        name, _, value = part.partition("=")
        if name:
            fields[name.strip()] = value.strip()
    return fields
