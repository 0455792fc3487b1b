"""A real Redis that stops answering for a while (CLIENT PAUSE): nobody waits, sockets are told, and what was meant for it is told later."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
import redis
from redis.client import PubSub

from portal.config.answering import Answering, answering
from portal.live import events
from portal.live.hub import Hub, Mailbox
from portal.operations import dispatch
from tests.waiting import until, wait_for

PAUSED_MS = 600


@pytest.fixture
def paused(redis_server: str) -> Iterator[PubSub]:
    """A connection from before the pause, which listens to a topic."""
    client = redis.Redis.from_url(redis_server)
    answering.forget()
    with client.pubsub() as heard:
        heard.subscribe(events.channel_of("team:late"))
        assert heard.get_message(timeout=10)
        client.client_pause(PAUSED_MS)
        yield heard
    answering.forget()
    client.close()


def test_events_are_told_in_order_once_it_answers_and_nobody_waits(paused: PubSub) -> None:
    answering.it_did_not_answer()
    began = time.monotonic()
    for number in range(50):
        events.send("team:late", str(number))
    with pytest.raises(redis.TimeoutError):
        events.connection().get("anything")
    assert time.monotonic() - began < PAUSED_MS / 2000
    told: list[str] = []

    def all_told() -> bool:
        message = paused.get_message(timeout=1)
        if message and message["type"] == "message":
            told.append(message["data"].decode())
        return len(told) == 50

    wait_for(all_told, 20, "all events came", every_s=0)
    assert told == [str(number) for number in range(50)]
    wait_for(lambda: not answering.hangs(), 20, "it is asked directly again")
    assert events.connection().get("anything") is None


def test_work_is_handed_over_once_it_answers(paused: PubSub) -> None:
    answering.it_did_not_answer()
    dispatch.enqueue_operation(4711)
    wait_for(lambda: not answering.hangs(), 20, "it answers")
    orders = [json.loads(order)["headers"]["argsrepr"] for order in events.connection().lrange("celery", 0, -1)]
    assert "[4711]" in orders


def test_another_redis_than_the_one_that_hangs_is_asked(paused: PubSub, settings) -> None:  # type: ignore[no-untyped-def]
    mine = Answering()
    mine.it_did_not_answer()
    assert mine.hangs()
    settings.REDIS_URL = "unix:///nowhere.sock"
    assert not mine.hangs()
    assert not mine.put_off(lambda client: None)


async def test_sockets_are_told_that_nothing_comes_through_and_then_to_fetch(
    redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ASK_EVERY_S", "ANSWER_S", "GRACE_S"):
        monkeypatch.setattr(f"portal.live.hub.{name}", 0.05)
    hub, early, late = Hub(), Mailbox(), Mailbox()
    hub.start()
    try:
        await hub.subscribed.wait()
        hub.open(1, early)
        await hub.join("team:payments", early)
        early.take_lagging()
        client = redis.asyncio.Redis.from_url(redis_server)
        await client.client_pause(PAUSED_MS)
        await until(lambda: early.take_stale() is True, "the socket is told")
        hub.open(2, late)
        assert late.take_stale() is True, "one that opens meanwhile is told too"
        await until(lambda: early.take_stale() is False, "and told that it is over")
        assert late.take_stale() is False
        assert early.take_lagging() == {"team:payments"}
        await client.aclose()
    finally:
        await hub.stop()
