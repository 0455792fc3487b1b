"""One viewer as the console process sees it: a connection of the web process, a seat, and what it says."""

from __future__ import annotations

import logging
from asyncio import StreamReader, StreamWriter
from typing import Any

from portal.console.wire import BUFFER_BYTES, Close, bound, pack_data, pack_message
from tasks.console.pen import Pen, Seat

log = logging.getLogger("hopsight.console")
DEAF_BYTES = 4 * BUFFER_BYTES  # messages that a viewer does not read: more than any that does has waiting


class Viewer:
    """A seat with a connection."""

    def __init__(self, seat: Seat, reader: StreamReader, writer: StreamWriter) -> None:
        self.seat = seat
        self.reader = reader
        self._writer = bound(writer)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message behind the bytes that were sent; one who takes none is dropped."""
        if self._writer.transport.get_write_buffer_size() > DEAF_BYTES:
            self._writer.transport.abort()
            return
        self._writer.write(pack_message(message))

    async def show(self, data: bytes) -> None:
        """Send bytes; returns when there is room for more."""
        self._writer.write(pack_data(data))
        await self._writer.drain()

    def end(self, code: Close, words: str) -> None:
        """The last message: the web process closes."""
        self.tell({"closed": words, "code": int(code)})


def tell_all(viewers: list[Viewer], pen: Pen) -> None:
    """Who watches and who writes, to each."""
    for viewer in viewers:
        viewer.tell({"pen": pen.as_seen_by(viewer.seat)})
