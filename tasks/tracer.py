"""The tracer: warm threads of a worker that answer traces as soon as they are ordered.

1. What is the same for every trace of a generation is kept (tasks/trace_kept.py); where ports are plugged is read anew.
2. A host that hangs costs its trace some seconds of one thread; the others go on with the orders of other hosts.
3. The answer is stored and told before a real packet is sent beside it, by threads of their own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import redis
from django.db import close_old_connections, connections
from django.utils import timezone

from portal.config.answering import answering
from portal.traces.desk import order_trace, take_order
from portal.traces.models import TraceRequest
from tasks.trace_kept import Kept
from tasks.traces import give_up, run_trace

log = logging.getLogger("hopsight.traces")
THREADS, PROBE_THREADS = 12, 8
AWAY_S = 1.0
SENT_AGAIN_AFTER, GIVEN_UP_AFTER = timedelta(seconds=30), timedelta(minutes=3)
NOBODY_WAITED = "No controller waited for the packet: is one running?"
NOBODY = "No worker answered within 3 minutes: is one running?"


class Tracer:
    """Takes orders until stopped."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._serve, name=f"tracer-{number}", daemon=True) for number in range(THREADS)
        ]
        self._probes = ThreadPoolExecutor(PROBE_THREADS, thread_name_prefix="tracer-probe")
        self._kept = Kept()

    def start(self) -> None:
        """Begin to take orders."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more; a trace that is under way ends, or is sent again by the sweep."""
        self._stopping.set()
        self._probes.shutdown(wait=False, cancel_futures=True)

    def wait(self) -> None:
        """Wait until every thread has ended; after `stop`."""
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                trace_id = take_order()
            except redis.RedisError as problem:
                if not answering.hangs():  # one that hangs is told once, not by each thread each second
                    log.warning("no orders from redis problem=%s", problem)
                self._stopping.wait(AWAY_S)
                continue
            close_old_connections()
            if trace_id is None:
                continue
            try:
                run_trace(trace_id, self._kept, self._later)
            except Exception:  # the thread's edge: a database that is away must not end the tracer
                log.exception("trace=%s was not answered", trace_id)
        connections.close_all()

    def _later(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            close_old_connections()
            try:
                work()
            except Exception:  # the thread's edge
                log.exception("a probe was not made")

        try:
            self._probes.submit(guarded)
        except RuntimeError:  # stopping: a trace without its probe is whole
            return


def resend_traces() -> None:
    """Order again what nobody answered, and give up what nobody answered for long; called by the sweep."""
    now = timezone.now()
    for trace in TraceRequest.objects.filter(state=TraceRequest.State.WAITING, created_at__lt=now - GIVEN_UP_AFTER):
        give_up(trace, NOBODY_WAITED)
    waiting = TraceRequest.objects.filter(state=TraceRequest.State.RUNNING, created_at__lt=now - SENT_AGAIN_AFTER)
    for trace in waiting.order_by("id")[:100]:
        if trace.created_at < now - GIVEN_UP_AFTER:
            give_up(trace, NOBODY)
        else:
            order_trace(trace.pk)
