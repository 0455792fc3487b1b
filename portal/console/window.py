"""How much may be on its way to a reader that tells what it has taken."""

from __future__ import annotations

import asyncio

WINDOW_BYTES = 256 * 1024


class Window:
    """Bytes sent and not acknowledged, held below a limit."""

    def __init__(self, limit: int = WINDOW_BYTES) -> None:
        self.limit = limit
        self.on_the_way = 0
        self._room = asyncio.Event()
        self._room.set()

    async def wait_for_room(self) -> None:
        """Returns when the reader has taken enough for more to be sent."""
        await self._room.wait()

    def sent(self, count: int) -> None:
        self._set(self.on_the_way + count)

    def acknowledged(self, count: int) -> None:
        """What the reader took; it can take no more than was sent."""
        self._set(max(0, self.on_the_way - max(0, count)))

    def _set(self, count: int) -> None:
        self.on_the_way = count
        if count < self.limit:
            self._room.set()
        else:
            self._room.clear()
