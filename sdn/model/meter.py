"""OpenFlow meters as values: what may pass in a second, and what of a burst. What is more is dropped by the switch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

# Ids in this range are ours: low enough for a kernel datapath (at most 200,000), away from those that people choose.
SAMPLE_METER = 100_000
CAPTURE_METER = 99_999  # beside the range: it comes and goes with captures, and the compiler knows nothing of it
FIRST_METER, LAST_METER = 100_001, 199_999
SAMPLES_PPS = 20
CAPTURES_PPS, CAPTURES_BURST = 500, 1000


@dataclass(frozen=True, slots=True)
class Meter:
    """One meter: `rate` and `burst` in kbit/s and kbit, or in packets."""

    id: int
    unit: Literal["kbps", "pps"]
    rate: int
    burst: int


def is_our_meter(meter_id: int) -> bool:
    """Whether the id is of our range."""
    return SAMPLE_METER <= meter_id <= LAST_METER


def meter_ids(port_ids: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Port id → the meters of what it sends and of what it receives, for the limited ports that are plugged on one host.

    Like conntrack zones (sdn.compiler.zones): a port's are where its id says, or the next free ones, lower ids first.
    """
    used: set[int] = set()
    pairs = (LAST_METER - FIRST_METER + 1) // 2
    found: dict[int, tuple[int, int]] = {}
    for port_id in sorted(set(port_ids)):
        if len(used) >= pairs:
            raise ValueError(f"more than {pairs} limited ports on one host")
        pair = port_id % pairs
        while pair in used:
            pair = (pair + 1) % pairs
        used.add(pair)
        found[port_id] = (FIRST_METER + 2 * pair, FIRST_METER + 2 * pair + 1)
    return found
