"""A trace that the server's own command line asks for as people do: its row is stored and audited, and the workers answer it.

What waits for a guest's next connection, and what hands a packet over to a guest, is asked for so; the rest is answered by
the command itself.
"""

from __future__ import annotations

import time

from portal.traces.models import TraceRequest
from portal.traces.requests import NEXT, NEXT_WITHIN_S, TraceProblem, create_trace, spec_again
from tasks.trace_typed import BadQuestion, told_errors

ANSWER_WITHIN_S, LOOK_EVERY_S = 30.0, 0.2
PENDING = (TraceRequest.State.WAITING, TraceRequest.State.RUNNING)


class NoAnswer(Exception):
    """Nobody answered, or the trace failed; the message is a sentence."""


def stored_answer(asked: TraceRequest, *, with_packet: bool) -> TraceRequest:
    """The row with its answer, and with what its real packet did where that is wanted. Raises BadQuestion, NoAnswer."""
    spec = spec_again(asked, is_handed_over=asked.is_handed_over)
    try:
        row = create_trace(asked.team, None, spec)
    except TraceProblem as problem:
        raise BadQuestion("; ".join(told_errors(problem.errors))) from problem
    within_s = ANSWER_WITHIN_S + (NEXT_WITHIN_S if asked.moment == NEXT else 0)
    ends_at = time.monotonic() + within_s
    while not _is_there(row, with_packet):
        if time.monotonic() > ends_at:
            raise NoAnswer(f"No worker answered within {within_s:g} s: is one running?")
        time.sleep(LOOK_EVERY_S)
    if row.state == TraceRequest.State.FAILED:
        raise NoAnswer(row.error)
    return row


def _is_there(row: TraceRequest, with_packet: bool) -> bool:
    row.refresh_from_db()
    if row.state in PENDING:
        return False
    return row.state == TraceRequest.State.FAILED or not with_packet or row.probe is not None
