"""One console of one VM with its viewers: the serial line that they share, or the screen to which each has a connection.

Bytes wait in three places and each is bounded: in a viewer's outbox (serial only), in the unix socket's buffers, and in the
WebSocket's window. The serial line is always read: libvirt's streams know no back-pressure (its client keeps what is not
read, without a limit), and a guest's kernel waits for its serial line. So a slow viewer loses output and is told how much.
A screen is the viewer's own socket to QEMU: there nothing is read that the viewer has no room for, and QEMU waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from portal.console.wire import MAX_FRAME_BYTES, Close, read_frame
from tasks.console.outbox import Outbox
from tasks.console.pen import Pen
from tasks.console.rfb import ClientFilter, RfbProblem
from tasks.console.source import ByteStream, ConsoleProblem, Serial
from tasks.console.viewer import Viewer, tell_all

log = logging.getLogger("hopsight.console")
MAX_VIEWERS = 8
BACKLOG_BYTES = 64 * 1024
STUCK_S = 10.0
FULL = ConsoleProblem(Close.FULL, f"{MAX_VIEWERS} people watch this console already: one of them must leave first.")
STUCK = ConsoleProblem(Close.UNAVAILABLE, f"The guest has taken no input for {STUCK_S:.0f} s.")
ENDED = ConsoleProblem(Close.OFF, "The console ended: the VM was turned off, or somebody opened it on the host.")


class _Seats:
    """The viewers and their pen. `serve` serves one until it leaves; it raises ConsoleProblem when the console ends."""

    def __init__(self) -> None:
        self.viewers: list[Viewer] = []
        self.pen = Pen()

    def join(self, viewer: Viewer) -> None:
        if len(self.viewers) >= MAX_VIEWERS:
            raise FULL
        self.viewers.append(viewer)
        self.pen.join(viewer.seat)
        tell_all(self.viewers, self.pen)

    def leave(self, viewer: Viewer) -> None:
        self.viewers.remove(viewer)
        self.pen.leave(viewer.seat)
        tell_all(self.viewers, self.pen)

    def _holds(self, viewer: Viewer) -> bool:
        before = self.pen.holder
        may = self.pen.may_type(viewer.seat)
        if self.pen.holder is not before:
            tell_all(self.viewers, self.pen)
        return may

    async def listen(self, viewer: Viewer, typed: Callable[[bytes, bool], Awaitable[None]]) -> None:
        """Passes on what the viewer sends, and whether it may act, until it leaves."""
        while (frame := await read_frame(viewer.reader)) is not None:
            if not frame.is_control:
                await typed(frame.body, self._holds(viewer))
                continue
            message = frame.message()
            if "may_write" in message:
                self.pen.restrict(viewer.seat, message["may_write"] is True)
            if message.get("take") is True:
                self.pen.take(viewer.seat)
            tell_all(self.viewers, self.pen)


class SerialSession(_Seats):
    """The serial line, read once and shown to all."""

    def __init__(self, serial: Serial) -> None:
        super().__init__()
        self._stream = serial.stream
        self.backlog = bytearray(serial.said[-BACKLOG_BYTES:])
        self.outboxes: dict[Viewer, Outbox] = {}
        self._reading = asyncio.create_task(self._read())

    async def serve(self, viewer: Viewer) -> None:
        self.join(viewer)
        outbox = self.outboxes[viewer] = Outbox()
        viewer.tell({"scrollback": len(self.backlog)})
        outbox.put(bytes(self.backlog))
        ways = [self.listen(viewer, self._typed), self._show(viewer, outbox)]
        try:
            await first_of(*(asyncio.create_task(way) for way in ways), keep=self._reading)
        finally:
            del self.outboxes[viewer]
            self.leave(viewer)
        if self.is_over:
            raise ENDED

    @property
    def is_over(self) -> bool:
        """Whether the line ended: who comes now needs another."""
        return self._reading.done()

    async def close(self) -> None:
        """Let go of the line."""
        self._reading.cancel()
        await self._stream.close()

    async def _read(self) -> None:
        while data := await self._stream.read():
            self.backlog += data
            del self.backlog[:-BACKLOG_BYTES]
            for outbox in self.outboxes.values():
                outbox.put(data)
            await asyncio.sleep(0)  # a line that always has more must leave the others their turn

    async def _typed(self, data: bytes, holds: bool) -> None:
        if holds:
            await _written(self._stream, data)

    async def _show(self, viewer: Viewer, outbox: Outbox) -> None:
        while True:
            skipped, piece = await outbox.take(MAX_FRAME_BYTES)
            if skipped:
                viewer.tell({"skipped": skipped})
            await viewer.show(piece)


class ScreenSession(_Seats):
    """The screen: a connection to QEMU's VNC server per viewer, and one pen for all."""

    def __init__(self, open_screen: Callable[[], Awaitable[ByteStream]]) -> None:
        super().__init__()
        self._open = open_screen

    async def serve(self, viewer: Viewer) -> None:
        self.join(viewer)
        try:
            stream = await self._open()
            try:
                showing = asyncio.create_task(self._show(viewer, stream))
                await first_of(asyncio.create_task(self._hear(viewer, stream)), showing)
            finally:
                await stream.close()
        finally:
            self.leave(viewer)
        if showing.done() and not showing.cancelled():
            raise ENDED

    is_over = False

    async def close(self) -> None:
        """Each viewer's connection was closed by its own end."""

    async def _hear(self, viewer: Viewer, stream: ByteStream) -> None:
        said = ClientFilter()

        async def typed(data: bytes, holds: bool) -> None:
            if passed := said.feed(data, holds):
                await _written(stream, passed)

        try:
            await self.listen(viewer, typed)
        except RfbProblem as problem:
            raise ConsoleProblem(Close.BAD_MESSAGE, f"This is not how a VNC client speaks: {problem}.") from None

    def _holds(self, viewer: Viewer) -> bool:
        """Who watches sends messages all the time, so that no message takes a free pen: only asking does."""
        return self.pen.holder is viewer.seat

    async def _show(self, viewer: Viewer, stream: ByteStream) -> None:
        while data := await stream.read():
            await viewer.show(data)


async def _written(stream: ByteStream, data: bytes) -> None:
    """Returns when the guest has taken all; one that takes nothing must not hold a viewer's seat for good."""
    try:
        await asyncio.wait_for(stream.write(data), STUCK_S)
    except TimeoutError:
        raise STUCK from None


async def first_of(*tasks: asyncio.Task[None], keep: asyncio.Task[None] | None = None) -> None:
    """Waits until one has ended, ends the others except `keep`, and raises what it raised."""
    watched = {*tasks, keep} if keep else {*tasks}
    try:
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, OSError):  # an end's own going is no problem
            raise result
