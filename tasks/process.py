"""What long processes of ours ask of Python itself."""

from __future__ import annotations

import sys

from portal.config.memory import collect_seldom, give_memory_back

SWITCH_INTERVAL_S = 0.001  # a packet-in must not wait 5 ms for each thread that compiles or reads


def settle_process() -> None:
    """Python's own settings, for a process with many long-lived objects and threads beside its loop."""
    give_memory_back()
    collect_seldom()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
