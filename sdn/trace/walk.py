"""Follows a parsed trace in the packet's own order: fields, look-ups, outputs and drops, over all passes and bridges.

1. A pass starts with the fields that OVS prints for it; `tun_id` is kept besides, since OVS leaves it out of the text.
2. What a resubmit changes stays changed; what a clone or a group's bucket changes is undone after it.
3. An output that OVS then says it skips is none. `drop` after another action (see the parser) is none either.
4. The verdict is drawn from all of it by `predict`: an output anywhere outweighs side branches that end in a drop.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from sdn.pipeline import TABLE_BY_NAME
from sdn.trace.fields import action_sets, detail_sets, number_of
from sdn.trace.parser import Lookup, Node, Pass, parse_flow

DROP_TABLE = TABLE_BY_NAME["drop"].table_id
DropKind = Literal["table", "miss", "flow", "refused"]
_OUTPUT = re.compile(r"output:(\d+)$")
_OUTPUT_DETAIL = re.compile(r"output port is (\d+)")
_TUNNEL = re.compile(r"set\(tunnel\(([^()]*(?:\([^()]*\)[^()]*)*)\)\)")
_PUSH = re.compile(r"eth\(dst=([0-9a-f:]+),src=([0-9a-f:]+).*?ipv4\(src=([\d.]+),dst=([\d.]+).*?vni=(0x[0-9a-f]+)")


class Output(NamedTuple):
    """The packet leaves `bridge` at `ofport`, looking like `fields`."""

    bridge: str
    ofport: int
    fields: dict[str, str]


class Drop(NamedTuple):
    """Where a branch ended without an output, and why OVS says so."""

    kind: DropKind
    lookup: Lookup | None
    fields: dict[str, str]
    words: str


@dataclass(slots=True)
class Seen:
    """One look-up, or one ct() (`lookup` None): what it did and what it changed."""

    node: Node
    lookup: Lookup | None
    actions: str
    changed: dict[str, tuple[str, str]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Visit:
    """One bridge, from the packet's entry; several passes of one bridge are one visit."""

    bridge: str
    is_underlay: bool  # behind a native tunnel: it carries the outer packet
    before: dict[str, str]
    seen: list[Seen] = field(default_factory=list)


@dataclass(slots=True)
class Walk:
    """What became of the packet on one host."""

    main: str
    fields: dict[str, str] = field(default_factory=dict)
    visits: list[Visit] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # of the tunnel and of what failed
    to_controller: bool = False
    is_flooded: bool = False
    is_native: bool = False
    in_port: int = 0

    @property
    def here(self) -> Visit:
        if not self.visits:
            self.visits.append(Visit(self.main, False, dict(self.fields)))
        return self.visits[-1]


def walk_passes(passes: Sequence[Pass], bridge: str) -> Walk:
    """The walk over all of a host's bridges, `bridge` first."""
    walk = Walk(bridge)
    for one in passes:
        walk.fields = walk.fields | parse_flow(one.flow)
        walk.is_native = False
        if one is passes[0]:
            walk.in_port = number_of(walk.fields.get("in_port", "0"))
        else:
            _resume(walk, one)
        _nodes(walk, one.nodes)
    if walk.outputs:
        _fill_tunnel(walk, passes)
    return walk


def _resume(walk: Walk, one: Pass) -> None:
    """Go on where the packet was forked: the ct's verdict belongs to the step that asked for it."""
    main = next((visit for visit in reversed(walk.visits) if not visit.is_underlay), None)
    if main is not None and main is not walk.visits[-1]:
        walk.visits.append(Visit(main.bridge, False, dict(walk.fields)))
    asked = next((seen for seen in reversed(walk.here.seen) if seen.lookup is None and not seen.changed), None)
    if asked is not None and one.is_conntrack:
        state = walk.fields.get("ct_state", "")
        asked.changed["ct_state"] = ("untracked", state)
        asked.told.append(one.heading)


def _nodes(walk: Walk, nodes: tuple[Node, ...]) -> None:
    for node in nodes:
        if node.kind == "bridge":
            _bridge(walk, node)
        elif node.lookup is not None:
            _table(walk, node, node.lookup)
        elif node.kind in ("bucket", "action"):
            _action(walk, node, None)
        elif node.kind in ("error", "warning"):
            walk.told.append(node.text)
        elif node.children:
            _nodes(walk, node.children)


def _bridge(walk: Walk, node: Node) -> None:
    before = walk.visits[-1] if walk.visits else None
    if before is None or before.bridge != node.text:
        underlay = walk.is_native and node.text != walk.main
        walk.visits.append(Visit(node.text, underlay, dict(walk.fields)))
    _nodes(walk, node.children)


def _table(walk: Walk, node: Node, lookup: Lookup) -> None:
    acts = [child for child in node.children if child.kind == "action"]
    shown = [act.text for at, act in enumerate(acts) if not (at and act.text == "drop")]
    seen = Seen(node, lookup, ",".join(shown) or "drop")
    visit = walk.here
    visit.seen.append(seen)
    if lookup.priority is None:
        walk.drops.append(Drop("miss", lookup, dict(walk.fields), node.text.partition(". ")[2]))
    elif shown in ([], ["drop"]):
        kind: DropKind = "table" if lookup.table == DROP_TABLE else "flow"
        walk.drops.append(Drop(kind, lookup, dict(walk.fields), node.text))
    for child in node.children:
        if child.kind == "action":
            _action(walk, child, seen)
        else:
            _nodes(walk, (child,))


def _action(walk: Walk, node: Node, seen: Seen | None) -> None:
    text = node.text
    if set_ := action_sets(text, walk.fields):
        _change(walk, seen, *set_)
    elif text.startswith(("clone", "bucket", "group", "sample", "check_pkt_larger")):
        saved = dict(walk.fields)
        _children(walk, node, seen)
        walk.fields = saved
        return
    elif text.startswith("ct(") and "table=" in text:
        walk.here.seen.append(Seen(node, None, text))
    elif text.startswith(("CONTROLLER", "controller(")):
        walk.to_controller = True
    elif text in ("FLOOD", "ALL"):
        walk.is_flooded = True
    _output(walk, node, seen)
    _children(walk, node, seen)


def _children(walk: Walk, node: Node, seen: Seen | None) -> None:
    for child in node.children:
        if child.kind == "detail":
            if seen is not None:
                seen.told.append(child.text)
            if now := detail_sets(child.text):
                _change(walk, seen, *now)
            elif "flooding" in child.text and node.text == "NORMAL":
                walk.is_flooded = walk.is_flooded or not walk.here.is_underlay
            elif child.text.startswith(("tunneling", "output to native")):
                walk.is_native = True
                walk.told.append(child.text)
        else:
            _nodes(walk, (child,))


def _change(walk: Walk, seen: Seen | None, name: str, value: str) -> None:
    old = walk.fields.get(name, "0")
    walk.fields[name] = value
    if seen is not None and old != value:
        seen.changed[name] = (seen.changed[name][0] if name in seen.changed else old, value)


def _output(walk: Walk, node: Node, seen: Seen | None) -> None:
    """Note an output, unless OVS says that it came to nothing."""
    if walk.here.is_underlay:
        return
    ofport: int | None = None
    if found := _OUTPUT.match(node.text):
        ofport = int(found[1])
    elif node.text == "IN_PORT":
        ofport = walk.in_port
    elif node.text.startswith("output:"):
        told = (_OUTPUT_DETAIL.match(child.text) for child in node.children if child.kind == "detail")
        ofport = next((int(found[1]) for found in told if found), None)
    if ofport is None:
        return
    refused = next((child for child in node.children if child.kind in ("error", "warning")), None)
    if refused is None:
        walk.outputs.append(Output(walk.here.bridge, ofport, dict(walk.fields)))
    else:
        lookup = seen.lookup if seen is not None else None
        walk.drops.append(Drop("refused", lookup, dict(walk.fields), refused.text))


def _fill_tunnel(walk: Walk, passes: Sequence[Pass]) -> None:
    """A tunnel whose far end stands in OVSDB sets no field: read it from what the datapath is told."""
    for one in passes:
        outer = outer_header(one.datapath_actions)
        for output in walk.outputs if outer else ():
            for name in ("tun_id", "tun_dst"):
                if number_of(output.fields.get(name, "0")) == 0 and output.fields.get(name, "0") in ("0", "0.0.0.0"):
                    output.fields[name] = outer.get(name, "0")


def outer_header(datapath_actions: str) -> dict[str, str]:
    """The outer header of the first tunnel in datapath actions, userspace (tnl_push) or kernel (set(tunnel(…)))."""
    if found := _PUSH.search(datapath_actions):
        names = ("outer_dl_dst", "outer_dl_src", "tun_src", "tun_dst", "tun_id")
        return dict(zip(names, found.groups(), strict=True))
    if found := _TUNNEL.search(datapath_actions):
        given = parse_flow(found[1])
        pairs = {"tun_id": given.get("tun_id"), "tun_src": given.get("src"), "tun_dst": given.get("dst")}
        return {name: value for name, value in pairs.items() if value}
    return {}
