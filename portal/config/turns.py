"""How soon a process' threads hand over to each other."""

from __future__ import annotations

import sys

SWITCH_INTERVAL_S = 0.001  # a packet-in, or a trace's answer, must not wait 5 ms for each thread that computes


def hand_over_soon() -> None:
    """A thread that has something to do again waits so long for one that computes, at each time it comes back from a socket."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
