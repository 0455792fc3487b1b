"""The wire between the web process and the console process: frames over a unix socket, and why a console ends.

A frame is one byte (`d` bytes of the line, `c` a message as JSON), four bytes of length, and the body. The web process's
first frame opens: `{"open": uuid, "kind": "serial" | "screen", "who": name, "may_write": bool}`. Later it sends bytes,
`{"take": true}` for the pen and `{"may_write": bool}` when the person's right changed. Back come bytes and messages:

`{"scrollback": n}`  the next n bytes are what the line said before; whoever shows them must not answer them
`{"skipped": n}`     n bytes were left out here, because this viewer read too slowly
`{"pen": {…}}`       who watches, who writes
`{"closed": words, "code": n}`  the last one
"""

from __future__ import annotations

import json
import struct
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

HEAD = struct.Struct("!cI")
MAX_FRAME_BYTES = 32 * 1024
BUFFER_BYTES = 64 * 1024  # of a stream's reader and of its writer
DATA, CONTROL = b"d", b"c"


class Kind(StrEnum):
    """What of a VM is shown."""

    SERIAL = "serial"
    SCREEN = "screen"


class Close(IntEnum):
    """Why a console's WebSocket was closed; the page knows by it whether to come back."""

    GOING_AWAY = 1001
    BAD_MESSAGE = 4400
    LOGGED_OUT = 4401
    REFUSED = 4403
    GONE = 4404  # no such VM for this person, or no longer
    OFF = 4409
    FULL = 4429
    UNAVAILABLE = 4503


class WireProblem(Exception):
    """The other side does not speak this protocol."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame."""

    is_control: bool
    body: bytes

    def message(self) -> dict[str, Any]:
        """The message of a control frame; empty for what is none."""
        try:
            told: Any = json.loads(self.body) if self.is_control else {}
        except (ValueError, RecursionError):
            return {}
        return told if isinstance(told, dict) else {}


def pack_data(data: bytes) -> bytes:
    """The frames that carry these bytes."""
    pieces = [data[at : at + MAX_FRAME_BYTES] for at in range(0, len(data), MAX_FRAME_BYTES)]
    return b"".join(HEAD.pack(DATA, len(piece)) + piece for piece in pieces)


def pack_message(message: dict[str, Any]) -> bytes:
    """The frame of a message."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return HEAD.pack(CONTROL, len(body)) + body


async def read_frame(reader: StreamReader) -> Frame | None:
    """The next frame; None at the end. Raises WireProblem for a frame that is none."""
    try:
        kind, length = HEAD.unpack(await reader.readexactly(HEAD.size))
        if kind not in (DATA, CONTROL) or length > MAX_FRAME_BYTES:
            raise WireProblem(f"a frame of kind {kind!r} with {length} bytes")
        return Frame(kind == CONTROL, await reader.readexactly(length))
    except (IncompleteReadError, ConnectionError):
        return None


def bound(writer: StreamWriter) -> StreamWriter:
    """The writer, whose `drain` waits as soon as BUFFER_BYTES are not yet taken."""
    writer.transport.set_write_buffer_limits(high=BUFFER_BYTES)
    return writer
