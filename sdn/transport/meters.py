"""Meters to and from OpenFlow 1.4 bytes (7.3.4.4 OFPT_METER_MOD, 7.3.5.14 and 7.3.5.15 of the specification)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from sdn.model.meter import Meter
from sdn.transport.codec import header

METER_MOD, METER_STATS, METER_CONFIG, METER_FEATURES = 29, 9, 10, 11
ADD, MODIFY, DELETE = 0, 1, 2
ALL_METERS = 0xFFFFFFFF
KBPS, PKTPS, BURST, STATS = 1, 2, 4, 8
DROP_BAND = 1
_MOD, _BAND = struct.Struct("!HHI"), struct.Struct("!HHIIxxxx")
_STATS = struct.Struct("!IHxxxxxxIQQII")  # then, a band each: packets, bytes
REQUEST = struct.pack("!Ixxxx", ALL_METERS)


@dataclass(frozen=True, slots=True)
class MeterDrops:
    """What a meter let through and what it did not, since it was made."""

    meter_id: int
    packets: int
    dropped_packets: int
    dropped_bytes: int


def decode_most_meters(body: bytes) -> int:
    """How many meters the datapath may have, of an OFPMP_METER_FEATURES reply (7.3.5.16); 0 where it has none."""
    return int(struct.unpack_from("!I", body)[0]) if len(body) >= 4 else 0


def meter_mod(command: int, meter: Meter, xid: int) -> bytes:
    """An OFPT_METER_MOD that adds, modifies or deletes the meter; with one band, which drops."""
    flags = (KBPS if meter.unit == "kbps" else PKTPS) | BURST | STATS
    band = b"" if command == DELETE else _BAND.pack(DROP_BAND, _BAND.size, meter.rate, meter.burst)
    return header(METER_MOD, 16 + len(band), xid) + _MOD.pack(command, flags, meter.id) + band


def decode_meters(body: bytes) -> Iterator[Meter]:
    """The meters of one OFPMP_METER_CONFIG reply; one that we would not make has a rate of 0."""
    at = 0
    while at + 8 <= len(body):
        length, flags, meter_id = struct.unpack_from("!HHI", body, at)
        if length < 8 or at + length > len(body):
            return
        kind, _, rate, burst = _BAND.unpack_from(body, at + 8) if length == 8 + _BAND.size else (0, 0, 0, 0)
        known = kind == DROP_BAND and flags & BURST
        yield Meter(meter_id, "kbps" if flags & KBPS else "pps", rate if known else 0, burst)
        at += length


def decode_meter_stats(body: bytes) -> Iterator[MeterDrops]:
    """What the meters of one OFPMP_METER reply counted."""
    at = 0
    while at + _STATS.size <= len(body):
        meter_id, length, _, packets, _, _, _ = _STATS.unpack_from(body, at)
        if length < _STATS.size or at + length > len(body):
            return
        bands = [struct.unpack_from("!QQ", body, place) for place in range(at + _STATS.size, at + length - 15, 16)]
        yield MeterDrops(meter_id, packets, sum(one for one, _ in bands), sum(size for _, size in bands))
        at += length
