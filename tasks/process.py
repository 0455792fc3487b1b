"""What long processes of ours ask of Python itself."""

from __future__ import annotations

import gc
import sys

GC_THRESHOLDS = (20_000, 20, 100)  # 100,000s of flows live long: at the usual 700 a fifth of a compile is collecting
SWITCH_INTERVAL_S = 0.001  # a packet-in must not wait 5 ms for each thread that compiles or reads


def settle_process() -> None:
    """Python's own settings, for a process with many long-lived objects and threads beside its loop."""
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
