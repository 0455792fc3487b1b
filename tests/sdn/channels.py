"""A channel to a test's switch, over the bridge's own socket."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from sdn.transport.openflow import Channel, open_channel
from tests.sdn.switch import Switch


@contextlib.asynccontextmanager
async def connected(switch: Switch) -> AsyncIterator[Channel]:
    """A ready channel to the switch's bridge."""
    channel = await open_channel(f"{switch.rundir}/{switch.bridge}.mgmt")
    try:
        yield channel
    finally:
        channel.close("the test is over")
