"""Ports that are plugged nowhere, whose packets the controller sends in their name for a while.

A guest that is off has no tap, and so no in_port. A stand-in is its port's own flows of the sender's side (who it is, port
security, its rules) with the one difference that the packets come from the controller with the port's number in the
source register. No guest can send such a packet. Nothing is delivered to it: it stays absent for everybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sdn.model.addresses import IfaceId

KEPT_S = 60.0


class StandIns:
    """One host's. `poke` makes its flows be compiled again."""

    def __init__(self, poke: Callable[[], None]) -> None:
        self._poke = poke
        self._until: dict[IfaceId, float] = {}
        self._there: frozenset[IfaceId] = frozenset()
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def wanted(self) -> tuple[IfaceId, ...]:
        """Those whose flows should be there now, sorted."""
        now = self._loop.time()
        return tuple(sorted(iface for iface, until in self._until.items() if until > now))

    async def ensure(self, iface: IfaceId) -> None:
        """Returns when the switch has its flows, which then stay for `KEPT_S`; the caller bounds the wait."""
        self._until[iface] = self._loop.time() + KEPT_S
        while iface not in self._there:
            self._news.clear()
            self._poke()
            await self._news.wait()

    def told(self, there: tuple[IfaceId, ...]) -> None:
        """The switch has the flows of these now."""
        self._there = frozenset(there)
        self._news.set()

    def tick(self) -> None:
        """Let go of those whose time is over."""
        now = self._loop.time()
        if over := [iface for iface, until in self._until.items() if until <= now]:
            for iface in over:
                del self._until[iface]
            self._poke()
