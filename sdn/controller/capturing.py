"""Captures under way: their flows on the switches, their copies as they come in, and their end.

Times are of the controller's one clock. A capture ends at its limit, at its time, or when it is stopped; its flows end by
themselves a moment later if the controller cannot take them away.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from sdn.capture import Captured, CaptureOrder, CapturePoint, capture_flows, mark_of
from sdn.model.addresses import HostName
from sdn.model.meter import CAPTURE_METER, CAPTURES_BURST, CAPTURES_PPS, Meter
from sdn.reconcile import Plan, WireFlow
from sdn.transport.codec import encode_flow
from sdn.transport.meters import ADD, DELETE
from sdn.transport.openflow import Channel, ChannelError, PacketIn

GRACE_S = 5  # the switch's own timeout is this much later than ours
AT_ONCE_PER_HOST = 4
METER = Meter(CAPTURE_METER, "pps", CAPTURES_PPS, CAPTURES_BURST)
log = logging.getLogger("hopsight.controller")


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
        self._metered: dict[HostName, int] = {}  # how many captures use the host's meter

    async def run(self, order: CaptureOrder, on_packet: Callable[[Captured], None]) -> str:
        """Capture until it ends; the words say why it did. Raises ChannelError where a host refuses or is away."""
        hosts = {HostName(point.host) for point in order.points}
        self._refuse(order, hosts)
        running = _Running(order, dict.fromkeys(hosts, ()), on_packet, asyncio.Event(), order.packets)
        self._running[order.number] = running
        try:
            metered = {host for host in hosts if await self._meter(host)}
            for host, found in capture_flows(order, metered).items():
                wanted = tuple(encode_flow(flow)._replace(timeouts=order.seconds + GRACE_S) for flow in found)
                running.flows[HostName(host)] = wanted
                await self._channel(HostName(host)).apply(Plan(wanted, (), ()))
            async with asyncio.timeout(order.seconds):
                await running.ended.wait()
            why = "stopped" if running.left > 0 else f"{order.packets} packets were caught"
        except TimeoutError:
            why = f"{order.seconds} s are over"
        finally:
            self._running.pop(order.number, None)
            await self._remove(running.flows)
            over = sum([await self._unmeter(host) for host in hosts])
        return f"{why}; {over} more came faster than {METER.rate} a second and were not taken" if over else why

    async def _meter(self, host: HostName) -> bool:
        """Whether the captures' meter is on the host's switch: made with the first capture; a datapath may have none."""
        if self._metered.get(host, 0) == 0:
            try:
                await self._channel(host).change_meters([(DELETE, METER), (ADD, METER)])
            except ChannelError as problem:
                log.info("host=%s captures without a meter problem=%s", host, problem)
                return False
        self._metered[host] = self._metered.get(host, 0) + 1
        return True

    async def _unmeter(self, host: HostName) -> int:
        """How many copies the meter dropped; with the last capture it goes."""
        left = self._metered.get(host, 0) - 1
        if left < 0 or host not in self._channels():
            self._metered.pop(host, None)
            return 0
        self._metered[host] = left
        channel = self._channel(host)
        try:
            over = sum(row.dropped_packets for row in await channel.dump_meter_drops() if row.meter_id == METER.id)
            if left == 0:
                await channel.change_meters([(DELETE, METER)])
        except ChannelError:
            return 0
        return over

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

    def _refuse(self, order: CaptureOrder, hosts: Collection[HostName]) -> None:
        """Raises ChannelError where one captures at a point already, or a host has enough of them."""
        taken = {_place(point) for one in self._running.values() for point in one.order.points}
        for point in order.points:
            if _place(point) in taken:
                raise ChannelError(f"{point.name} is captured at already: wait until that capture ends, or stop it")
        for host in hosts:
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
