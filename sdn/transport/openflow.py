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

from sdn.reconcile import Plan, WireFlow
from sdn.transport.codec import BUNDLE_FLAGS, FLOW_ADD, FLOW_DELETE_STRICT, bundle_add, decode_flow_stats, header

log = logging.getLogger("hopsight.openflow")
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST, FEATURES_REPLY = 0, 1, 2, 3, 5, 6
PACKET_IN, MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 10, 18, 19, 20, 21
BUNDLE_CONTROL = 33
ECHO_EVERY_S = 2.0
DEAD_AFTER_S = 6.0
ANSWER_DEADLINE_S = 20.0
MAX_MESSAGE = 65535


class ChannelError(Exception):
    """The switch refused, did not answer in time, or is gone."""


@dataclass(frozen=True, slots=True)
class PacketIn:
    """A frame that a flow sent to the controller, with where it came from and which flow said so."""

    in_port: int
    table_id: int
    cookie: int
    registers: dict[int, int]
    frame: bytes


class Channel(asyncio.Protocol):
    """One switch's connection. `on_ready(channel)` follows the features reply, `on_lost(channel, why)` its end."""

    def __init__(
        self,
        on_ready: Callable[[Channel], None],
        on_lost: Callable[[Channel, str], None],
        on_packet_in: Callable[[Channel, PacketIn], None],
    ) -> None:
        self.dpid = 0
        self._on_ready, self._on_lost, self._on_packet_in = on_ready, on_lost, on_packet_in
        self._buffer = bytearray()
        self._xids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._parts: dict[int, list[bytes]] = {}
        self._transport: asyncio.Transport | None = None
        self._heard_at = 0.0
        self._refused = ""
        self._keeper: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._heard_at = self._loop.time()
        # hello with a version bitmap: 1.4 alone
        self.send(header(HELLO, 16, 0) + struct.pack("!HHI", 1, 8, 1 << 5))
        self.send(header(FEATURES_REQUEST, 8, 0))
        self._keeper = self._loop.create_task(self._keep_alive())

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
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
        self._on_lost(self, str(exc or "closed"))

    def close(self, why: str) -> None:
        """End the connection, saying why in the log."""
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

    async def dump_flows(self) -> list[WireFlow]:
        """Every flow of the bridge, of whoever."""
        xid = self.next_xid()
        body = struct.pack("!BxxxIIxxxxQQHHxxxx", 0xFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 1, 4)
        head = header(MULTIPART_REQUEST, 16 + len(body), xid) + struct.pack("!HHxxxx", 1, 0)
        return list(decode_flow_stats(await self._ask(xid, head + body)))

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

    async def _ask(self, xid: int, message: bytes) -> bytes:
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[xid] = future
        if not self._transport or self._transport.is_closing():
            self._waiting.pop(xid, None)
            raise ChannelError("the switch is gone")
        self.send(message)
        try:
            return await asyncio.wait_for(future, ANSWER_DEADLINE_S)
        except TimeoutError as problem:
            raise ChannelError(f"the switch did not answer within {ANSWER_DEADLINE_S:.0f} s") from problem
        finally:
            self._waiting.pop(xid, None)
            self._parts.pop(xid, None)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(ECHO_EVERY_S)
            if self._loop.time() - self._heard_at > DEAD_AFTER_S:
                self.close("no answer to echo")
                return
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
            self._on_packet_in(self, parse_packet_in(body))
        elif type_ == ECHO_REQUEST:
            self.send(header(ECHO_REPLY, 8 + len(body), xid) + body)
        elif type_ == FEATURES_REPLY:
            self.dpid = struct.unpack_from("!Q", body)[0]
            self._on_ready(self)
        elif type_ == MULTIPART_REPLY:
            flags = struct.unpack_from("!H", body, 2)[0]
            parts = self._parts.setdefault(xid, []) if xid in self._waiting else []
            parts.append(body[8:])
            if not flags & 1:
                self._answer(xid, b"".join(parts))
        elif type_ in (BARRIER_REPLY, BUNDLE_CONTROL):
            self._answer(xid, body)
        elif type_ == ERROR:
            kind, code = struct.unpack_from("!HH", body)
            self._refuse(xid, f"the switch answered with error type {kind} code {code}")

    def _answer(self, xid: int, body: bytes) -> None:
        future = self._waiting.get(xid)
        if future and not future.done():
            future.set_result(body)

    def _refuse(self, xid: int, words: str) -> None:
        log.warning("dpid=%016x xid=%d %s", self.dpid, xid, words)
        self._refused = words
        future = self._waiting.get(xid)
        if future and not future.done():
            future.set_exception(ChannelError(words))


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
