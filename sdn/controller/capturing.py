"""Captures under way: their flows on the switches, their copies as they come in, and their end.

Times are of the controller's one clock. A capture ends at its limit, at its time, or when it is stopped; its flows end by
themselves a moment later if the controller cannot take them away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sdn.capture import Captured, CaptureOrder, CapturePoint, capture_flows, mark_of
from sdn.model.addresses import HostName
from sdn.reconcile import Plan, WireFlow
from sdn.transport.codec import encode_flow
from sdn.transport.openflow import Channel, ChannelError, PacketIn

GRACE_S = 5  # the switch's own timeout is this much later than ours
AT_ONCE_PER_HOST = 4


@dataclass(slots=True)
class _Running:
    order: CaptureOrder
    flows: dict[HostName, tuple[WireFlow, ...]]
    on_packet: Callable[[Captured], None]
    ended: asyncio.Event
    left: int


def _place(point: CapturePoint) -> tuple[str, int, bool]:
    """What one capture at a time may have: a port, and beside it what the port opens."""
    return point.host, point.ofport, bool(point.opening)


class Captures:
    """Captures over the channels that `channels` gives by host."""

    def __init__(self, channels: Callable[[], Mapping[HostName, tuple[Channel, tuple[int, ...]]]]) -> None:
        self._channels = channels
        self._running: dict[int, _Running] = {}

    async def run(self, order: CaptureOrder, on_packet: Callable[[Captured], None]) -> str:
        """Capture until it ends; the words say why it did. Raises ChannelError where a host refuses or is away."""
        flows = {
            HostName(host): tuple(replace(encode_flow(flow), timeouts=order.seconds + GRACE_S) for flow in found)
            for host, found in capture_flows(order).items()
        }
        self._refuse(order, flows)
        running = _Running(order, flows, on_packet, asyncio.Event(), order.packets)
        self._running[order.number] = running
        try:
            for host, wanted in flows.items():
                await self._channel(host).apply(Plan(wanted, (), ()))
            async with asyncio.timeout(order.seconds):
                await running.ended.wait()
            return "stopped" if running.left > 0 else f"{order.packets} packets were caught"
        except TimeoutError:
            return f"{order.seconds} s are over"
        finally:
            self._running.pop(order.number, None)
            await self._remove(flows)

    def stop(self, number: int) -> None:
        """End it now."""
        if running := self._running.get(number):
            running.ended.set()

    def keeps(self, cookie: int) -> bool:
        """Is the flow of a capture that runs now? A capture's flow that is not is another controller's, and goes."""
        mark = mark_of(cookie)
        return mark is not None and mark[0] in self._running

    def take(self, packet: PacketIn) -> bool:
        """Whether the packet-in is a capture's copy; then it is told on, or dropped when its capture has enough."""
        mark = mark_of(packet.cookie)
        if mark is None:
            return False
        running = self._running.get(mark[0])
        if running is not None and running.left > 0 and mark[1] < len(running.order.points):
            running.left -= 1
            running.on_packet(Captured(mark[1], mark[2], time.time(), packet.frame))
            if running.left == 0:
                running.ended.set()
        return True

    def _channel(self, host: HostName) -> Channel:
        channels = self._channels()
        if host not in channels:
            raise ChannelError(f"the switch of {host} is not connected to the controller")
        return channels[host][0]

    def _refuse(self, order: CaptureOrder, flows: Mapping[HostName, object]) -> None:
        """Raises ChannelError where one captures at a point already, or a host has enough of them."""
        taken = {_place(point) for one in self._running.values() for point in one.order.points}
        for point in order.points:
            if _place(point) in taken:
                raise ChannelError(f"{point.name} is captured at already: wait until that capture ends, or stop it")
        for host in flows:
            if sum(host in one.flows for one in self._running.values()) >= AT_ONCE_PER_HOST:
                raise ChannelError(f"{host} has {AT_ONCE_PER_HOST} captures under way, which is all that it may")

    async def _remove(self, flows: Mapping[HostName, tuple[WireFlow, ...]]) -> None:
        channels = self._channels()
        for host, gone in flows.items():
            if host in channels:
                try:
                    await channels[host][0].apply(Plan((), (), gone))
                except ChannelError:
                    continue  # their own timeout ends them
