"""Waiting in tests: for a predicate, with a deadline, never for time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(predicate: Callable[[], T], deadline_s: float, what: str, every_s: float = 0.05) -> T:
    """The first true answer of `predicate`; fails with `what` and the last answer when the deadline passes."""
    end = time.monotonic() + deadline_s
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline_s:.0f} s (last answer: {answer!r})")
        time.sleep(every_s)
