"""The console process's server: a unix socket on which the web process asks for consoles. Only this process meets hosts."""

from __future__ import annotations

import asyncio
import logging
import os
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from portal.console.wire import BUFFER_BYTES, Close, Kind, WireProblem, read_frame
from tasks.console.pen import Seat
from tasks.console.session import ScreenSession, SerialSession
from tasks.console.source import ConsoleProblem, Doors
from tasks.console.viewer import Viewer

log = logging.getLogger("hopsight.console")
OPEN_WITHIN_S = 5.0
NOT_SPOKEN = ConsoleProblem(Close.BAD_MESSAGE, "The web process did not say which console it wants.")
TROUBLE = ConsoleProblem(Close.UNAVAILABLE, "The console broke; its process logged why.")
Key = tuple[UUID, Kind]


@dataclass(eq=False)
class _Shared:
    """A console that is being opened or is open, and how many viewers it has."""

    opened: asyncio.Task[SerialSession | ScreenSession]
    guests: int = 0

    @property
    def is_over(self) -> bool:
        return self.opened.done() and (self.opened.exception() is not None or self.opened.result().is_over)

    async def close(self) -> None:
        """Let go of what was opened, or stop opening it."""
        self.opened.cancel()
        with suppress(asyncio.CancelledError, ConsoleProblem):
            await (await self.opened).close()


class ConsoleServer:
    """Consoles by VM and kind, each open as long as it has viewers."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self.shared: dict[Key, _Shared] = {}

    async def listen(self, path: Path) -> asyncio.Server:
        """The server, which listens on the socket; only this user may connect."""
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._meet, str(path), limit=BUFFER_BYTES)
        finally:
            os.umask(before)

    async def _meet(self, reader: StreamReader, writer: StreamWriter) -> None:
        viewer = Viewer(Seat("", False), reader, writer)
        try:
            await self._serve(await _asked(viewer), viewer)
        except ConsoleProblem as problem:
            viewer.end(problem.code, problem.words)
        except (WireProblem, OSError) as problem:
            log.warning("viewer dropped problem=%s", problem)
        except Exception:  # the process's edge: one console's trouble ends no other
            log.exception("console broke")
            viewer.end(TROUBLE.code, TROUBLE.words)
        finally:
            writer.close()

    async def _serve(self, key: Key, viewer: Viewer) -> None:
        shared = self.shared.get(key)
        if shared is None or shared.is_over:
            shared = self.shared[key] = _Shared(asyncio.create_task(self._open(key)))
        shared.guests += 1
        try:
            session = await asyncio.shield(shared.opened)
            await session.serve(viewer)
        finally:
            shared.guests -= 1
            if not shared.guests:
                if self.shared.get(key) is shared:
                    del self.shared[key]
                await shared.close()

    async def _open(self, key: Key) -> SerialSession | ScreenSession:
        vm, kind = key
        if kind == Kind.SERIAL:
            return SerialSession(await self._doors.open_serial(vm))
        return ScreenSession(lambda: self._doors.open_screen(vm))


async def _asked(viewer: Viewer) -> Key:
    """What the first frame asks for; the viewer's seat is filled in."""
    try:
        frame = await asyncio.wait_for(read_frame(viewer.reader), OPEN_WITHIN_S)
        asked = frame.message() if frame else {}
        viewer.seat.who, viewer.seat.may_write = str(asked["who"])[:150], asked["may_write"] is True
        return UUID(asked["open"]), Kind(asked["kind"])
    except (TimeoutError, KeyError, ValueError, TypeError, AttributeError):
        raise NOT_SPOKEN from None
