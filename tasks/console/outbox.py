"""Bytes that wait for one viewer."""

from __future__ import annotations

import asyncio

LIMIT_BYTES = 256 * 1024


class Outbox:
    """A bounded queue that never makes its writer wait: where there is no room, all that waits is left out and counted.

    A viewer that reads too slowly loses output, not the guest its pace: a guest's kernel waits for its serial line.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self.limit = limit
        self.waiting = bytearray()
        self._skipped = 0
        self._some = asyncio.Event()

    def put(self, data: bytes) -> None:
        if len(self.waiting) + len(data) > self.limit:
            self._skipped += len(self.waiting) + max(0, len(data) - self.limit)
            self.waiting.clear()
        self.waiting += data[-self.limit :]
        self._some.set()

    async def take(self, most: int) -> tuple[int, bytes]:
        """How many bytes were left out, and up to `most` of those that follow; waits for some."""
        await self._some.wait()
        skipped, self._skipped = self._skipped, 0
        piece = bytes(self.waiting[:most])
        del self.waiting[:most]
        if not self.waiting:
            self._some.clear()
        return skipped, piece
