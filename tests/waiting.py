"""Waiting in tests: for a predicate, with a deadline, never for time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def at_this_load(deadline_s: float) -> float:
    """The deadline where each core has one thing to do; a machine with more to do is late, not wrong, and has longer."""
    return deadline_s * min(max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), 8.0)


def wait_for(predicate: Callable[[], T], deadline_s: float, what: str, every_s: float = 0.05) -> T:
    """The first true answer of `predicate`; fails with `what` and the last answer when the deadline passes."""
    began = time.monotonic()
    while True:
        answer = predicate()
        if answer:
            return answer
        waited_s = time.monotonic() - began
        if waited_s > at_this_load(deadline_s):
            raise AssertionError(f"{what}: not within {waited_s:.0f} s (last answer: {answer!r})")
        time.sleep(every_s)


async def until(predicate: Callable[[], T], what: str, deadline_s: float = 15, every_s: float = 0.02) -> T:
    """As `wait_for`, of what this loop's own tasks bring about; the predicate is asked in a thread and may block."""
    return await asyncio.to_thread(wait_for, predicate, deadline_s, what, every_s)
