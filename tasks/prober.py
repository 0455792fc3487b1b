"""The prober: threads of a worker that each send one real packet a second along a trace's path, and store what became of it.

1. A probing is a row; whoever claims it (compare and set) sends. It ends at its time, when it is stopped, or with the worker.
2. The question is made anew when the intent or the source's place changed, so that a VM that moves is probed on.
3. A packet that did not arrive is stored with the switches' own words for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import redis
from django.db import close_old_connections, connections
from django.utils import timezone

from portal.config.answering import answering
from portal.live.events import waiting_connection
from portal.live.transient import publish_transient
from portal.networks.models import Port
from portal.traces.models import ProbeSample, Probing
from portal.traces.probings import LIVE, ORDERS, sample_as_json, state_of
from sdn.trace import Question
from sdn.trace.probed import end_of
from tasks.probe_desk import ProbeRefused
from tasks.probes import sightings
from tasks.trace_kept import Kept
from tasks.trace_rows import read_generation
from tasks.traces import GONE, answer

log = logging.getLogger("hopsight.traces")
AT_ONCE, TAKE_WAIT_S, AWAY_S = 16, 2, 1.0
EVERY_S, WITHIN_S = 1.0, 0.8
SILENT_AFTER = timedelta(seconds=30)
OVER, LEFT = "Its time is over.", "The worker that sent the packets has ended."
REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one packet: `latency_us` None and the `reason` where it did not arrive."""

    latency_us: float | None
    error_us: float | None
    reason: str


class Prober:
    """Takes orders until stopped."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._seats = threading.BoundedSemaphore(AT_ONCE)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="prober")
        self._thread = threading.Thread(target=self._serve, name="prober", daemon=True)

    def start(self) -> None:
        """Begin to take orders."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more, and end those under way."""
        self._stopping.set()

    def wait(self) -> None:
        """Wait until every thread has ended; after `stop`."""
        self._thread.join()
        self._pool.shutdown()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            if not self._seats.acquire(timeout=TAKE_WAIT_S):
                continue
            pk = self._take()
            if pk is None:
                self._seats.release()
                continue
            self._pool.submit(self._run, pk)

    def _take(self) -> int | None:
        try:
            taken: Any = waiting_connection().blpop([ORDERS], timeout=TAKE_WAIT_S)
        except redis.RedisError as problem:
            if not answering.hangs():
                log.warning("no orders from redis problem=%s", problem)
            self._stopping.wait(AWAY_S)
            return None
        return int(taken[1]) if taken else None

    def _run(self, pk: int) -> None:
        close_old_connections()
        try:
            run_probing(pk, self._stopping, close_old_connections)
        except Exception:  # the thread's edge: the row must not look as if it went on
            log.exception("probing=%s failed", pk)
            close_old_connections()
            _end(pk, Probing.State.FAILED, "It failed inside Hopsight; the log of the worker has the details.")
        finally:
            self._seats.release()
            connections.close_all()


def run_probing(pk: int, stopping: threading.Event, before_each: Callable[[], None] = lambda: None) -> None:
    """Send one packet a second until the probing's end; `before_each` keeps the thread's database connection fresh."""
    if not Probing.objects.filter(pk=pk, state=Probing.State.WAITING).update(state=Probing.State.RUNNING):
        return
    row = Probing.objects.select_related("trace__team").get(pk=pk)
    path, ends_at = _Path(row), time.monotonic() + row.seconds
    due = time.monotonic()
    while not stopping.wait(max(0.0, due - time.monotonic())):
        if time.monotonic() >= ends_at:
            _end(pk, Probing.State.DONE, OVER)
            return
        before_each()
        if not Probing.objects.filter(pk=pk, state=Probing.State.RUNNING).exists():
            _tell(pk, None)
            return
        _store(row, path.send())
        due = max(due + EVERY_S, time.monotonic())
    _end(pk, Probing.State.DONE, LEFT)


class _Path:
    """The question that the packets are made from, kept while nothing that it depends on changed."""

    def __init__(self, row: Probing) -> None:
        self._trace = row.trace
        self._kept = Kept()
        self._known: tuple[object, ...] = ()
        self._question: Question | None = None

    def send(self) -> Outcome:
        """One packet, and what became of it."""
        place = Port.objects.filter(pk=self._trace.source_id or 0).values_list("host_id", "ofport").first()
        known = (read_generation(), place)
        if known != self._known or self._question is None:
            found = answer(self._trace, self._kept)
            self._known, self._question = known, found.question() if found else None
        if self._question is None:
            return Outcome(None, None, GONE)
        try:
            seen = sightings(self._question, WITHIN_S)
        except ProbeRefused as problem:
            self._question = None
            return Outcome(None, None, f"No packet was sent: {problem}.")
        verdict, reason = end_of(seen)
        if verdict in ("delivered", "flooded", "to_controller"):
            return Outcome(seen[-1].at_us, seen[-1].error_us, "")
        return Outcome(None, None, reason)


def _store(row: Probing, outcome: Outcome) -> None:
    row.sent += 1
    row.arrived += outcome.latency_us is not None
    sample = ProbeSample.objects.create(
        probing=row, number=row.sent, at=timezone.now(), latency_us=outcome.latency_us, error_us=outcome.error_us,
        reason=outcome.reason[:REASON_CHARS],
    )  # fmt: skip
    Probing.objects.filter(pk=row.pk).update(sent=row.sent, arrived=row.arrived)
    _tell(row.pk, sample)


def _end(pk: int, state: Probing.State, why: str) -> None:
    Probing.objects.filter(pk=pk, state__in=LIVE).update(state=state, why=why)
    _tell(pk, None)


def _tell(pk: int, sample: ProbeSample | None) -> None:
    """What is new, for those who look: a sample at most, whose number tells a reader whether it missed one."""
    row = Probing.objects.filter(pk=pk).first()
    if row is None:
        return
    first = row.samples.first()
    told = sample_as_json(sample, first.at) if sample is not None and first is not None else None
    name = f"probing:{row.uuid}"
    try:
        publish_transient(name, "probing.changed", name, {**state_of(row), "sample": told})
    except redis.RedisError as problem:
        log.warning("not told probing=%s problem=%s", row.uuid, problem)


def end_silent() -> None:
    """End what no worker goes on with; called by the sweep."""
    before = timezone.now() - SILENT_AFTER
    for row in Probing.objects.filter(state__in=LIVE, created_at__lt=before):
        last = row.samples.last()
        if last is None or last.at < before:
            _end(row.pk, Probing.State.FAILED, "No worker sent its packets: is one running?" if last is None else LEFT)
