"""The same packet seen at several points: found by what routers and NAT leave alone, with the time between two sights.

TTL, MACs, checksums and addresses change on the way, and NAT may change a port. IPv4's identification, the transport's
sequence numbers and the payload do not; two packets that are alike even in these are told apart by their order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2s

from sdn.capture.values import Captured

TAGS = (b"\x81\x00", b"\x88\xa8")


@dataclass(frozen=True, slots=True)
class Meeting:
    """One packet's sights in order of time: (place in the capture, microseconds after the first)."""

    sights: tuple[tuple[int, float], ...]


def join(packets: Iterable[Captured]) -> tuple[Meeting, ...]:
    """The packets that were seen at two points or more, in the order of their first sight."""
    seen: dict[tuple[bytes, int], list[tuple[int, float]]] = {}
    repeats: dict[tuple[bytes, int, bool], int] = defaultdict(int)
    for number, packet in enumerate(packets):
        name = fingerprint(packet.frame)
        if name is None:
            continue
        place = (name, packet.point, packet.is_out)
        seen.setdefault((name, repeats[place]), []).append((number, packet.at_s))
        repeats[place] += 1
    met = [sorted(sights, key=lambda sight: sight[1]) for sights in seen.values() if len(sights) > 1]
    met.sort(key=lambda sights: sights[0][1])
    return tuple(Meeting(tuple((number, (at - sights[0][1]) * 1e6) for number, at in sights)) for sights in met)


def fingerprint(frame: bytes) -> bytes | None:
    """What stays of an IP packet on its whole way; None for anything else."""
    at = 12
    while frame[at : at + 2] in TAGS:
        at += 4
    kind, body = frame[at : at + 2], frame[at + 2 :]
    if kind == b"\x08\x00" and len(body) >= 20:
        number, rest, fixed = body[9], body[(body[0] & 15) * 4 : int.from_bytes(body[2:4])], body[4:8]
    elif kind == b"\x86\xdd" and len(body) >= 40:
        number, rest, fixed = body[6], body[40 : 40 + int.from_bytes(body[4:6])], body[1:4]
    else:
        return None
    return blake2s(bytes((number,)) + fixed + _kept(number, rest), digest_size=12).digest()


def _kept(number: int, rest: bytes) -> bytes:
    if number == 6:
        return rest[4:16] + rest[18:]  # without ports and checksum
    if number == 17:
        return rest[4:6] + rest[8:]
    if number in (1, 58):
        return rest[:2] + rest[6:]  # an echo's id is translated as a port is
    return rest
