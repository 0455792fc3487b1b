"""Following one bridge's flow table for its history: every change, and the whole table when it is needed. No counters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sdn.controller.watch import Pending
from sdn.reconcile import WireFlow
from sdn.transport.decode import FlowUpdate
from sdn.transport.openflow import Channel, ChannelError, open_channel

GATHER_S = 0.1  # so that a burst is one call
LOOK_EVERY_S = 5.0


class TableFollower(Protocol):
    """Told of one bridge's flows, one call at a time."""

    async def whole(self, flows: Sequence[WireFlow]) -> None:
        """The table as it is: at the start, after a pause, and when asked for."""

    async def changed(self, updates: Sequence[FlowUpdate]) -> bool:
        """Changes in order; the answer says whether the whole table is wanted. Called with none every few seconds."""


async def follow_table(socket: Path, follower: TableFollower, turns: asyncio.Semaphore) -> None:
    """Tell the follower until cancelled; the whole table in one of the `turns`, for it takes memory.

    Raises ChannelError when the switch is not there, refuses, or goes away.
    """
    channel = await open_channel(str(socket))
    try:
        pending = Pending()
        await channel.monitor_flows(pending.put)
        await _tell_whole(channel, follower, turns)
        wants_whole = False
        while not channel.is_closed:
            wants_whole |= await _tell_changes(pending, follower)
            if wants_whole and pending.is_empty:  # not again and again within one burst
                await _tell_whole(channel, follower, turns)
                wants_whole = False
        raise ChannelError("the switch is gone")
    finally:
        channel.close("no longer followed")


# A table of 100,000 flows takes 40 MiB: nothing here may hold one while it waits for its turn, or the next change.
async def _tell_whole(channel: Channel, follower: TableFollower, turns: asyncio.Semaphore) -> None:
    async with turns:
        await follower.whole(await channel.dump_flows())


async def _tell_changes(pending: Pending, follower: TableFollower) -> bool:
    if await pending.some(LOOK_EVERY_S):
        await asyncio.sleep(GATHER_S)
    updates = pending.take()
    wants_whole = await follower.changed(updates)
    return wants_whole or any(update.kind == "resumed" for update in updates)
