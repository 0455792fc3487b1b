"""Follows one bridge's trace from the first look-up to every place where a copy of the packet ends.

Rules
1. Lines are done in the order of the text; a field holds for what follows, also after a resubmit returns. What a clone,
   a group's bucket or a patched bridge changes holds inside of it only.
2. Each pass begins with the whole flow as OVS prints it (that is how NAT shows). A tunnel's id is not in that text, so
   it is carried over.
3. An exit is an output, an answer to the in-port, the controller, a drop, or what OVS says that it did not do. `drop`
   under a ct() is none: the packet goes on in the next pass.
4. What an underlay bridge does with the outer packet (after "output to native tunnel") is kept apart in `underlay`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sdn.model.cookie import CauseKind, parse_cookie
from sdn.trace.fields import bits_of, field_name
from sdn.trace.parser import Event, Lookup, Pass, parse_flow
from sdn.trace.walked import Exit, ExitKind, Seen, Walk

IN_PORT, NORMAL, FLOOD, ALL, CONTROLLER, LOCAL = 0xFFF8, 0xFFFA, 0xFFFB, 0xFFFC, 0xFFFD, 0xFFFE
LONGEST = 20  # digits of a number: more are none of a switch's
_META = frozenset(("recirc_id", "eth", "ct_state", "ct_zone"))
_IS_NOW = re.compile(r"^(\S+) is now (\S+)$")
_CUT_OUTPUT = re.compile(r"^output\(port=([0-9]{1,20}),max_len=[0-9]{1,20}\)")
_OUTPUT_NOTE = re.compile(r"^output port is ([0-9]{1,20})")
_RESERVED: dict[str, int] = {"IN_PORT": IN_PORT, "NORMAL": NORMAL, "FLOOD": FLOOD, "ALL": ALL, "LOCAL": LOCAL, "CONTROLLER": CONTROLLER}  # fmt: skip
_UNDERLAY_NOTES = ("output to native tunnel", "tunneling to", "tunneling from")
_TUNNEL_FAILURES = ("neighbor cache miss", "native tunnel routing failed", "no route")


@dataclass(slots=True)
class _Scope:
    """What is restored: when a line no deeper than `depth` comes, or after `actions` more of the clone's actions."""

    depth: int
    fields: dict[str, str]
    actions: int | None = None
    is_bridge: bool = False
    aside: CauseKind | None = None  # a mirror's clone
    is_spent: bool = False

    def is_over(self, event: Event) -> bool:
        """Is the line none of the clone's, bucket's or bridge's any more? A look-up stands as deep as what led to it."""
        if self.actions is None:
            return event.depth <= self.depth
        return event.depth < self.depth or (self.is_spent and event.depth == self.depth and event.kind == "action")


def walk_passes(passes: list[Pass], bridge: str, tunnel_ofport: int | None = None) -> Walk:
    """The walk that begins on `bridge`."""
    walk = Walk(bridge)
    walker = _Walker(walk)
    for one in passes:
        walker.begin(one)
        for event in one.events:
            walker.take(event)
    return walk


class _Walker:
    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._seen: dict[int, Seen] = {}
        self._scopes: list[_Scope] = []
        self._in_ct = False
        self._outer = False  # inside a bridge that carries the outer packet
        self._state = self._datapath = ""
        self._last: Exit | None = None  # the exit that the next notes are about

    def begin(self, one: Pass) -> None:
        walk, given = self._walk, parse_flow(one.flow)
        state = given.get("ct_state", "")
        tunnel = walk.fields.get("tun_id")
        fields = {name: value for name, value in given.items() if name not in _META}
        if tunnel and "tun_id" not in fields and one.recirc_id:
            fields["tun_id"] = tunnel
        if state:
            fields["ct_state"], fields["ct_zone"] = state, given.get("ct_zone", "0")
        walk.fields = fields
        self._scopes, self._outer, self._last, self._in_ct = [], False, None, False
        self._state, self._datapath = state, one.datapath_actions
        if not one.recirc_id:
            came_in = given.get("in_port", "0")
            walk.in_port = _RESERVED.get(came_in, _number(came_in))
        if one.is_conntrack:
            walk.zones.append(_number(given.get("ct_zone", "0")))
            walk.flows.append(given)

    def take(self, event: Event) -> None:
        while self._scopes and self._scopes[-1].is_over(event):
            self._walk.fields = self._scopes.pop().fields
        if event.kind == "bridge":
            self._bridge(event)
        elif event.lookup is None or self._outer:
            return
        elif event.kind == "lookup":
            self._look_up(event.lookup)
        elif event.kind == "action":
            self._act(event, event.lookup)
        else:
            self._note(event)

    def _bridge(self, event: Event) -> None:
        notes = self._last.notes if self._last else []
        self._outer = any(note.startswith(_UNDERLAY_NOTES) for note in notes)
        if self._last is not None and not self._outer and self._last.kind == "output":
            self._walk.exits.remove(self._last)  # a patch port: the packet goes on in the peer's bridge
        if event.depth:
            self._scopes.append(_Scope(event.depth, self._walk.fields.copy(), is_bridge=True))
        self._last = None

    def _look_up(self, lookup: Lookup) -> None:
        seen = Seen(lookup, self._walk.fields.copy(), state=self._state)
        self._seen[id(lookup)] = seen
        self._walk.seen.append(seen)
        self._last = None
        self._in_ct = False

    def _act(self, event: Event, lookup: Lookup) -> None:
        action = event.text
        if self._in_ct and (action == "drop" or action.startswith("nat") or "->ct_" in action or "NXM_NX_CT" in action):
            return
        self._in_ct, self._last = action.startswith("ct("), None
        if action.startswith("clone("):
            inner = len(_split(action[6:-1]))
            self._scopes.append(_Scope(event.depth, self._walk.fields.copy(), inner, aside=_kind_of(lookup)))
            return
        if action.startswith("bucket "):
            self._scopes.append(_Scope(event.depth, self._walk.fields.copy()))
            return
        self._do(action, lookup)
        scope = self._scopes[-1] if self._scopes else None
        if scope and scope.actions is not None and event.depth == scope.depth:
            scope.actions -= 1
            if scope.actions <= 0:
                scope.is_spent = True  # what the last one leads to is still the clone's

    def _do(self, action: str, lookup: Lookup) -> None:
        verb = _VERBS.get(_verb(action))
        if verb is not None:
            verb(self, action, lookup)

    def _set(self, lookup: Lookup, name: str, value: str) -> None:
        fields, before = self._walk.fields, self._walk.fields.get(name, "0")
        if before == value:
            return
        fields[name] = value
        if self._scopes and not self._scopes[-1].is_bridge:
            return  # undone at the clone's or bucket's end: the exits inside have it in their fields
        changed = self._seen[id(lookup)].changed
        changed[name] = (changed[name][0] if name in changed else before, value)

    def _set_field(self, action: str, lookup: Lookup) -> None:
        """`set_field:VALUE[/MASK]->FIELD` and `load:VALUE->FIELD[a..b]`."""
        value, arrow, target = action.partition(":")[2].rpartition("->")
        if not arrow:
            return
        name, bits = field_name(target), bits_of(target)
        value, _, mask = value.partition("/")
        old = self._walk.fields.get(name, "0")
        if bits is not None and _is_number(value) and _is_number(old):
            some = ((1 << bits[1]) - 1) << bits[0]
            value = hex(int(old, 0) & ~some | (int(value, 0) << bits[0]) & some)
        elif mask and _is_number(mask) and _is_number(value) and _is_number(old):
            value = hex(int(old, 0) & ~int(mask, 0) | int(value, 0) & int(mask, 0))
        if name == "dl_vlan" and _is_number(value):
            value = str(int(value, 0) & 0xFFF)  # OpenFlow's vlan_vid has a bit that says "tagged"
        self._set(lookup, name, value)

    def _set_tunnel(self, action: str, lookup: Lookup) -> None:
        self._set(lookup, "tun_id", action.partition(":")[2])

    def _modify(self, action: str, lookup: Lookup) -> None:
        """OpenFlow 1.0's `mod_dl_src:…`, `mod_nw_dst:…`, `mod_vlan_vid:…`."""
        name, _, value = action.partition(":")
        self._set(lookup, {"vlan_vid": "dl_vlan"}.get(name[4:], name[4:]), value)

    def _decrement(self, action: str, lookup: Lookup) -> None:
        ttl = self._walk.fields.get("nw_ttl", "")
        if _is_number(ttl):
            self._set(lookup, "nw_ttl", str(max(int(ttl, 0) - 1, 0)))

    def _untag(self, action: str, lookup: Lookup) -> None:
        self._walk.fields.pop("dl_vlan", None)

    def _output(self, action: str, lookup: Lookup) -> None:
        word = action.partition(":")[2].strip() or action
        if found := _CUT_OUTPUT.match(action):
            word = found[1]
        ofport = _RESERVED.get(action.partition(":")[0].partition("(")[0].upper(), -1)
        if ofport < 0:
            ofport = int(word) if word.isdecimal() and len(word) < LONGEST else _RESERVED.get(word.upper(), -1)
        self._leave(ofport, lookup)

    def _leave(self, ofport: int, lookup: Lookup) -> None:
        kind: ExitKind = _KIND_OF_RESERVED.get(ofport, "output")
        if kind == "in_port":
            ofport = self._walk.in_port
        self._end(Exit(kind, ofport, lookup, self._walk.fields.copy(), datapath=self._datapath))

    def _end(self, exit_: Exit) -> None:
        """The exit with whose copy it is of: a clone's that a mirror made, or the one that a capture takes."""
        exit_.aside = next((scope.aside for scope in self._scopes if scope.aside is not None), None)
        if exit_.kind == "controller" and _kind_of(exit_.lookup) == CauseKind.CAPTURE:
            exit_.aside = CauseKind.CAPTURE
        self._last = exit_
        self._walk.exits.append(exit_)

    def _drop(self, action: str, lookup: Lookup) -> None:
        self._end(Exit("drop", -1, lookup, self._walk.fields.copy(), datapath=self._datapath))

    def _note(self, event: Event) -> None:
        text, lookup, last = event.text, event.lookup, self._last
        assert lookup is not None
        if found := _IS_NOW.match(text):
            self._set(lookup, field_name(found[1]), found[2])
            return
        if last is None or last.lookup is not lookup:
            if event.kind == "refusal" and "side effects" not in text:
                self._refuse(text, lookup)
            return
        last.notes.append(text)
        is_stood_in = last.kind == "in_port" and last.ofport == CONTROLLER  # it has no port, and the answer is for it
        refused = event.kind == "refusal" and last.kind != "drop" and not is_stood_in
        if refused or (last.kind == "output" and text.startswith(_TUNNEL_FAILURES)):
            last.kind, last.why = "refused", text
        elif (found := _OUTPUT_NOTE.match(text)) and last.ofport < 0:
            ofport = int(found[1])
            last.kind = _KIND_OF_RESERVED.get(ofport, "output")
            last.ofport = self._walk.in_port if last.kind == "in_port" else ofport

    def _refuse(self, text: str, lookup: Lookup) -> None:
        """Something other than an output was not done: a TTL that ran out, too many resubmits."""
        self._end(Exit("refused", -1, lookup, self._walk.fields.copy(), text, datapath=self._datapath))


_KIND_OF_RESERVED: dict[int, ExitKind] = {
    IN_PORT: "in_port", CONTROLLER: "controller", NORMAL: "normal", FLOOD: "normal", ALL: "normal",
}  # fmt: skip
_VERBS: dict[str, Callable[[_Walker, str, Lookup], None]] = {
    "set_field": _Walker._set_field,
    "load": _Walker._set_field,
    "set_tunnel": _Walker._set_tunnel,
    "set_tunnel64": _Walker._set_tunnel,
    "mod": _Walker._modify,
    "dec_ttl": _Walker._decrement,
    "pop_vlan": _Walker._untag,
    "strip_vlan": _Walker._untag,
    "output": _Walker._output,
    "IN_PORT": _Walker._output,
    "CONTROLLER": _Walker._output,
    "controller": _Walker._output,
    "NORMAL": _Walker._output,
    "FLOOD": _Walker._output,
    "ALL": _Walker._output,
    "LOCAL": _Walker._output,
    "drop": _Walker._drop,
}


def _verb(action: str) -> str:
    word = action.partition(":")[0].partition("(")[0]
    return "mod" if word.startswith("mod_") else word


def _kind_of(lookup: Lookup) -> CauseKind | None:
    """Which of the two sorts of flow that copy packets it is."""
    cause = parse_cookie(lookup.cookie or 0)
    return cause.kind if cause is not None and cause.kind in (CauseKind.MIRROR, CauseKind.CAPTURE) else None


def _split(text: str) -> list[str]:
    """The parts at the top level of a comma list."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "," and depth <= 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _is_number(text: str) -> bool:
    try:
        int(text, 0)
    except ValueError:
        return False
    return True


def _number(text: str) -> int:
    return int(text, 0) if _is_number(text) else 0
