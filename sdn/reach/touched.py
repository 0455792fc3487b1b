"""Could a change of the switches' flows concern a packet whose way is known?

A packet's way is made of look-ups: at each, the flow that matches decides. So the way is still the same, and nothing need be
asked again, unless on a host that the packet crossed

1. in a table that it was looked up in, a flow came, went or got other actions that matches the packet as it was there, or
2. a port came or went that it left by, or what the switch has of its own (tunnels, the cable to the outside).

So it is as long as the question is the same (`Asked`): its ends, its packet, the hosts' addresses, who is behind the ports.

A new way begins with such a flow too, since the packet leaves its old one only at a look-up of its own. A rule is a conjunction
(ovs-fields(7), conj_id) and its flows are shared with other rules': a change of one counts if all of its clauses match the
packet, before or after (each by itself: a rule may get one clause more). What is not surely different matches (`_SURE`): when
in doubt, it is asked again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from sdn.linux.bridges import BridgeReading
from sdn.linux.namespaces import FarEnd
from sdn.model.flow import Flow, FlowKey
from sdn.trace.fields import PROTOCOLS, field_name
from sdn.trace.near import differences
from sdn.trace.parser import parse_trace
from sdn.trace.question import Endpoint, PortFacts, Question, TraceWorld
from sdn.trace.walk import walk_passes

Flows = Mapping[FlowKey, Flow]
Match = tuple[tuple[str, str], ...]
_Clauses = dict[int, dict[int, list[Match]]]
_SURE = frozenset(
    ("in_port", "metadata", "tun_id", "ct_state", "dl_src", "dl_dst", "nw_src", "nw_dst", "ipv6_src", "ipv6_dst",
     "tp_src", "tp_dst", "icmp_type", *(f"reg{number}" for number in range(12)), *PROTOCOLS)
)  # fmt: skip
_FRAGMENTS = ("yes", "first", "later")
_ADDRESSES = ("nw_src", "nw_dst", "ipv6_src", "ipv6_dst")
_CLAUSE = re.compile(r"^conjunction\(([0-9]+),([0-9]+)/([0-9]+)\)$")


@dataclass(frozen=True, slots=True)
class Place:
    """One look-up of a packet: where, and the packet's fields there, the registers among them."""

    host: str
    table: int
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What decided a packet's way."""

    places: tuple[Place, ...]
    left_by: frozenset[tuple[str, int]]  # (host, ofport)
    hosts: frozenset[str]  # of which anything was asked


@dataclass(frozen=True, slots=True)
class SwitchState:
    """One host's switch as it was when something was asked of it. `own` are its ports that are no guest's, with what they are."""

    flows: Flows
    ofports: frozenset[int]
    own: frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question comes to, whenever it is asked: equal ones have equal answers over equal switches."""

    question: Question
    hosts: tuple[tuple[str, str, int, tuple[tuple[int, str], ...]], ...]
    behind: tuple[Endpoint | None, ...]

    @staticmethod
    def of(question: Question, footprint: Footprint) -> Asked:
        """That of the question, with who is behind the ports that the packet left by."""
        hosts = {host.name: host for host in question.hosts}
        facts = ((host.name, host.underlay_ip, host.underlay_mtu, host.tunnels) for host in question.hosts)
        behind = (
            hosts[name].ports.get(ofport) if name in hosts else None for name, ofport in sorted(footprint.left_by)
        )
        plain = replace(question, id="", started_at="", generation=0, hosts=())
        return Asked(plain, tuple(sorted(facts)), tuple(behind))


class Watched:
    """A TraceWorld over switches in these states that notes what decides, while a trace is asked of it."""

    def __init__(self, world: TraceWorld, states: Mapping[str, SwitchState]) -> None:
        self._world = world
        self._own = {(host, ofport) for host, state in states.items() for _, ofport in state.own}
        self._places: list[Place] = []
        self._left_by: set[tuple[str, int]] = set()
        self._hosts: set[str] = set()

    @property
    def footprint(self) -> Footprint:
        """What decided what was asked so far."""
        return Footprint(tuple(self._places), frozenset(self._left_by), frozenset(self._hosts))

    def ofproto_trace(self, host: str, bridge: str, flow: str, ct_next: tuple[str, ...]) -> str:
        """As the world's own. Each asking counts, those that turned out to be of another connection's state too."""
        self._hosts.add(host)
        text = self._world.ofproto_trace(host, bridge, flow, ct_next)
        walk = walk_passes(parse_trace(text), bridge)
        self._places += (Place(host, seen.lookup.table, seen.before) for seen in walk.seen)
        self._left_by |= {(host, one.ofport) for one in walk.exits if one.ofport >= 0} - self._own
        return text

    def conntrack(self, host: str, zone: int) -> str:
        """As the world's own."""
        return self._world.conntrack(host, zone)

    def ports(self, host: str) -> tuple[PortFacts, ...]:
        """As the world's own."""
        self._hosts.add(host)
        return self._world.ports(host)

    def wait_for_neighbour(self, host: str, attempt: int) -> bool:
        """As the world's own."""
        return self._world.wait_for_neighbour(host, attempt)

    def linux_bridge(self, host: str, bridge: str) -> BridgeReading:
        """As the world's own."""
        return self._world.linux_bridge(host, bridge)

    def behind(self, host: str, port: PortFacts) -> FarEnd | None:
        """As the world's own."""
        return self._world.behind(host, port)

    def flows(self, host: str, bridge: str, table: int) -> str:
        """As the world's own: they only word a drop."""
        return self._world.flows(host, bridge, table)


@dataclass(slots=True)
class _Table:
    """What changed in one table: matches that count by themselves, and (rule, match) of what counts with its rule."""

    plain: list[Match] = field(default_factory=list)
    of_rules: list[tuple[int, Match]] = field(default_factory=list)


class Changes:
    """What came, went or became other between two states of all switches."""

    def __init__(self, before: Mapping[str, SwitchState], after: Mapping[str, SwitchState]) -> None:
        self._tables: dict[tuple[str, int], _Table] = {}
        self._ports: set[tuple[str, int]] = set()
        self._hosts = set(before.keys() ^ after.keys())
        self._clauses: dict[tuple[str, int], tuple[_Clauses, _Clauses]] = {}
        self._both = (before, after)
        nothing = SwitchState({}, frozenset(), frozenset())
        for host in before.keys() | after.keys():
            was, now = before.get(host, nothing), after.get(host, nothing)
            if was.own != now.own:
                self._hosts.add(host)
            self._ports |= {(host, ofport) for ofport in was.ofports ^ now.ofports}
            if was.flows is now.flows:
                continue
            for key in _changed(was.flows, now.flows):
                table = self._tables.setdefault((host, key.table_id), _Table())
                _note(table, key, was.flows.get(key), now.flows.get(key))

    def touch(self, footprint: Footprint) -> bool:
        """May the way be another now?"""
        if not (self._hosts.isdisjoint(footprint.hosts) and self._ports.isdisjoint(footprint.left_by)):
            return True
        return any(self._touches(place) for place in footprint.places)

    def _touches(self, place: Place) -> bool:
        table = self._tables.get((place.host, place.table))
        if table is None:
            return False
        if any(may_match(match, place.fields) for match in table.plain):
            return True
        known: dict[int, bool] = {}
        for rule, match in table.of_rules:
            if may_match(match, place.fields):
                if rule not in known:
                    known[rule] = self._may_hold(place, rule)
                if known[rule]:
                    return True
        return False

    def _may_hold(self, place: Place, rule: int) -> bool:
        """Has each of the rule's clauses a flow that matches, before or after?"""
        states = [found[rule] for found in self._clauses_of(place.host, place.table) if rule in found]
        return not states or any(
            all(any(may_match(match, place.fields) for match in matches) for matches in clauses.values())
            for clauses in states
        )

    def _clauses_of(self, host: str, table_id: int) -> tuple[_Clauses, _Clauses]:
        """Of one table, before and after: rule → clause → its matches."""
        found = self._clauses.get((host, table_id))
        if found is None:
            before, after = (state[host].flows if host in state else {} for state in self._both)
            found = self._clauses[host, table_id] = (_clauses_in(before, table_id), _clauses_in(after, table_id))
        return found


def may_match(match: Iterable[tuple[str, str]], fields: Mapping[str, str]) -> bool:
    """Could a flow of that match be the packet's? Only what is surely different says no."""
    for text, wanted in match:
        name = field_name(text)
        if name == "nw_frag" and wanted in _FRAGMENTS and fields.get(name) == "no":
            return False
        if name not in _SURE or (name in _ADDRESSES and ":" in wanted.partition("/")[2]):
            continue
        if differences({text: wanted}, fields, 0) is None:
            return False
    return True


def _changed(before: Flows, after: Flows) -> Iterator[FlowKey]:
    yield from before.keys() - after.keys()
    for key, flow in after.items():
        was = before.get(key)
        if was is None or was.actions != flow.actions:
            yield key


def _note(table: _Table, key: FlowKey, was: Flow | None, now: Flow | None) -> None:
    """A clause counts where it is only in one of both; the flow that says what a rule's packets do counts with its rule."""
    rule = next((value for name, value in key.match if name == "conj_id"), "")
    rest = tuple(one for one in key.match if one[0] != "conj_id")
    clauses = [set(_clauses(flow)) if flow else set() for flow in (was, now)]
    if rule.isdecimal():
        table.of_rules.append((int(rule), rest))
    else:
        table.of_rules += ((number, key.match) for number, *_ in clauses[0] ^ clauses[1])
        if any(flow and not said for flow, said in zip((was, now), clauses, strict=True)):
            table.plain.append(key.match)


def _clauses_in(flows: Flows, table_id: int) -> _Clauses:
    made: _Clauses = {}
    for key, flow in flows.items():
        if key.table_id == table_id:
            for rule, clause, of in _clauses(flow):
                known = made.setdefault(rule, {number: [] for number in range(1, of + 1)})
                known.setdefault(clause, []).append(key.match)
    return made


def _clauses(flow: Flow) -> Iterator[tuple[int, int, int]]:
    """(rule, clause, of how many) that the flow is one of."""
    for action in flow.actions:
        if action.startswith("conj") and (found := _CLAUSE.match(action)):
            yield int(found[1]), int(found[2]), int(found[3])
