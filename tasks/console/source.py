"""Where a console's bytes come from: what the console process needs of a host, and why it may not get it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from portal.console.wire import Close


@dataclass(frozen=True)
class ConsoleProblem(Exception):
    """A console cannot be opened; in words for people, with the code for their page."""

    code: Close
    words: str


class ByteStream(Protocol):
    """A line or a screen of a running guest."""

    async def read(self) -> bytes:
        """What came next; nothing at the end."""

    async def write(self, data: bytes) -> None:
        """Returns when the other side has taken all. Raises OSError when it has gone."""

    async def close(self) -> None:
        """Let go of it; more than once does no harm."""


@dataclass(frozen=True, slots=True)
class Serial:
    """An open serial line, and the end of what it said before."""

    stream: ByteStream
    said: bytes


class Doors(Protocol):
    """Opens consoles by a VM's uuid. Raises ConsoleProblem."""

    async def open_serial(self, vm: UUID) -> Serial:
        """The serial line. A second open takes it from the first, so that one is open at most."""

    async def open_screen(self, vm: UUID) -> ByteStream:
        """A VNC connection of one's own."""
