"""Failed log-ins are counted for all web processes together, and each process's own while there is no Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as live_settings
from django.core.cache import caches
from django.test import Client
from django.urls import reverse

from portal.accounts.views import MAX_FAILURES
from portal.config.cache import SharedCache
from portal.live.events import connection
from tests.cast import Cast


def process() -> SharedCache:
    """The cache of one more process."""
    options = {key.lower(): value for key, value in live_settings.CACHES["default"].items() if key == "KEY_PREFIX"}
    return SharedCache(live_settings.REDIS_URL, options)


def test_what_one_process_counts_another_counts_on(redis_server: str) -> None:
    first, second = process(), process()
    first.clear()
    assert first.add("log-in:x", 0, 60) and not second.add("log-in:x", 0, 60)
    assert (first.incr("log-in:x"), second.incr("log-in:x"), first.get("log-in:x")) == (1, 2, 2)


def test_clearing_leaves_the_brokers_queues(redis_server: str) -> None:
    connection().set("celery-queue", "kept")
    cache = process()
    cache.set("x", 1)
    cache.clear()
    assert cache.get("x") is None and connection().get("celery-queue") == b"kept"
    connection().delete("celery-queue")


@pytest.fixture
def no_redis(cast: Cast, settings: Any) -> Iterator[None]:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    connection.cache_clear()
    caches["default"].alone.clear()  # type: ignore[attr-defined]
    yield
    caches["default"].alone.clear()  # type: ignore[attr-defined]
    connection.cache_clear()


def test_without_redis_log_ins_work_and_are_still_limited(no_redis: None) -> None:
    answers = [
        Client().post(reverse("login"), {"username": "nobody", "password": str(number)}).status_code
        for number in range(MAX_FAILURES + 1)
    ]
    assert answers == [200] * MAX_FAILURES + [429]


@pytest.mark.parametrize("value", [0, "text", None, {"a": [1]}])
def test_it_keeps_what_it_is_given(redis_server: str, value: object) -> None:
    cache = process()
    cache.set("kept", value, 60)
    assert cache.get("kept", "nothing") == value
