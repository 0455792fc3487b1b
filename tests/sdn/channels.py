"""A channel to a test's switch: we connect to the bridge's own socket, for the channel has no sides."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from sdn.transport.openflow import Channel
from tests.sdn.switch import Switch


@contextlib.asynccontextmanager
async def connected(switch: Switch) -> AsyncIterator[Channel]:
    """A ready channel to the switch's bridge."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[Channel] = loop.create_future()
    _, channel = await loop.create_unix_connection(
        lambda: Channel(ready.set_result, lambda channel, why: None, lambda channel, packet: None),
        f"{switch.rundir}/{switch.bridge}.mgmt",
    )
    await asyncio.wait_for(ready, 5)
    try:
        yield channel
    finally:
        channel.close("the test is over")
