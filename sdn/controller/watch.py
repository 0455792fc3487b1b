"""Watching one bridge's flow table: changes as the switch makes them (its flow monitor), counters once a second.

It goes over the bridge's own socket, so that a foreign bridge is watched as ours is. Each second's dump is the whole
table: a watcher that takes a dump as the table and applies every update after it, in order, has the table as it is.
An update may be told that the dump already holds; as each carries the whole flow, applying it again does no harm. What
the switch could not tell (a reader too slow) shows as `paused` and `resumed`, and is mended by the dump that follows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sdn.transport.decode import FlowCounters, FlowUpdate, decode_flow_updates
from sdn.transport.openflow import Channel, ChannelError, open_channel

COUNT_EVERY_S = 1.0
COUNT_SHARE = 4.0  # a dump that takes t seconds is followed by at least this many t of rest
MOST_PENDING_BYTES = 32 * 1024 * 1024  # of one bridge: some 150,000 changes
MOST_AT_ONCE = 5_000
GAP = (FlowUpdate("paused", None), FlowUpdate("resumed", None))


class TableWatcher(Protocol):
    """Told of one bridge's flows, one call at a time. While it works, updates gather into its next call."""

    async def flows_changed(self, updates: Sequence[FlowUpdate]) -> None: ...

    async def flows_counted(self, rows: Sequence[FlowCounters]) -> None: ...


async def watch_table(socket: Path, watcher: TableWatcher) -> None:
    """Tell the watcher until cancelled. Raises ChannelError when the switch is not there, refuses, or goes away."""
    channel = await open_channel(str(socket))
    try:
        pending = Pending()
        await channel.monitor_flows(pending.put)
        await _tell(channel, pending, watcher)
    finally:
        channel.close("no longer watched")


async def _tell(channel: Channel, pending: Pending, watcher: TableWatcher) -> None:
    loop = asyncio.get_running_loop()
    count_at = 0.0
    while not channel.is_closed:
        if loop.time() >= count_at:
            began = loop.time()
            await watcher.flows_counted(await channel.dump_counters())
            took_s = loop.time() - began
            count_at = began + max(COUNT_EVERY_S, took_s * (1 + COUNT_SHARE))
        await pending.some(count_at - loop.time())
        updates = pending.take()
        if updates:
            await watcher.flows_changed(updates)
        if any(update.kind == "resumed" for update in updates):
            count_at = 0.0
    raise ChannelError("the switch is gone")


class Pending:
    """Changes not told yet, as they came: decoded they take twice the memory. Bounded, and saying so when it lost some."""

    def __init__(self) -> None:
        self._bodies: deque[bytes | None] = deque()  # None where some were lost
        self._bytes = 0
        self._some = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        return not self._bodies

    def put(self, body: bytes) -> None:
        if self._bytes + len(body) > MOST_PENDING_BYTES:
            self._bodies, self._bytes = deque([None]), 0
        self._bodies.append(body)
        self._bytes += len(body)
        self._some.set()

    async def some(self, within_s: float) -> bool:
        """Whether there are any, waiting for the first at most `within_s`."""
        try:
            async with asyncio.timeout(max(within_s, 0)):  # wait_for of Python 3.11 may swallow a cancellation
                await self._some.wait()
        except TimeoutError:
            return False
        return True

    def take(self) -> tuple[FlowUpdate, ...]:
        """The first of them: all, or `MOST_AT_ONCE` and a few."""
        updates: list[FlowUpdate] = []
        while self._bodies and len(updates) < MOST_AT_ONCE:
            body = self._bodies.popleft()
            self._bytes -= len(body or b"")
            updates += GAP if body is None else decode_flow_updates(body)
        if not self._bodies:
            self._some.clear()
        return tuple(updates)
