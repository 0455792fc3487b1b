"""An OpenFlow 1.4 channel on asyncio: framing, hello, echo both ways, requests matched by xid, bundles, packet-ins.

os-ken's own hub is not used: it never reports a dead switch. Malformed bytes end that connection with a log line.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sdn.model.meter import Meter
from sdn.reconcile import Plan, WireFlow
from sdn.transport.codec import BUNDLE_FLAGS, FLOW_ADD, FLOW_DELETE_STRICT, PORT_ANY, bundle_add, header
from sdn.transport.decode import FlowCounters, decode_flow_stats, decode_flows
from sdn.transport.meters import (
    METER_CONFIG,
    METER_FEATURES,
    METER_STATS,
    MeterDrops,
    decode_meter_stats,
    decode_meters,
    decode_most_meters,
    meter_mod,
)
from sdn.transport.meters import REQUEST as ALL_METERS_REQUEST
from sdn.transport.port_counters import PortCounters, decode_port_stats
from sdn.transport.tls import names_of

log = logging.getLogger("hopsight.openflow")
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 1, 2, 3, 5, 6
PACKET_IN, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 10, 18, 19, 20, 21
SET_CONFIG, BUNDLE_CONTROL = 9, 33
# OVS's fragment mode nx-match (ovs-ofctl(8), set-frags): a first fragment shows its ports. By default a userspace
# datapath hides them even there, and rules of ports could not judge it.
FRAGMENTS_AS_THEY_ARE = 3
ECHO_EVERY_S = 2.0
SILENT_ROUNDS = 3  # of echo without a word, counted in rounds so that our own loop's pause is not the switch's
ANSWER_DEADLINE_S = 20.0
READY_DEADLINE_S = 5.0
FLOW_STATS, PORT_STATS, FLOW_MONITOR = 1, 4, 16
TURN_MESSAGES = 50  # of one connection that OVS takes before it looks at anything else
MONITOR_ID = 0x4853
MONITOR_FLAGS = 2 | 4 | 8 | 16  # added, removed, modified; with instructions. OVS 3.1 refuses NO_ABBREV (32)


class ChannelError(Exception):
    """The switch refused, did not answer in time, or is gone."""


class VersionRefused(ChannelError):
    """Somebody listens, and does not speak OpenFlow 1.4 or has no flow monitor."""


@dataclass(frozen=True, slots=True)
class PacketIn:
    """A frame that a flow sent to the controller, with where it came from and which flow said so."""

    in_port: int
    table_id: int
    cookie: int
    registers: dict[int, int]
    frame: bytes


class Channel(asyncio.Protocol):
    """One switch's connection; with an `owner`, of the one whose certificate has that name alone.

    `on_ready(channel)` follows the features reply, `on_lost(channel, why)` its end."""

    def __init__(
        self,
        on_ready: Callable[[Channel], None],
        on_lost: Callable[[Channel, str], None],
        on_packet_in: Callable[[Channel, PacketIn], None],
        owner: str = "",
    ) -> None:
        self._closed_for = "closed"
        self.dpid = 0
        self.read_at = 0.0  # when the bytes were read that are being taken, by the loop's clock
        self._owner = owner
        self._on_ready, self._on_lost, self._on_packet_in = on_ready, on_lost, on_packet_in
        self._buffer = bytearray()
        self._xids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[list[bytes]]] = {}
        self._parts: dict[int, list[bytes]] = {}
        self._transport: asyncio.Transport | None = None
        self._silent_rounds = 0
        self._refused = ""
        self._on_changes: Callable[[bytes], None] | None = None
        self._monitor_xid = 0
        self._faults, self._fault_told_at = 0, float("-inf")
        self._keeper: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._owner and self._owner not in (names := names_of(transport.get_extra_info("peercert"))):
            self.close(f"the certificate is not {self._owner}'s but {', '.join(sorted(names)) or 'nobody'}'s")
            return
        # hello with a version bitmap: 1.4 alone
        self.send(header(HELLO, 16, 0) + struct.pack("!HHI", 1, 8, 1 << 5))
        self.send(header(SET_CONFIG, 12, 0) + struct.pack("!HH", FRAGMENTS_AS_THEY_ARE, 0xFFFF))
        self.send(header(FEATURES_REQUEST, 8, 0))
        self._keeper = self._loop.create_task(self._keep_alive())

    def data_received(self, data: bytes) -> None:
        self._silent_rounds = 0
        self.read_at = self._loop.time()
        self._buffer += data
        try:
            self._take_messages()
        except (struct.error, IndexError, ValueError) as problem:
            self.close(f"malformed message: {problem}")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._keeper:
            self._keeper.cancel()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ChannelError("the switch is gone"))
        self._waiting.clear()
        self._on_lost(self, str(exc or self._closed_for))

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone or going."""
        return self._transport is None or self._transport.is_closing()

    def close(self, why: str) -> None:
        """End the connection, saying why, in the log and to who is told of its end."""
        self._closed_for = why
        log.warning("closing channel dpid=%016x why=%s", self.dpid, why)
        if self._transport:
            self._transport.abort()

    def send(self, message: bytes) -> None:
        """Send one or more whole messages."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(message)

    def next_xid(self) -> int:
        """A transaction id not in use."""
        return next(self._xids) & 0xFFFFFFFF

    async def barrier(self) -> None:
        """Returns when the switch has done all that was sent before."""
        xid = self.next_xid()
        await self._ask(xid, header(BARRIER_REQUEST, 8, xid))

    async def turn(self) -> None:
        """Returns when the switch has ended the turn of its main loop that it is in, and handed out what came up in it.

        Barriers in a row are no proof: a switch that is held up in its turn takes each as it comes. It takes at most
        TURN_MESSAGES of a connection in one (ofproto/connmgr.c, ofconn_run), so the reply to one more is of a later turn.
        """
        self.send(b"".join(header(BARRIER_REQUEST, 8, self.next_xid()) for _ in range(TURN_MESSAGES)))
        await self.barrier()

    async def dump_flows(self) -> list[WireFlow]:
        """Every flow of the bridge, of whoever; decoded a part at a time so that others get their turn."""
        flows: list[WireFlow] = []
        for part in await self._ask_flows():
            flows += decode_flows(part)
            await asyncio.sleep(0)
        return flows

    async def dump_counters(self, cookie: int = 0, mask: int = 0) -> list[FlowCounters]:
        """The flows whose cookie is `cookie` under `mask` with what they have counted, a part at a time too."""
        rows: list[FlowCounters] = []
        for part in await self._ask_flows(cookie, mask):
            rows += decode_flow_stats(part)
            await asyncio.sleep(0)
        return rows

    async def _ask_flows(self, cookie: int = 0, mask: int = 0) -> list[bytes]:
        xid = self.next_xid()
        body = struct.pack("!BxxxIIxxxxQQHHxxxx", 0xFF, PORT_ANY, PORT_ANY, cookie, mask, 1, 4)
        return await self._ask(xid, _multipart(FLOW_STATS, body, xid))

    async def dump_ports(self) -> dict[int, PortCounters]:
        """What every port of the bridge has counted, by ofport; tunnel and patch ports too."""
        xid = self.next_xid()
        parts = await self._ask(xid, _multipart(PORT_STATS, struct.pack("!I4x", 0xFFFFFFFF), xid))
        return dict(row for part in parts for row in decode_port_stats(part))

    async def dump_meters(self) -> list[Meter]:
        """Every meter of the bridge, of whoever; none where the datapath has no meters."""
        try:
            parts = await self._ask_all(METER_CONFIG)
        except ChannelError:
            if self.is_closed:
                raise
            return []
        return [meter for part in parts for meter in decode_meters(part)]

    async def has_meters(self) -> bool:
        """Whether the datapath has meters at all. Raises ChannelError when the channel ends meanwhile."""
        xid = self.next_xid()
        try:
            parts = await self._ask(xid, _multipart(METER_FEATURES, b"", xid))
        except ChannelError:
            if self.is_closed:
                raise
            return False
        return any(decode_most_meters(part) for part in parts)

    async def dump_meter_drops(self) -> list[MeterDrops]:
        """What every meter of the bridge let through and dropped."""
        return [row for part in await self._ask_all(METER_STATS) for row in decode_meter_stats(part)]

    async def change_meters(self, changes: Iterable[tuple[int, Meter]]) -> None:
        """Add, modify or delete (sdn.transport.meters) meters. Raises ChannelError with the switch's words."""
        self._refused = ""
        self.send(b"".join(meter_mod(command, meter, self.next_xid()) for command, meter in changes))
        await self.barrier()
        if self._refused:
            raise ChannelError(f"meters were not changed: {self._refused}")

    async def _ask_all(self, kind: int) -> list[bytes]:
        xid = self.next_xid()
        return await self._ask(xid, _multipart(kind, ALL_METERS_REQUEST, xid))

    async def monitor_flows(self, on_changes: Callable[[bytes], None]) -> None:
        """Tell of every flow added, modified or deleted from now on, by whomever, as bodies for `decode_flow_updates`.

        Raises VersionRefused if the switch has no flow monitor."""
        self._on_changes = on_changes
        xid = self._monitor_xid = self.next_xid()
        try:
            await self._ask(xid, _multipart(FLOW_MONITOR, _MONITOR, xid))
        except ChannelError as problem:
            raise VersionRefused(f"no flow monitor: {problem}") from problem

    async def apply(self, plan: Plan) -> None:
        """Carry out a plan in one bundle: all of it or nothing. Raises ChannelError with the switch's words."""
        messages = [(flow, FLOW_DELETE_STRICT) for flow in plan.delete]
        messages += [(flow, FLOW_ADD) for flow in (*plan.replace, *plan.add)]
        await self._bundle(messages)

    async def _bundle(self, messages: Iterable[tuple[WireFlow, int]]) -> None:
        bundle = self.next_xid()
        self._refused = ""
        await self._bundle_control(bundle, 0)
        chunks: list[bytes] = []
        for flow, command in messages:
            xid = self.next_xid()
            chunks.append(bundle_add(flow, command, bundle, xid))
            if len(chunks) >= 1000:
                self.send(b"".join(chunks))
                chunks.clear()
                await asyncio.sleep(0)
        self.send(b"".join(chunks))
        await self.barrier()
        if self._refused:
            await self._bundle_control(bundle, 6)
            raise ChannelError(f"nothing was changed: {self._refused}")
        await self._bundle_control(bundle, 4)

    async def _bundle_control(self, bundle: int, type_: int) -> None:
        xid = self.next_xid()
        await self._ask(xid, header(BUNDLE_CONTROL, 16, xid) + struct.pack("!IHH", bundle, type_, BUNDLE_FLAGS))

    async def _ask(self, xid: int, message: bytes) -> list[bytes]:
        future: asyncio.Future[list[bytes]] = self._loop.create_future()
        self._waiting[xid] = future
        if not self._transport or self._transport.is_closing():
            self._waiting.pop(xid, None)
            raise ChannelError("the switch is gone")
        self.send(message)
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S):  # wait_for of Python 3.11 may swallow a cancellation
                return await future
        except TimeoutError as problem:
            raise ChannelError(f"the switch did not answer within {ANSWER_DEADLINE_S:.0f} s") from problem
        finally:
            self._waiting.pop(xid, None)
            self._parts.pop(xid, None)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(ECHO_EVERY_S)
            if self._silent_rounds >= SILENT_ROUNDS:
                self.close("no answer to echo")
                return
            self._silent_rounds += 1
            self.send(header(ECHO_REQUEST, 8, 0))

    def _take_messages(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 8:
            version, type_, length, xid = struct.unpack_from("!BBHI", buffer, at)
            if length < 8:
                raise ValueError(f"length {length} is less than a header")
            if version not in (1, 4, 5, 6):
                raise ValueError(f"version {version} is no OpenFlow of ours")
            if len(buffer) - at < length:
                break
            body = bytes(buffer[at + 8 : at + length])
            at += length
            self._take(type_, xid, body)
        del buffer[:at]

    def _take(self, type_: int, xid: int, body: bytes) -> None:
        if type_ == PACKET_IN:
            self._packet_in(parse_packet_in(body))
        elif type_ == ECHO_REQUEST:
            self.send(header(ECHO_REPLY, 8 + len(body), xid) + body)
        elif type_ == FEATURES_REPLY:
            self.dpid = struct.unpack_from("!Q", body)[0]
            self._on_ready(self)
        elif type_ == MULTIPART_REPLY:
            kind, flags = struct.unpack_from("!HH", body)
            if kind == FLOW_MONITOR and xid not in self._waiting:
                if self._on_changes is not None:
                    self._on_changes(body[8:])
                return
            parts = self._parts.setdefault(xid, []) if xid in self._waiting else []
            parts.append(body[8:])
            if not flags & 1:
                self._answer(xid, parts)
        elif type_ in (BARRIER_REPLY, BUNDLE_CONTROL):
            self._answer(xid, [body])
        elif type_ == ERROR:
            kind, code = struct.unpack_from("!HH", body)
            self._refuse(xid, f"the switch answered with error type {kind} code {code}")

    def _packet_in(self, packet: PacketIn) -> None:
        try:
            self._on_packet_in(self, packet)
        except Exception as problem:  # what a guest sends must not end its host's channel
            self._faults += 1
            now = self._loop.time()
            if now - self._fault_told_at > 1.0:
                self._fault_told_at = now
                log.exception(
                    "packet-in not answered dpid=%016x in_port=%d so_far=%d problem=%r",
                    self.dpid, packet.in_port, self._faults, problem,
                )  # fmt: skip

    def _answer(self, xid: int, parts: list[bytes]) -> None:
        future = self._waiting.get(xid)
        if future and not future.done():
            future.set_result(parts)

    def _refuse(self, xid: int, words: str) -> None:
        log.warning("dpid=%016x xid=%d %s", self.dpid, xid, words)
        self._refused = words
        if xid == 0:  # OVS refuses a monitor's flags with the xid of the bytes that follow them
            xid = self._monitor_xid
        future = self._waiting.get(xid)
        if future and not future.done():
            future.set_exception(ChannelError(words))


async def open_channel(path: str) -> Channel:
    """A ready channel over a bridge's own socket (`<bridge>.mgmt`), which is no controller's: it gets no packet-ins.

    Raises ChannelError when nobody listens there, or does not speak OpenFlow 1.4.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def lost(channel: Channel, why: str) -> None:
        if not ready.done():
            ready.set_exception(VersionRefused(f"{path} does not speak OpenFlow 1.4: {why}"))

    def has_features(channel: Channel) -> None:
        if not ready.done():
            ready.set_result(None)

    try:
        _, channel = await loop.create_unix_connection(
            lambda: Channel(has_features, lost, lambda channel, packet: None), path
        )
    except OSError as problem:
        raise ChannelError(f"no switch answers at {path}: {problem.strerror}") from problem
    try:
        async with asyncio.timeout(READY_DEADLINE_S):
            await ready
    except TimeoutError as problem:
        channel.close("no features reply")
        raise ChannelError(f"{path} did not answer within {READY_DEADLINE_S:.0f} s") from problem
    except asyncio.CancelledError:
        channel.close("not wanted any more")
        raise
    return channel


def _multipart(type_: int, body: bytes, xid: int) -> bytes:
    return header(MULTIPART_REQUEST, 16 + len(body), xid) + struct.pack("!HHxxxx", type_, 0) + body


_MONITOR = struct.pack("!IIIHBBHHxxxx", MONITOR_ID, PORT_ANY, PORT_ANY, MONITOR_FLAGS, 0xFF, 0, 1, 4)  # 7.3.5.18


def parse_packet_in(body: bytes) -> PacketIn:
    """OFPT_PACKET_IN of OpenFlow 1.4 (7.4.1). Raises struct.error or ValueError for what is none."""
    table_id = body[7]
    cookie = struct.unpack_from("!Q", body, 8)[0]
    match_length = struct.unpack_from("!H", body, 18)[0]
    at, end = 20, 16 + match_length
    in_port, registers = 0, {}
    while at + 4 <= end:
        class_, field, size = struct.unpack_from("!HBB", body, at)
        value = body[at + 4 : at + 4 + size]
        if class_ == 0x8000 and field >> 1 == 0:
            in_port = int.from_bytes(value[:4])
        elif class_ == 1 and field >> 1 < 16:
            registers[field >> 1] = int.from_bytes(value[:4])
        at += 4 + size
    frame = body[16 + (match_length + 7) // 8 * 8 + 2 :]
    return PacketIn(in_port, table_id, cookie, registers, frame)
