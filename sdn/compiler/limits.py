"""Rate limits: which meters a host needs. The flows that pass them are in compile.py (classify, output).

A meter is a token bucket of the datapath: it drops what comes faster, in front of everything else that a packet costs.
"""

from __future__ import annotations

from collections.abc import Iterable

from sdn.compiler.overlay import LocalPort
from sdn.model.meter import SAMPLE_METER, SAMPLES_PPS, Meter


def wanted_meters(ports: Iterable[LocalPort], sampled: tuple[int, ...]) -> dict[int, Meter]:
    """The meters of the limited ports, and the one that copies of dropped packets pass."""
    found: dict[int, Meter] = {}
    for port in ports:
        for meter_id, limit in zip(port.meters, (port.intent.sends, port.intent.receives), strict=True):
            if limit is not None and meter_id:
                found[meter_id] = Meter(meter_id, "kbps", limit.rate_kbps, limit.burst_kbit)
    if sampled:
        found[SAMPLE_METER] = Meter(SAMPLE_METER, "pps", SAMPLES_PPS, SAMPLES_PPS)
    return found
