"""Blocking work of one host in a thread of its own, so that a host that hangs holds up nobody else.

asyncio's own pool is shared and small: six hosts whose OVSDB hangs would fill it. Here each host has at most one thread
at work; while it hangs, the next ask is refused at once, and no second thread is started.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
DEADLINE_S = 12.0  # ovsdbapp's own transactions give up after 10


class HostHangs(Exception):
    """The work has not ended by its deadline, and may end later; the message names the host."""


class Patience:
    """One host's blocking work, a piece at a time."""

    def __init__(self, name: str, deadline_s: float | None = None) -> None:
        self._name = name
        self._deadline_s = DEADLINE_S if deadline_s is None else deadline_s
        self._loop = asyncio.get_running_loop()
        self._at_work: asyncio.Future[Any] | None = None

    async def run(self, work: Callable[[], T], too_late: Callable[[T], None] | None = None) -> T:
        """The work's answer. Raises HostHangs at the deadline; an answer that comes later is given to `too_late`."""
        if self._at_work is not None and not self._at_work.done():
            raise HostHangs(f"the database of {self._name} still has not answered what it was asked before")
        future: asyncio.Future[T] = self._loop.create_future()
        self._at_work = future
        threading.Thread(target=self._work, args=(work, future), name=f"host-{self._name}", daemon=True).start()
        done, _ = await asyncio.wait({future}, timeout=self._deadline_s)
        if done:
            return future.result()
        future.add_done_callback(lambda ended: _take_late(ended, too_late))
        raise HostHangs(f"the database of {self._name} did not answer within {self._deadline_s:.0f} s")

    def _work(self, work: Callable[[], T], future: asyncio.Future[T]) -> None:
        try:
            answer = work()
        except BaseException as problem:
            self._tell(future.set_exception, problem)
        else:
            self._tell(future.set_result, answer)

    def _tell(self, tell: Callable[[Any], None], what: object) -> None:
        def once() -> None:
            if not self._at_work_is_over():
                tell(what)

        try:
            self._loop.call_soon_threadsafe(once)
        except RuntimeError:  # the loop has ended meanwhile: nobody waits any more
            return

    def _at_work_is_over(self) -> bool:
        return self._at_work is None or self._at_work.done()


def _take_late(ended: asyncio.Future[T], too_late: Callable[[T], None] | None) -> None:
    if not ended.cancelled() and ended.exception() is None and too_late is not None:
        too_late(ended.result())
