"""Where a trace is ordered from the tracer: a list in Redis that a warm thread of a worker waits on.

A trace is asked for by people who look at the page, so it does not take the workers' common road: an order is one
number, taken at once. An order that is lost (Redis away, a worker killed) leaves the row in state running, which the
sweep sends again. The row is the one truth: an answer is told here only after it is stored, as the text that the API
answers with, so that who waits for it need not read the row again; nobody does after `ANSWER_LIFE_S`.
"""

from __future__ import annotations

import logging
from typing import Any

import redis

from portal.live.events import connection, waiting_connection

log = logging.getLogger("hopsight.traces")
ORDERS, ANSWERED = "hopsight:trace:orders", "hopsight:trace:answered:"
ORDERS_LIFE_S, ANSWER_LIFE_S = 60, 10
TAKE_WAIT_S = 2


def order_trace(trace_id: int) -> None:
    """Leave an order; a Redis that is away fails no request."""
    try:
        with connection().pipeline(transaction=False) as pipe:
            pipe.rpush(ORDERS, trace_id)
            pipe.expire(ORDERS, ORDERS_LIFE_S)
            pipe.execute()
    except redis.RedisError as problem:
        log.warning("not ordered trace=%s problem=%s: the sweep sends it again", trace_id, problem)


def take_order() -> int | None:
    """The next order's trace, None after some seconds without one. Raises redis.RedisError."""
    taken = waiting_connection().blpop([ORDERS], timeout=TAKE_WAIT_S)
    return int(taken[1]) if taken else None


def tell_answered(trace_id: int, text: str) -> None:
    """Hand the answer to who waits for this trace; called after it is stored."""
    try:
        with connection().pipeline(transaction=False) as pipe:
            pipe.rpush(f"{ANSWERED}{trace_id}", text)
            pipe.expire(f"{ANSWERED}{trace_id}", ANSWER_LIFE_S)
            pipe.execute()
    except redis.RedisError as problem:
        log.warning("answer not told trace=%s problem=%s", trace_id, problem)


def wait_answered(trace_id: int, within_s: float) -> bytes | None:
    """The answer's text when it is there within that time; None where it is not, or Redis is away."""
    try:
        told: Any = waiting_connection().blpop([f"{ANSWERED}{trace_id}"], timeout=within_s)
    except redis.RedisError:
        return None
    return bytes(told[1]) if told else None
