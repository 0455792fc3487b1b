"""Writes pcapng (draft-ietf-opsawg-pcapng): one interface a hop, so that Wireshark shows where each packet was seen."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from sdn.capture.values import Captured

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
BYTE_ORDER, ETHERNET, SNAP_BYTES = 0x1A2B3C4D, 1, 65535
COMMENT, NAME, DESCRIPTION, RESOLUTION, APPLICATION, FLAGS = 1, 2, 3, 9, 4, 2
INBOUND, OUTBOUND = 1, 2


def format_pcapng(names: Sequence[str], packets: Iterable[Captured], comment: str = "") -> bytes:
    """The file: `names` of the hops in the order of the points; packets in the order given. Times in microseconds."""
    section = struct.pack("<IHHq", BYTE_ORDER, 1, 0, -1)
    blocks = [_block(SECTION, section + _options((COMMENT, comment.encode()), (APPLICATION, b"Hopsight")))]
    for name in names:
        options = _options((NAME, name.encode()), (RESOLUTION, b"\x06"))
        blocks.append(_block(INTERFACE, struct.pack("<HHI", ETHERNET, 0, SNAP_BYTES) + options))
    for packet in packets:
        at_us = round(packet.at_s * 1e6)
        head = struct.pack(
            "<IIIII", packet.point, at_us >> 32, at_us & 0xFFFFFFFF, len(packet.frame), len(packet.frame)
        )
        way = struct.pack("<I", OUTBOUND if packet.is_out else INBOUND)
        blocks.append(_block(PACKET, head + _padded(packet.frame) + _options((FLAGS, way))))
    return b"".join(blocks)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def _options(*options: tuple[int, bytes]) -> bytes:
    written = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options if value]
    return b"".join(written) + bytes(4)


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
