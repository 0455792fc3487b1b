"""Whether Redis answers. One that hangs (stopped, swapping, its machine gone) is waited for once, not by every request.

  waited in vain   whoever did says so (`it_did_not_answer`); from then on nobody in this process waits: `hangs` is true
  asking           a thread asks until Redis answers, on one connection, so that its answer is there as soon as it goes on
  told later       what was put off meanwhile (`put_off`) is done then, in its order, before `hangs` is false again

A Redis that is away refuses at once; whoever had to wait for that nevertheless may say so too.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import redis
from django.conf import settings
from redis.client import Pipeline

log = logging.getLogger("hopsight.redis")
ANSWER_S = 2.0  # an answer takes a millisecond; what takes longer is waited for by nobody
WAIT_S = 5.0  # for what comes by BLPOP, which asks Redis to keep its answer back
PING_S, PAUSE_S = 10.0, 0.5
MOST_PUT_OFF = 5000  # readers who miss what was dropped see the gap, and fetch


class Told(Protocol):
    """What was put off: done with a connection that answers."""

    def __call__(self, client: redis.Redis, /) -> None: ...


class Answering:
    """What this process knows of its Redis."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None
        self._address = ""  # of the Redis that is asked: tests have several
        self._put_off: deque[Told] = deque(maxlen=MOST_PUT_OFF)

    def hangs(self) -> bool:
        """It did not answer in time, and has not since."""
        asking = self._asking
        if asking is None or not asking.is_alive():  # not alive: this process was forked from the one that asks
            return False
        return self._address == settings.REDIS_URL

    def it_did_not_answer(self) -> None:
        """Said by who waited in vain: from now on nobody waits until it answers."""
        with self._lock:
            if not self.hangs():
                log.warning("redis does not answer: it is left alone until it does")
                self._address = settings.REDIS_URL
                self._put_off.clear()
                self._asking = threading.Thread(target=self._ask, name="redis-asker", daemon=True)
                self._asking.start()

    def put_off(self, what: Told) -> bool:
        """Have it done once Redis answers; False where it does not hang: do it now."""
        with self._lock:
            if not self.hangs():
                return False
            self._put_off.append(what)
            return True

    def forget(self) -> None:
        """Ask no more, and tell nobody."""
        with self._lock:
            self._asking = None
            self._put_off.clear()

    def _ask(self) -> None:
        """Until it answers and has all that was put off."""
        pause = threading.Event()
        me = threading.current_thread()
        client = redis.Redis.from_url(self._address, socket_timeout=PING_S, socket_connect_timeout=ANSWER_S)
        with client:
            while self._asking is me and self._address == settings.REDIS_URL:
                try:
                    client.ping()
                    if self._tell_all(client, me):
                        return
                except redis.RedisError:
                    pause.wait(PAUSE_S)

    def _tell_all(self, client: redis.Redis, me: threading.Thread) -> bool:
        told = 0
        while True:
            with self._lock:
                if self._asking is not me:
                    return True
                if not self._put_off:
                    self._asking = None
                    log.warning("redis answers again: told later=%s", told)
                    return True
                what = self._put_off.popleft()
            try:
                what(client)
            except redis.RedisError:
                with self._lock:
                    self._put_off.appendleft(what)
                raise
            told += 1


answering = Answering()


def heeded(ask: Callable[[], Any]) -> Any:
    """What asking Redis gives; at once a redis.TimeoutError while it hangs."""
    if answering.hangs():
        raise redis.TimeoutError("it did not answer a moment ago, and is asked again by itself")
    try:
        return ask()
    except redis.TimeoutError:
        answering.it_did_not_answer()
        raise


class HeedingPipeline(Pipeline):
    """Commands that are sent together."""

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        given: list[Any] = heeded(lambda: super(HeedingPipeline, self).execute(raise_on_error))
        return given


class HeedingRedis(redis.Redis):
    """A client that waits for a Redis that hangs once, whoever in the process asks."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return heeded(lambda: super(HeedingRedis, self).execute_command(*args, **options))  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return HeedingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
