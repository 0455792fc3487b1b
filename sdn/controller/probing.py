"""Real packets sent into the switches on purpose, and what the switches report of them.

Injected at a port by packet-out with the probe register set, a probe goes through the same tables as the guest's own
packets. Each switch that it leaves reports it by a packet-in, with the registers as they were; so does the drop table.
Times are of the controller's one clock, so two hosts' clocks need no comparing, and are taken as the bytes are read off
each socket. What a report's own way to us costs is between nothing and its channel's round trip, measured right after: the
switch had the packet in the middle of that, give or take half of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from sdn.controller.drops import DROP_TABLE
from sdn.model.addresses import HostName, IfaceId
from sdn.pipeline import DROP_REASON_BY_CODE, FLAG_PROBE, TABLE_BY_NAME, Register
from sdn.probe import ProbeOrder, ProbeReport, token_of
from sdn.transport.codec import PORT_CONTROLLER, packet_out
from sdn.transport.openflow import Channel, ChannelError, PacketIn

OUTPUT_TABLE = 0xFFFFFFF9  # OFPP_TABLE: through the tables, as if it had come in at in_port
FLOOD_WAIT_S = 0.08  # a multicast probe has several ends: wait for their reports
ASK_ALL = 16  # hosts: with more, only those that reported are waited for
INJECT = (f"set_field:{FLAG_PROBE:#x}->reg{int(Register.FLAGS)}", f"output:{OUTPUT_TABLE}")


TARGETS_SIDE = TABLE_BY_NAME["conntrack_ingress"].table_id  # from here on a flow that drops is the receiver's
DROPS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class ProbedDrop:
    """A probe that a switch dropped: the port whose flow counted it (low 32 bits of its row's id), and why."""

    host: HostName
    port_id: int
    reason: str
    bytes: int


@dataclass(slots=True)
class _Flight:
    """A probe under way."""

    began: float
    ends_in_many: bool
    hand_over_at: tuple[HostName, int] | None = None
    handed_over: PacketIn | None = None
    sightings: list[tuple[HostName, float, PacketIn]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def count_of(self, host: HostName) -> int:
        """How often a host has reported it."""
        return sum(one == host for one, _, _ in self.sightings)


class Probes:
    """Sends probes over the channels that `channels` gives by host, and collects their reports."""

    def __init__(
        self,
        channels: Callable[[], Mapping[HostName, tuple[Channel, tuple[int, ...]]]],
        stand_in: Callable[[HostName, IfaceId], Awaitable[int]],
    ) -> None:
        self._channels, self._stand_in = channels, stand_in
        self._flights: dict[bytes, _Flight] = {}
        self._dropped: deque[ProbedDrop] = deque(maxlen=DROPS_KEPT)
        self._loop = asyncio.get_running_loop()

    async def send(self, order: ProbeOrder, within_s: float) -> tuple[ProbeReport, ...]:
        """The reports in the order they came; returns when the probe reached an end, at the latest after `within_s`.

        Raises ChannelError when the host's switch is not connected.
        """
        channels = self._channels()
        if order.host not in channels:
            raise ChannelError(f"the switch of {order.host} is not connected to the controller")
        channel, _ = channels[order.host]
        ofport, actions = await self._place_of(order)
        flight = _Flight(self._loop.time(), bool(order.frame[0] & 1), order.hand_over_at)
        self._flights[order.token] = flight
        try:
            channel.send(packet_out(order.frame, actions, ofport, channel.next_xid()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await flight.ended.wait()
            if flight.ends_in_many:
                await asyncio.sleep(FLOOD_WAIT_S)
            trips = await self._round_trips(flight, self._on_the_way(flight, order.host))
        finally:
            self._flights.pop(order.token, None)
        return _reports(flight, trips, order.host)

    def take_dropped(self) -> tuple[ProbedDrop, ...]:
        """The probes that were dropped since the last call: the flows that dropped them count them as guests' packets."""
        taken = tuple(self._dropped)
        self._dropped.clear()
        return taken

    async def _place_of(self, order: ProbeOrder) -> tuple[int, tuple[str, ...]]:
        """The in_port and the actions that inject it."""
        if order.ofport is not None:
            return order.ofport, INJECT
        if order.stand_in is None:
            raise ChannelError("there is no port to send a packet from")
        port_id = await self._stand_in(order.host, order.stand_in)
        sender = f"set_field:{port_id & 0xFFFFFFFF:#x}->reg{int(Register.SOURCE_PORT)}"
        return PORT_CONTROLLER, (sender, *INJECT)

    def _on_the_way(self, flight: _Flight, source: HostName) -> set[HostName]:
        """The switches whose reports may still be on their channels: a barrier's reply comes after them."""
        connected = set(self._channels())
        return connected if len(connected) <= ASK_ALL else {source, *(host for host, _, _ in flight.sightings)}

    def take(self, channel: Channel, packet: PacketIn) -> bool:
        """Whether the packet-in is a probe's report; then it is kept for whoever waits for it."""
        if not packet.registers.get(Register.FLAGS, 0) & FLAG_PROBE:
            return False
        flight = self._flights.get(token_of(packet.frame) or b"")
        found = next(((host, tunnels) for host, (one, tunnels) in self._channels().items() if one is channel), None)
        if found is not None and (dropped := _dropped(found[0], packet)) is not None:
            self._dropped.append(dropped)
        if flight is not None and found is not None:
            host, tunnel_ofports = found
            flight.sightings.append((host, channel.read_at, packet))
            place = _place(host, packet)
            if flight.handed_over is None and place is not None and place == flight.hand_over_at:
                flight.handed_over = packet
                out = (f"output:{packet.registers[Register.OUT]}",)  # the very bytes that the pipeline would give it
                channel.send(packet_out(packet.frame, out, PORT_CONTROLLER, channel.next_xid()))
            if _is_end(packet, tunnel_ofports):
                flight.ended.set()
        return True

    async def _round_trips(self, flight: _Flight, hosts: set[HostName]) -> dict[HostName, float]:
        """Seconds that a report may have been on its way, by host: a barrier's, the longer of two. All reports are in then."""
        channels = self._channels()

        async def one(host: HostName) -> float:
            # a switch hands out the packets that its datapath sent up at the start of a turn and answers us at its end: a
            # report that came up between the two follows our first barrier's reply, and maybe every one of this turn's
            channel, took, began = channels[host][0], 0.0, self._loop.time()
            for _ in range(2):
                asked = self._loop.time()
                await channel.barrier()
                took = max(took, channel.read_at - asked)
            before = flight.count_of(host)
            await channel.turn()
            return took if flight.count_of(host) == before else channel.read_at - began

        known = [host for host in hosts if host in channels]
        answers = await asyncio.gather(*(one(host) for host in known), return_exceptions=True)
        return {host: answer for host, answer in zip(known, answers, strict=True) if isinstance(answer, float)}


def _reports(flight: _Flight, trips: Mapping[HostName, float], source: HostName) -> tuple[ProbeReport, ...]:
    """In the order of arrival, but the source's own first: two channels' order is chance, and it left there first."""
    seen = sorted(flight.sightings, key=lambda sighting: (sighting[0] != source, sighting[1]))
    reports = (_report(host, at - flight.began, packet, trips.get(host)) for host, at, packet in seen)
    given = [packet is flight.handed_over for _, _, packet in seen]
    return tuple(replace(report, is_handed_over=is_given) for report, is_given in zip(reports, given, strict=True))


def _report(host: HostName, after_s: float, packet: PacketIn, trip_s: float | None) -> ProbeReport:
    """The switch had the packet before its report was read, and after it was sent: at most a round trip before."""
    half_s = min(after_s, after_s if trip_s is None else trip_s) / 2
    return ProbeReport(
        host, packet.table_id, packet.cookie, packet.in_port, packet.registers, (after_s - half_s) * 1e6, half_s * 1e6,
        packet.frame,
    )  # fmt: skip


def _dropped(host: HostName, packet: PacketIn) -> ProbedDrop | None:
    reason = DROP_REASON_BY_CODE.get(packet.registers.get(Register.DROP_REASON, 0))
    if packet.table_id != DROP_TABLE or reason is None:
        return None
    is_targets = packet.registers.get(Register.DROP_TABLE, 0) >= TARGETS_SIDE
    port_id = packet.registers.get(Register.TARGET_PORT if is_targets else Register.SOURCE_PORT, 0)
    return ProbedDrop(host, port_id, reason.name, len(packet.frame))


def _place(host: HostName, packet: PacketIn) -> tuple[HostName, int] | None:
    """The port that the packet would leave by; None for one that is reported elsewhere."""
    is_out = packet.table_id == TABLE_BY_NAME["output"].table_id
    return (host, packet.registers.get(Register.OUT, 0)) if is_out else None


def _is_end(packet: PacketIn, tunnel_ofports: tuple[int, ...]) -> bool:
    """Whether the packet goes no further than this report: all do but those that leave by a tunnel."""
    away = packet.table_id == TABLE_BY_NAME["output"].table_id
    return not (away and packet.registers.get(Register.OUT, 0) in tunnel_ofports)
