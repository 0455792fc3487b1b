"""Reads the text of `ofproto/trace` (OVS 3.1, ofproto-dpif-trace.c) into values that keep their place in the text.

The text is a list of passes, parted by `recirc(0x…)` headings. A pass is a tree told by indentation: bridges look up
tables, a look-up does actions, an action may hold look-ups (resubmit), buckets (groups) or a bridge (patch ports), and
notes explain what is above them: ` -> ` details, ` >> ` what was not done, ` >>>> ` errors. `events` has every line of a
pass in order, each with its depth and the look-up it belongs to; the walk runs over them. A line of a shape that is not
known is an action kept as text; nothing raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

EventKind = Literal["bridge", "lookup", "action", "detail", "refusal"]
_LOOKUP = re.compile(r"([0-9]{1,20})\. (?:(.*), )?priority ([0-9]{1,20})(?:, cookie (0x[0-9a-f]+))?\s*$")
_NO_MATCH = re.compile(r"([0-9]{1,20})\. No match")
_RECIRC = re.compile(r"^recirc\((0x[0-9a-f]+)\)(.*)")
_PART = re.compile(r",(?![^(]*\))")
_HEADS = {"Flow": "flow", "Final flow": "final_flow", "Megaflow": "megaflow", "Datapath actions": "datapath_actions"}
_NOTES: tuple[tuple[str, EventKind], ...] = ((">>>>", "refusal"), (">>", "refusal"), ("->", "detail"))


@dataclass(slots=True)
class Lookup:
    """One table look-up: what matched, what it did, and `start` to `end` in the text."""

    table: int
    match: str
    priority: int | None
    cookie: int | None
    start: int
    end: int = 0
    depth: int = 0
    bridge: str = ""
    actions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class BridgeVisit:
    """One bridge within a pass."""

    name: str
    depth: int = 0
    lookups: list[Lookup] = field(default_factory=list)


@dataclass(slots=True)
class Event:
    """One line of a pass. `lookup` is the look-up that it belongs to, None above the first one."""

    kind: EventKind
    depth: int
    text: str
    lookup: Lookup | None


@dataclass(slots=True)
class Pass:
    """From injection or recirculation to the datapath's actions. `is_conntrack`: resumed after a ct()."""

    recirc_id: str = ""
    is_conntrack: bool = False
    flow: str = ""
    bridges: list[BridgeVisit] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    final_flow: str = ""
    megaflow: str = ""
    datapath_actions: str = ""


def parse_trace(text: str) -> list[Pass]:
    """The passes of a trace, the first one first; at least one, empty where the text is none of OVS's."""
    reader = _Reader()
    at = 0
    for line in text.split("\n"):
        end = at + len(line) + 1
        if line:
            reader.take(line, at, end)
        at = end
    return reader.passes


class _Reader:
    """Keeps which bridge and which look-ups the next line may belong to."""

    def __init__(self) -> None:
        self.passes = [Pass()]
        self._visits: list[BridgeVisit] = []
        self._open: list[list[Lookup]] = []  # of each visit, the look-ups that enclose the next line

    def take(self, line: str, start: int, end: int) -> None:
        body = line.lstrip(" ")
        depth = (len(line) - len(body)) & ~3
        first = body[:1]
        if not depth and first not in "0123456789":
            self._heading(line)
            return
        if not first or (first == "-" and body.startswith("---")):
            return
        while len(self._visits) > 1 and depth <= self._visits[-1].depth:
            self._visits.pop()
            self._open.pop()
        if first in "0123456789" and self._look_up(body, depth, start, end):
            return
        if first == "b" and body.startswith('bridge("'):
            self._bridge(body[8:].partition('"')[0], depth)
        else:
            self._inside(body, depth, end)

    def _heading(self, line: str) -> None:
        head, colon, rest = line.partition(": ")
        if colon and (name := _HEADS.get(head)):
            setattr(self.passes[-1], name, rest.strip())
        elif line.startswith('bridge("'):
            self._bridge(line[8:].partition('"')[0], 0)
        elif found := _RECIRC.match(line):
            self.passes.append(Pass(found[1], "resume conntrack" in found[2]))
            self._visits, self._open = [], []

    def _bridge(self, name: str, depth: int) -> None:
        if not depth:
            self._visits, self._open = [], []
        visit = BridgeVisit(name, depth)
        self._visits.append(visit)
        self._open.append([])
        self.passes[-1].bridges.append(visit)
        self.passes[-1].events.append(Event("bridge", depth, name, None))

    def _look_up(self, body: str, depth: int, start: int, end: int) -> bool:
        if found := _LOOKUP.match(body):
            cookie = int(found[4], 16) if found[4] else 0
            lookup = Lookup(int(found[1]), found[2] or "", int(found[3]), cookie, start, end, depth)
        elif found := _NO_MATCH.match(body):
            lookup = Lookup(int(found[1]), "", None, None, start, end, depth)
        else:
            return False
        if not self._visits:
            self._bridge("", 0)
        enclosing = self._open[-1]
        while enclosing and enclosing[-1].depth >= depth:
            enclosing.pop()
        enclosing.append(lookup)
        lookup.bridge = self._visits[-1].name
        self._visits[-1].lookups.append(lookup)
        self.passes[-1].events.append(Event("lookup", depth, body, lookup))
        return True

    def _inside(self, body: str, depth: int, end: int) -> None:
        enclosing = self._open[-1] if self._open else []
        while enclosing and enclosing[-1].depth >= depth:
            enclosing.pop()
        if not enclosing:
            return  # "thaw", "Resuming from table …", and what is no trace's text
        lookup = enclosing[-1]
        lookup.end = end
        if body[0] in "->":
            for mark, kind in _NOTES:
                if body.startswith(mark):
                    note = body[len(mark) :].strip()
                    lookup.notes.append(note)
                    self.passes[-1].events.append(Event(kind, depth, note, lookup))
                    return
        action = body.rstrip()
        lookup.actions.append(action)
        self.passes[-1].events.append(Event("action", depth, action, lookup))


def parse_flow(text: str) -> dict[str, str]:
    """A flow's text ("icmp,reg0=0x1,in_port=2,…") as field → value; a bare protocol has the value ""."""
    fields: dict[str, str] = {}
    for part in _PART.split(text) if "(" in text else text.split(","):
        name, _, value = part.partition("=")
        if name:
            fields[name.strip()] = value.strip()
    return fields
