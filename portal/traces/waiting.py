"""A trace's answer in the response to its question: `Prefer: wait=SECONDS` (RFC 7240, section 4.3).

Nobody waits for a host: the row is stored, the tracer answers it, and this waits for its word in Redis. So many may
wait at once; whoever comes beyond that, or does not get the answer in time, gets 202 as without the header.
"""

from __future__ import annotations

import re
import threading

from django.db import transaction

from portal.traces.desk import wait_answered
from portal.traces.models import TraceRequest

MOST_WAIT_S = 4  # less than a Redis connection takes for broken
SEATS = 24  # of the web process's threads (portal.config.one_hop)
WAITING = (
    f"With `Prefer: wait=SECONDS` (1 to {MOST_WAIT_S}) the answer is 200 and the trace itself when it is there within that "
    "time; else, and without the header, 202 and where to look for it."
)
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?(?:$|[,;\s])", re.ASCII | re.IGNORECASE)
_seats = threading.BoundedSemaphore(SEATS)


def preferred_wait_s(prefer: str) -> int:
    """The seconds of a Prefer header, never more than allowed; 0 where it prefers no waiting."""
    found = _WAIT.search(prefer)
    return min(int(found[1]), MOST_WAIT_S) if found else 0


def wait_for(row: TraceRequest, within_s: float) -> bytes | None:
    """The trace's answer as `answer_text` has it, waited for; None when it does not come, or too many wait.

    Inside a transaction (a create with an Idempotency-Key) nobody else sees the question yet: there is no waiting.
    """
    if transaction.get_connection().in_atomic_block or not _seats.acquire(blocking=False):
        return None
    try:
        return wait_answered(row.pk, within_s)
    finally:
        _seats.release()
