"""Watching one host's flow table: changes as the switch makes them (its flow monitor), counters once a second.

Each second's dump is the whole table, so a watcher that applies updates in order to the last dump has the table as it
is; what it missed (a new channel, a reader too slow) shows as `paused` and `resumed` and is mended by the next dump.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from sdn.model.addresses import HostName
from sdn.transport.decode import FlowCounters, FlowUpdate
from sdn.transport.openflow import Channel, ChannelError

COUNTERS_EVERY_S = 1.0
LOOK_AGAIN_S = 0.2
MOST_PENDING = 100_000
GAP = (FlowUpdate("paused", None), FlowUpdate("resumed", None))


class FlowWatcher(Protocol):
    """Told of one host's flows; must not raise. `sdn.transport.flowtext` has a flow's words, made only when asked for."""

    async def flows_changed(self, host: HostName, updates: tuple[FlowUpdate, ...]) -> None: ...

    async def flows_counted(self, host: HostName, rows: tuple[FlowCounters, ...]) -> None: ...


async def watch_host(
    host: HostName, channel_now: Callable[[], Channel | None], watcher: FlowWatcher, until_s: float
) -> None:
    """Tell the watcher until the loop's time is `until_s`, over however many channels; cancelling ends it too."""
    loop = asyncio.get_running_loop()
    seen: Channel | None = None
    while loop.time() < until_s:
        channel = channel_now()
        if channel is None or channel.is_closed:
            await asyncio.sleep(LOOK_AGAIN_S)
            continue
        if seen is not None and seen is not channel:
            await watcher.flows_changed(host, GAP)
        seen = channel
        try:
            await _watch_channel(host, channel, watcher, until_s)
        except ChannelError:
            await asyncio.sleep(LOOK_AGAIN_S)


async def _watch_channel(host: HostName, channel: Channel, watcher: FlowWatcher, until_s: float) -> None:
    loop = asyncio.get_running_loop()
    pending = _Pending()
    await channel.monitor_flows(pending.put)
    try:
        count_at = 0.0
        while (now := loop.time()) < until_s and not channel.is_closed:
            if now >= count_at:
                rows = tuple(await channel.dump_counters())
                await watcher.flows_counted(host, rows)
                count_at = now + COUNTERS_EVERY_S
            if updates := await pending.take(min(count_at, until_s) - loop.time()):
                await watcher.flows_changed(host, updates)
    finally:
        channel.stop_monitor(pending.put)


class _Pending:
    """Updates not told yet: bounded, and saying so when it lost some."""

    def __init__(self) -> None:
        self._updates: list[FlowUpdate] = []
        self._some = asyncio.Event()

    def put(self, update: FlowUpdate) -> None:
        if len(self._updates) >= MOST_PENDING:
            self._updates = list(GAP)
        self._updates.append(update)
        self._some.set()

    async def take(self, within_s: float) -> tuple[FlowUpdate, ...]:
        """All there are, waiting for the first at most `within_s`."""
        try:
            await asyncio.wait_for(self._some.wait(), max(within_s, 0))
        except TimeoutError:
            return ()
        self._some.clear()
        updates, self._updates = self._updates, []
        return tuple(updates)
