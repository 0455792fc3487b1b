"""The intent, read again and again by one process for the price of what changed.

A change says which ports it was of (`intent.Touched`), in a poke that may be lost. With every poke from the generation that is
known to the one that is there, only those rows are read; with any missing, all. And all of them now and then whatever
happens, so that a change that said too little, or nothing, is found.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from portal.networks.intent import EVERYTHING, Touched, generation, parse_poke, read_ports, read_rest, read_whole
from sdn.model.intent import IntentSnapshot, PortIntent

WHOLE_EVERY_S = 10.0
WHOLE_SHARE = 20.0  # a whole reading is followed by this many times its time without another
MOST_PORTS = 500  # at more, all are read


class IntentReader:
    """Reads in one thread at a time; `heard` may be called from another."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._snapshot: IntentSnapshot | None = None
        self._whole_at = 0.0  # when the next whole reading is due
        self._pokes: dict[int, Touched] = {}

    def heard(self, poke: bytes) -> None:
        """Take a poke's word of what changed."""
        if (told := parse_poke(poke)) is not None:
            self._pokes[told[0]] = told[1]

    def read(self) -> IntentSnapshot:
        """The intent as it is; what did not change is made of the same objects as before."""
        now = generation()
        while True:
            found = self._read(now)
            later = generation()
            if later == now:
                break
            now = later
        self._snapshot = found
        self._pokes = {number: told for number, told in self._pokes.items() if number > now}
        return found

    def _read(self, now: int) -> IntentSnapshot:
        known, late_s = self._snapshot, self._clock() - self._whole_at
        if known is None or late_s >= (0.0 if known.generation == now else WHOLE_EVERY_S):
            return self._whole(now)  # when nothing else is to do, if it can wait that long
        if known.generation == now:
            return known
        told = [self._pokes.get(number, EVERYTHING) for number in range(known.generation + 1, now + 1)]
        if now < known.generation or any(one.ports is None for one in told):
            return self._whole(now)
        ids = frozenset[int]().union(*(one.ports for one in told if one.ports is not None))
        if len(ids) > MOST_PORTS:
            return self._whole(now)
        ports = _spliced(known.ports, ids, read_ports(ids)) if ids else known.ports
        return read_rest(now, ports) if any(one.rest for one in told) else replace(known, generation=now, ports=ports)

    def _whole(self, now: int) -> IntentSnapshot:
        began = self._clock()
        found = read_whole(now)
        self._whole_at = self._clock() + max(WHOLE_EVERY_S, WHOLE_SHARE * (self._clock() - began))
        if self._snapshot is None:
            return found
        before = {port.id: port for port in self._snapshot.ports}
        return replace(found, ports=tuple(_same(before.get(port.id), port) for port in found.ports))


def _same(before: PortIntent | None, port: PortIntent) -> PortIntent:
    return before if before is not None and before == port else port


def _spliced(
    ports: tuple[PortIntent, ...], ids: frozenset[int], fresh: tuple[PortIntent, ...]
) -> tuple[PortIntent, ...]:
    """The ports with those ids as they are now, by id; they are gone if they are not among `fresh`."""
    kept = [port for port in ports if port.id not in ids]
    return tuple(sorted((*kept, *fresh), key=lambda port: port.id))
