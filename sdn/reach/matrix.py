"""Every pair of some ports for a service: each switch is asked once for each class of pairs it can tell apart.

A pair's way is one or two looks: at its sender's host, and where the packet leaves that one for another host, at that one.
The words are those of a trace, with place holders for the ends' names, filled in for each pair.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sdn.linux.bridges import BridgeReading
from sdn.linux.namespaces import FarEnd
from sdn.model.intent import PortIntent
from sdn.model.trace import Verdict
from sdn.reach.classes import Classes, port_classes
from sdn.reach.pairs import Scene, Service
from sdn.trace import Question, TraceHost, TraceWorld, predict
from sdn.trace.journey import Enter, Journey, Leg
from sdn.trace.predict import come_to, leave_source
from sdn.trace.question import PortFacts

_FROM_HOST = frozenset(("tun_src", "tun_ipv6_src"))
SOURCE, TARGET = "\x02source\x03", "\x02target\x03"  # names that no guest can have


@dataclass(frozen=True, slots=True)
class Cell:
    """What becomes of one pair's first packet, in the words of its trace."""

    verdict: Verdict
    reason: str
    suggestion: str = ""

    def named(self, source: str, target: str) -> Cell:
        """The cell of a class as this pair's."""
        reason = self.reason.replace(SOURCE, source).replace(TARGET, target)
        suggestion = self.suggestion.replace(SOURCE, source).replace(TARGET, target)
        return Cell(self.verdict, reason, suggestion)


STRANGERS = Cell("dropped", f"{SOURCE} and {TARGET} have no address of one IP family.")


@dataclass(frozen=True, slots=True)
class Matrix:
    """(source's port id, target's) → its cell, for every ordered pair. `traces` is how many looks at switches it took.

    `shared` has the same cells before the ends' names were put in (SOURCE and TARGET stand there): few differ.
    """

    service: Service
    generation: int
    cells: Mapping[tuple[int, int], Cell]
    traces: int
    shared: Mapping[tuple[int, int], Cell]


def matrix(scene: Scene, world: TraceWorld, service: Service, port_ids: Sequence[int], pairs: Iterable[tuple[int, int]] | None = None) -> Matrix:  # fmt: skip
    """The matrix of the ports, or of those `pairs` of them. Hosts that fail make cells unknown, never an exception."""
    ways: dict[int, Ways] = {}
    shared: dict[tuple[int, int], Cell] = {}
    every = pairs if pairs is not None else ((one, other) for one in port_ids for other in port_ids if one != other)
    for pair in every:
        source, target = scene.ports[pair[0]], scene.ports[pair[1]]
        family = scene.family_of(source, target)
        if family is None:
            shared[pair] = STRANGERS
            continue
        if family not in ways:
            ways[family] = Ways(scene, world, service, port_classes(scene, service, family, port_ids))
        shared[pair] = ways[family].cell(source, target)
    cells = {pair: cell.named(scene.ports[pair[0]].name, scene.ports[pair[1]].name) for pair, cell in shared.items()}
    return Matrix(service, scene.snapshot.generation, cells, sum(way.traces for way in ways.values()), shared)


@dataclass(frozen=True, slots=True)
class _Onward:
    """The packet left its host for another: how it comes in there, its ends' own values as names."""

    host: str
    entry: tuple[tuple[str, str], ...]
    packet: tuple[tuple[str, str], ...]


class Ways:
    """What becomes of pairs, host by host: one look at each switch for each class of senders and of receivers there."""

    def __init__(self, scene: Scene, world: TraceWorld, service: Service, classes: Mapping[str, Classes]) -> None:
        self._scene, self._world, self._service, self._classes = scene, _Quiet(world), service, classes
        self._first: dict[Hashable, Cell | _Onward | None] = {}
        self._second: dict[Hashable, Cell | _Onward | None] = {}
        self._sees_hosts: dict[str, bool] = {}
        self._plugged = {port_id: host for port_id, (host, _) in scene.ofports.items()}
        self.traces = 0

    def kind(self, port: PortIntent) -> Hashable:
        """Equal for ports that share every cell: on one host, and of one class to every host. One that is plugged nowhere is alone."""
        host = self._plugged.get(port.id, "")
        if host not in self._classes:
            return port.id
        return host, tuple((one.senders[port.id], one.receivers[port.id]) for one in self._classes.values())

    def cell(self, source: PortIntent, target: PortIntent) -> Cell:
        """The pair's cell, with place holders for the names of its ends."""
        found = self.shared(source, target)
        return found if found is not None else self.own(source, target)

    def own(self, source: PortIntent, target: PortIntent) -> Cell:
        """The pair's cell by a trace of its own."""
        self.traces += 1
        return _cell(self._scene, self._world, self._service, (source, target), (SOURCE, TARGET))

    def shared(self, source: PortIntent, target: PortIntent) -> Cell | None:
        """The cell of all pairs of these classes; None where a switch does more than one thing with the packet."""
        key = self._key(self._plugged.get(source.id, ""), source, target)
        if key not in self._first:
            self._first[key] = self._leave(source, target)
        found = self._first[key]
        if isinstance(found, _Onward):
            key = (*self._key(found.host, source, target), *self._told(found))
            if key not in self._second:
                self._second[key] = self._arrive(source, target, found)
            found = self._second[key]
        return found if isinstance(found, Cell) else None

    def _key(self, host: str, source: PortIntent, target: PortIntent) -> tuple[Hashable, ...]:
        here = self._classes.get(host)
        if here is None:
            return host, source.id, target.id
        return host, here.senders[source.id], here.receivers[target.id]

    def _told(self, onward: _Onward) -> tuple[Hashable, ...]:
        """What the host can see of how the packet comes in: no flow of ours asks which host it came from."""
        host = onward.host
        if host not in self._sees_hosts:
            words = {name for flow in self._scene.flows[host] for name, _ in flow.key.match}
            moves = any("TUN_" in action for flow in self._scene.flows[host] for action in flow.actions)
            self._sees_hosts[host] = moves or bool(words & _FROM_HOST)
        seen = self._sees_hosts[host]
        return tuple(one for one in onward.entry if seen or one[0] not in _FROM_HOST), onward.packet

    def _leave(self, source: PortIntent, target: PortIntent) -> Cell | _Onward | None:
        question = self._scene.question(source, target, self._service, (SOURCE, TARGET))
        return self._look(question, lambda enter: leave_source(question, self._world, enter))

    def _arrive(self, source: PortIntent, target: PortIntent, onward: _Onward) -> Cell | _Onward | None:
        question = self._scene.question(source, target, self._service, (SOURCE, TARGET))
        host = next(host for host in question.hosts if host.name == onward.host)
        own = {name: value for value, name in _ends(question).items()}
        entry, packet = (
            {name: own.get(value, value) for name, value in fields} for fields in (onward.entry, onward.packet)
        )
        found = self._look(question, lambda enter: come_to(question, self._world, enter, (host, entry, packet)))
        return found if isinstance(found, Cell) else None

    def _look(self, question: Question, walk: Callable[[Enter], Leg]) -> Cell | _Onward | None:
        """What one switch does with the packet; None where that is more than one thing."""
        self.traces += 1
        names, onward = _ends(question), []

        def enter(_: Journey, host: TraceHost, entry: dict[str, str], packet: dict[str, str]) -> Leg:
            told = [
                tuple((name, names.get(value, value)) for name, value in fields.items()) for fields in (entry, packet)
            ]
            onward.append(_Onward(host.name, *told))
            return Leg("unknown", "")

        leg = walk(enter)
        if not onward:
            return Cell(leg.verdict, leg.reason, leg.suggestion)
        return onward[0] if len(onward) == 1 and not leg.branches else None


def _ends(question: Question) -> dict[str, str]:
    """The ends' own values in a packet's fields, and names for them."""
    packet, target = question.packet, question.target
    assert target is not None
    return {
        str(packet.eth_src): "<source's MAC>", target.mac: "<target's MAC>",
        str(packet.ip_src): "<source's address>", str(packet.ip_dst): "<target's address>",
    }  # fmt: skip


def trace_pair(scene: Scene, world: TraceWorld, service: Service, source: PortIntent, target: PortIntent) -> Cell:
    """One pair's cell by a trace of its own."""
    if scene.family_of(source, target) is None:
        return STRANGERS.named(source.name, target.name)
    return _cell(scene, _Quiet(world), service, (source, target), ("", ""))


@dataclass(frozen=True, slots=True)
class Changed:
    """A pair whose verdict differs between two matrices."""

    service: Service
    source: int
    target: int
    before: Cell
    after: Cell


def changed_pairs(before: Matrix, after: Matrix) -> Iterable[Changed]:
    """The pairs of both whose verdict differs, by source, then target."""
    for pair in sorted(before.cells.keys() & after.cells.keys()):
        old, new = before.cells[pair], after.cells[pair]
        if old.verdict != new.verdict:
            yield Changed(before.service, *pair, old, new)


def _cell(scene: Scene, world: TraceWorld, service: Service, pair: tuple[PortIntent, PortIntent], names: tuple[str, str]) -> Cell:  # fmt: skip
    trace = predict(scene.question(*pair, service, names), world, lambda causes: {})
    return Cell(trace.verdict, trace.reason, trace.suggestion)


class _Quiet:
    """A world whose flows are not looked through for what almost matched: a cell has no room for that."""

    def __init__(self, world: TraceWorld) -> None:
        self._world = world

    def ofproto_trace(self, host: str, bridge: str, flow: str, ct_next: tuple[str, ...]) -> str:
        return self._world.ofproto_trace(host, bridge, flow, ct_next)

    def conntrack(self, host: str, zone: int) -> str:
        return self._world.conntrack(host, zone)

    def ports(self, host: str) -> tuple[PortFacts, ...]:
        return self._world.ports(host)

    def wait_for_neighbour(self, host: str, attempt: int) -> bool:
        return self._world.wait_for_neighbour(host, attempt)

    def linux_bridge(self, host: str, bridge: str) -> BridgeReading:
        return self._world.linux_bridge(host, bridge)

    def behind(self, host: str, port: PortFacts) -> FarEnd | None:
        return None  # a matrix tells who reaches whom: none of ours is there

    def flows(self, host: str, bridge: str, table: int) -> str:
        return ""
