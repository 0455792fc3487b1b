"""What a VNC client says, message by message (RFC 6143 and the registered extensions that noVNC speaks), so that only the
one who writes can press keys, move the pointer, paste, or change the screen's size. Pure.

The handshake passes as it is, with two exceptions: no security type but None (1) is taken, since the relay is the
protection and a password of eight characters is none; and the shared flag is always set, so that no viewer ends the others.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

MAX_MESSAGE_BYTES = 256 * 1024


class RfbProblem(Exception):
    """The client said what no client may say."""


@dataclass(frozen=True, slots=True)
class Message:
    """A kind of message: whether it acts on the guest, how many bytes tell its length, and what that is."""

    acts: bool
    head: int
    length: Callable[[bytes], int]


def _fixed(length: int) -> Callable[[bytes], int]:
    return lambda _head: length


def _u16(head: bytes, at: int) -> int:
    return int(struct.unpack_from("!H", head, at)[0])


def _cut_text(head: bytes) -> int:
    return 8 + abs(int(struct.unpack_from("!i", head, 4)[0]))  # negative: the extended clipboard


def _qemu(head: bytes) -> int:
    if head[1] == 0:
        return 12  # extended key event
    return 10 if _u16(head, 2) == 2 else 4  # audio: its format, or on and off


MESSAGES: dict[int, Message] = {
    0: Message(False, 1, _fixed(20)),  # SetPixelFormat
    2: Message(False, 4, lambda head: 4 + 4 * _u16(head, 2)),  # SetEncodings
    3: Message(False, 1, _fixed(10)),  # FramebufferUpdateRequest
    4: Message(True, 1, _fixed(8)),  # KeyEvent
    5: Message(True, 1, _fixed(6)),  # PointerEvent
    6: Message(True, 8, _cut_text),  # ClientCutText
    150: Message(False, 1, _fixed(10)),  # EnableContinuousUpdates
    248: Message(False, 9, lambda head: 9 + head[8]),  # Fence
    250: Message(True, 1, _fixed(4)),  # xvp: power
    251: Message(True, 8, lambda head: 8 + 16 * head[6]),  # SetDesktopSize
    255: Message(True, 4, _qemu),
}
HANDSHAKE = (12, 1, 1)  # version, security type, shared flag


class ClientFilter:
    """One client's side of a connection."""

    def __init__(self) -> None:
        self._rest = b""
        self._step = 0

    def feed(self, data: bytes, may_act: bool) -> bytes:
        """What of it, and of what was incomplete before, may pass now."""
        self._rest += data
        passed = []
        while (length := self._next_length()) is not None and len(self._rest) >= length:
            message, self._rest = self._rest[:length], self._rest[length:]
            passed.append(self._passed(message, may_act))
        return b"".join(passed)

    def _next_length(self) -> int | None:
        if self._step < len(HANDSHAKE):
            return HANDSHAKE[self._step]
        if not self._rest:
            return None
        kind = MESSAGES.get(self._rest[0])
        if kind is None:
            raise RfbProblem(f"a message of type {self._rest[0]}")
        if len(self._rest) < kind.head:
            return None
        length = kind.length(self._rest)
        if length > MAX_MESSAGE_BYTES:
            raise RfbProblem(f"a message of {length} bytes")
        return length

    def _passed(self, message: bytes, may_act: bool) -> bytes:
        if self._step < len(HANDSHAKE):
            self._step += 1
            return self._shaken(message)
        return message if may_act or not MESSAGES[message[0]].acts else b""

    def _shaken(self, message: bytes) -> bytes:
        if self._step == 1 and message not in (b"RFB 003.008\n", b"RFB 003.007\n"):
            raise RfbProblem(f"version {message!r}")
        if self._step == 2 and message != b"\x01":
            raise RfbProblem(f"security type {message[0]}")
        return b"\x01" if self._step == 3 else message
