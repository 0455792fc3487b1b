"""A host's link ends when it is told to, at whatever moment that is."""

from __future__ import annotations

import asyncio

import pytest

from sdn.controller.host import Common, HostLink
from tests.sdn.switch import Switch
from tests.sdn.test_controller import Told, _connection
from tests.waiting import at_this_load


@pytest.mark.parametrize("turns", range(6))
async def test_a_link_that_is_poked_as_it_is_stopped_stops(dummy_ovs: Switch, turns: int) -> None:
    """Python 3.11's wait_for loses a cancellation that meets the end of what it waits for: the link ran on for ever."""
    told = Told()
    link = HostLink(_connection("hv1", dummy_ovs.shadow, "192.0.2.11"), told, lambda: None, lambda *_: None, Common())
    async with asyncio.timeout(at_this_load(10)):
        while link.channel is None or link.facts is None:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
    link.poke()
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(at_this_load(3)):
        await link.stop()
    assert link._task.cancelled()
