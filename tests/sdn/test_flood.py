"""10,000 packet-ins at once, hostile ones among them: the controller answers others, and its loop never stands still for long."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bench.fake_switch import message, packet_in
from bench.packet_ins import discover
from sdn.controller.controller import Controller
from sdn.pipeline import DROP_REASON_BY_NAME, Register
from sdn.transport.openflow import Channel, PacketIn
from tests.sdn.test_controller import Told
from tests.sdn.worlds import make_world
from tests.waiting import at_this_load

FLOOD = 10_000
FLOODER, OTHER = 0, 1  # ports of the world, by number
WORLD = make_world(1, 1, [(0, 0), (0, 0)])
LONGEST_PAUSE_S = 0.5  # a loop that stands still for longer keeps leases and probes waiting; two busy cores in CI


class Line:
    """A switch's end of a channel whose other end is ours."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.outs: list[bytes] = []
        self.echoes = 0

    async def read(self) -> None:
        """Take what the controller says until it ends."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self.reader.readexactly(8)
                body = await self.reader.readexactly(int.from_bytes(head[2:4]) - 8)
                if head[1] == 13:
                    self.outs.append(body)
                self.echoes += head[1] == 3

    async def say(self, data: bytes) -> None:
        """Send, at the pace that is taken."""
        self.writer.write(data)
        await self.writer.drain()


@contextlib.asynccontextmanager
async def _line(folder: Path, handler: Callable[[Channel, PacketIn], None]) -> AsyncIterator[Line]:
    loop, path = asyncio.get_running_loop(), str(folder / "of.sock")
    server = await loop.create_unix_server(lambda: Channel(lambda _: None, lambda *_: None, handler), path)
    line = Line(*await asyncio.open_unix_connection(path))
    reading = asyncio.create_task(line.read())
    try:
        yield line
    finally:
        line.writer.close()
        reading.cancel()
        server.close()
        await asyncio.gather(reading, return_exceptions=True)


async def _longest_pause_s(work: asyncio.Task[None]) -> float:
    loop, longest = asyncio.get_running_loop(), 0.0
    while not work.done():
        began = loop.time()
        await asyncio.sleep(0.005)
        longest = max(longest, loop.time() - began - 0.005)
    return longest


def _questions(number: int, frame: bytes) -> bytes:
    return packet_in(10 + number, {0: number + 1}, frame)


def _hostile() -> list[bytes]:
    """Frames that look like what the controller answers, cut short, bent or with junk behind."""
    chance, good = random.Random(3), discover(FLOODER)
    frames = [good[:size] for size in range(0, len(good), 7)]
    for _ in range(200):
        bent = bytearray(good)
        for _ in range(chance.randrange(1, 30)):
            bent[chance.randrange(12, len(bent))] = chance.randrange(256)
        frames.append(bytes(bent))
    return frames


async def test_a_guest_that_floods_starves_no_other_and_the_loop_goes_on(tmp_path: Path) -> None:
    controller = Controller(Told())  # type: ignore[arg-type]
    await controller.set_intent(WORLD)
    frames = _hostile()
    async with _line(tmp_path, controller._packet_in) as line:

        async def flood() -> None:
            for at in range(0, FLOOD, 100):
                await line.say(b"".join(_questions(FLOODER, frames[n % len(frames)]) for n in range(at, at + 100)))

        work = asyncio.create_task(flood())
        longest_s = await _longest_pause_s(work)
        answered = len(line.outs)
        await line.say(_questions(OTHER, discover(OTHER)) + message(2, 9, b""))
        async with asyncio.timeout(at_this_load(5)):
            while line.echoes < 1 or len(line.outs) == answered:
                await asyncio.sleep(0.005)
    assert longest_s < at_this_load(LONGEST_PAUSE_S)
    assert answered < 1000, "the flooding guest is held to its share"
    assert discover(OTHER)[6:12] in line.outs[-1], "the other guest has its offer"


async def test_a_packet_that_breaks_its_answer_does_not_end_the_channel(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(channel: Channel, packet: PacketIn) -> None:
        raise KeyError(packet.in_port)

    async with _line(tmp_path, handler) as line:
        await line.say(b"".join(_questions(FLOODER, b"\0" * 60) for _ in range(500)) + message(2, 9, b""))
        async with asyncio.timeout(at_this_load(5)):
            while line.echoes < 1:
                await asyncio.sleep(0.005)
    assert 1 <= sum("packet-in not answered" in record.message for record in caplog.records) <= 5


@pytest.mark.parametrize("seed", range(20))
async def test_junk_ends_its_own_connection_at_most(tmp_path: Path, seed: int) -> None:
    """Valid heads with junk behind them, in any order of types: the server takes the next connection as before."""
    chance = random.Random(seed)
    seen: list[PacketIn] = []
    async with _line(tmp_path, lambda channel, packet: seen.append(packet)) as line:
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                await line.say(
                    message(chance.randrange(36), chance.randrange(4), chance.randbytes(chance.randrange(90)))
                )
        second = Line(*await asyncio.open_unix_connection(str(tmp_path / "of.sock")))
        reading = asyncio.create_task(second.read())
        await second.say(message(2, 9, b"") + _questions(OTHER, discover(OTHER)))
        async with asyncio.timeout(at_this_load(5)):
            while second.echoes < 1 or not seen or seen[-1].frame != discover(OTHER):
                await asyncio.sleep(0.005)
        second.writer.close()
        reading.cancel()


async def test_packets_without_a_route_cost_their_own_guest_no_lease(tmp_path: Path) -> None:
    """Thousands a second that a router drops, some told so: the guest that sends them has its offer, and so has another."""
    controller = Controller(Told())  # type: ignore[arg-type]
    await controller.set_intent(WORLD)
    registers = {
        Register.SOURCE_PORT: WORLD.ports[FLOODER].id,
        Register.DROP_REASON: DROP_REASON_BY_NAME["no_route"].code,
    }
    lost = packet_in(10 + FLOODER, {int(register): value for register, value in registers.items()}, discover(FLOODER))
    async with _line(tmp_path, controller._packet_in) as line:
        for _ in range(0, FLOOD, 100):
            await line.say(lost * 100)
        for guest in (FLOODER, OTHER):
            answered = len(line.outs)
            await line.say(_questions(guest, discover(guest)) + message(2, 9, b""))
            async with asyncio.timeout(at_this_load(5)):
                while len(line.outs) == answered or discover(guest)[6:12] not in line.outs[-1]:
                    await asyncio.sleep(0.005)
