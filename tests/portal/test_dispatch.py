"""Work and events are handed to Redis; one that is away, or that hangs, holds up no request."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from portal.config.answering import answering
from portal.live import events
from portal.operations import dispatch
from tests.waiting import at_this_load


@pytest.fixture
def broker(tmp_path: Path, settings):  # type: ignore[no-untyped-def]
    """The path of a socket that is the broker's, until the test is over."""
    path = tmp_path / "broker.sock"
    settings.CELERY_BROKER_URL = f"redis+socket://{path}"
    settings.REDIS_URL = f"unix://{path}"
    kept = [dispatch._celery, events.connection]
    for one in kept:
        one.cache_clear()
    answering.forget()
    yield path
    answering.forget()
    for one in kept:
        one.cache_clear()


@pytest.mark.parametrize("hangs", [False, True], ids=["away", "takes connections and says nothing"])
def test_a_broker_that_does_not_answer_fails_no_request_and_holds_none_up(broker: Path, hangs: bool) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        if hangs:
            silent.bind(str(broker))
            silent.listen(8)
        began = time.monotonic()
        dispatch.enqueue_operation(1)
        for _ in range(9):
            events.send("team:payments", "{}")
        assert time.monotonic() - began < at_this_load(3)
