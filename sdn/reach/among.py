"""Every pair of some ports whose verdict differs between two worlds, class by class.

Ports of one class in both worlds (sdn/reach/classes.py, on every host) have the same cells: one pair of each two classes is
looked at, and answers for all of them. Only what is more than one thing, such as a flood, is asked pair by pair.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest

from sdn.model.intent import PortIntent
from sdn.reach.classes import port_classes
from sdn.reach.matrix import STRANGERS, Cell, Changed, Ways
from sdn.reach.pairs import Scene, Service
from sdn.trace import TraceWorld


@dataclass(frozen=True, slots=True)
class Differing:
    """`first` are the first of the `count` pairs that differ, by source, then target, of `pairs` that were asked."""

    first: tuple[Changed, ...]
    count: int
    pairs: int
    looks: int  # at switches


class _Side:
    """One world: a pair's cell, and what its ports' classes are."""

    def __init__(self, scene: Scene, world: TraceWorld, service: Service, ids: Sequence[int]) -> None:
        self.scene, self._world, self._service, self._ids = scene, world, service, ids
        self._ways: dict[int, Ways] = {}
        self._families = {frozenset(one.version for one in scene.ports[port_id].addresses) for port_id in ids}

    def kind(self, port_id: int) -> Hashable:
        """Equal for ports that no look at any switch tells apart."""
        port = self.scene.ports[port_id]
        versions = frozenset(one.version for one in port.addresses)
        return versions, tuple(self._of_family(family).kind(port) for family in (4, 6) if family in versions)

    def cell(self, source: PortIntent, target: PortIntent) -> tuple[Cell, bool]:
        """The pair's cell, place holders in it, and whether it is its classes'."""
        family = self.scene.family_of(source, target)
        if family is None:
            return STRANGERS, True
        ways = self._of_family(family)
        shared = ways.shared(source, target)
        return (shared, True) if shared is not None else (ways.own(source, target), False)

    @property
    def looks(self) -> int:
        return sum(ways.traces for ways in self._ways.values())

    def _of_family(self, family: int) -> Ways:
        if family not in self._ways:
            classes = port_classes(self.scene, self._service, 4 if family == 4 else 6, self._ids)
            self._ways[family] = Ways(self.scene, self._world, self._service, classes)
        return self._ways[family]


def differing(before: tuple[Scene, TraceWorld], after: tuple[Scene, TraceWorld], service: Service, ids: Sequence[int], here: Collection[int], most: int) -> Differing:  # fmt: skip
    """The pairs with an end of `here` that differ; at most `most` of them are told."""
    sides = (_Side(*before, service, ids), _Side(*after, service, ids))
    groups: dict[Hashable, list[int]] = {}
    for port_id in ids:
        groups.setdefault((port_id in here, *(side.kind(port_id) for side in sides)), []).append(port_id)
    members = [(of[0] in here, of) for of in groups.values()]
    blocks = [(one, other) for is_here, one in members for is_there, other in members if is_here or is_there]
    found = [block for one, other in blocks for block in _blocks(sides, one, other)]
    count = sum(_pairs(sources, targets) for sources, targets, _, _ in found)
    named = nsmallest(most, (pair for block in found for pair in _each(block, most)), key=lambda pair: pair[:2])
    first = tuple(_changed(sides, service, *pair) for pair in named)
    return Differing(first, count, sum(_pairs(*block) for block in blocks), sum(side.looks for side in sides))


Block = tuple[list[int], list[int], Cell, Cell]


def _blocks(sides: tuple[_Side, _Side], sources: list[int], targets: list[int]) -> Iterator[Block]:
    """The pairs of two classes that differ: all, none, or some one by one."""
    for source, target in _every(sources, targets):
        (old, of_all), (new, too) = (side.cell(side.scene.ports[source], side.scene.ports[target]) for side in sides)
        if of_all and too:
            if old.verdict != new.verdict:
                yield sources, targets, old, new
            return
        if old.verdict != new.verdict:
            yield [source], [target], old, new


def _every(sources: list[int], targets: list[int]) -> Iterator[tuple[int, int]]:
    return ((one, other) for one in sources for other in targets if one != other)


def _pairs(sources: list[int], targets: list[int]) -> int:
    """How many ordered pairs of two different ports; two classes are the same or have none in common."""
    return len(sources) * (len(targets) - (sources[0] in targets))


def _each(block: Block, most: int) -> Iterator[tuple[int, int, Cell, Cell]]:
    """The block's first pairs: lists are in order, so no later one is among the first of all."""
    sources, targets, old, new = block
    for number, (source, target) in enumerate(_every(sources, targets)):
        if number >= most:
            return
        yield source, target, old, new


def _changed(sides: tuple[_Side, _Side], service: Service, source: int, target: int, old: Cell, new: Cell) -> Changed:
    names = [sides[0].scene.ports[port_id].name for port_id in (source, target)]
    return Changed(service, source, target, old.named(*names), new.named(*names))
