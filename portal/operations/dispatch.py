"""Handing work to the workers by task name: the portal imports no task, and a broker that is down fails no request."""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import Any

import redis
from celery import Celery
from django.conf import settings

from portal.config.answering import ANSWER_S, answering

log = logging.getLogger("hopsight.dispatch")
SLOW_S = 0.9  # a broker that is away refuses sooner; only one that hangs takes so long to fail


@lru_cache(maxsize=1)
def _celery() -> Any:
    app = Celery("hopsight", broker=settings.CELERY_BROKER_URL)
    app.conf.update(
        broker_connection_timeout=ANSWER_S,
        broker_transport_options={"socket_connect_timeout": ANSWER_S, "socket_timeout": ANSWER_S},
    )
    return app


def warm_up() -> None:
    """Connect to the broker before the first request needs it: that took 0.3 s of the first VM's time."""
    try:
        with _celery().producer_pool.acquire(block=True, timeout=2) as producer:
            producer.connection.ensure_connection(max_retries=1, timeout=2)
            producer.channel  # noqa: B018  (opens it)
    except Exception as problem:  # the process's edge: the first send connects instead
        log.warning("broker not reached yet problem=%s", problem)


def enqueue_operation(operation_id: int) -> None:
    """Ask a worker to run an operation; a sweep sends it again when this was lost."""
    _send("hopsight.run_operation", operation_id)


def enqueue_matrix(run_id: int) -> None:
    """Ask a worker who reaches whom."""
    _send("hopsight.run_matrix", run_id)


def enqueue_what_if(run_id: int) -> None:
    """Ask a worker what a change would change."""
    _send("hopsight.run_what_if", run_id)


def enqueue_flow_what_if(run_id: int) -> None:
    """Ask a worker what a flow more, less or other would change."""
    _send("hopsight.run_flow_what_if", run_id)


def enqueue_bundle(bundle_id: int) -> None:
    """Ask a worker to read a support bundle that was uploaded."""
    _send("hopsight.read_bundle", bundle_id)


def enqueue_bundle_trace(trace_id: int) -> None:
    """Ask a worker for a packet's way in a support bundle."""
    _send("hopsight.trace_bundle", trace_id)


def enqueue_port_trace(trace_id: int) -> None:
    """Ask a worker for a packet's way from a port of a live host."""
    _send("hopsight.trace_port", trace_id)


def enqueue_image_copies() -> None:
    """Ask a worker to pull and evict images' copies as the rows ask; the period does it when this was lost."""
    _send("hopsight.tidy_image_copies")


def enqueue_stores() -> None:
    """Ask a worker to look at the stores of backups; the period does it when this was lost."""
    _send("hopsight.look_at_stores")


def enqueue_checks(check_id: int = 0) -> None:
    """Ask a worker to look at a path check, or (0) at every one that is due; the period does it when this was lost."""
    _send("hopsight.run_checks", check_id)


def enqueue_screens(host_id: int, within_s: float) -> None:
    """Ask a worker for pictures of guests' screens; who looks asks again when this was lost, or came too late."""
    _send("hopsight.take_screens", host_id, expires_s=within_s)


def _send(name: str, *object_ids: int, expires_s: float | None = None) -> None:
    """A broker that hangs gets it once it goes on, unless that is too late then."""

    def later(_client: redis.Redis) -> None:
        if expires_s is None:
            _send_now(name, object_ids)

    if answering.put_off(later):
        return
    began = time.monotonic()
    if not _send_now(name, object_ids, expires_s) and time.monotonic() - began >= SLOW_S:
        answering.it_did_not_answer()
        answering.put_off(later)


def _send_now(name: str, object_ids: tuple[int, ...], expires_s: float | None = None) -> bool:
    try:
        _celery().send_task(name, list(object_ids), retry=False, expires=expires_s)
    except Exception as problem:  # the process's edge: whatever the broker's client raises, the row is kept and re-sent
        log.warning("not sent task=%s id=%s problem=%s", name, object_ids, problem)
        return False
    return True
