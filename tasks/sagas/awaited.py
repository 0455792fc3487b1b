"""Waiting for what a host copies by itself, while people see how far it is and can cancel it."""

from __future__ import annotations

import time
from collections.abc import Callable

from tasks.hypervisor.driver import CopyProgress
from tasks.sagas.engine import Context, stop_if_cancelled

TELL_EVERY_S, LOOK_EVERY_S = 1.0, 0.1


def await_copy(context: Context, look: Callable[[], CopyProgress]) -> str:
    """Until a host's copy has ended; in words why it did not end well, or ""."""
    told = time.monotonic()
    while not (seen := look()).has_ended:
        stop_if_cancelled(context)
        if time.monotonic() - told > TELL_EVERY_S:
            context.tell(seen.words)
            told = time.monotonic()
        time.sleep(LOOK_EVERY_S)
    return seen.problem
