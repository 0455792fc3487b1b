"""Publishing and reading live topics (DESIGN: live events).

Two sorts of topic, one wire form `{seq, at, topic, type, object, data}`:

durable     `team:<uuid or slug>`, `topology`: events are rows, numbered under the topic's row lock inside the transaction that
            changes the state, and sent to Redis when it commits. Snapshot = the state read in one transaction with the number.
transient   `trace:<uuid>`, `flows:<host>/<bridge>`: one writer (the controller or a worker), state kept in Redis beside the number.

Every event carries the whole object (`*.changed`) or its end (`*.deleted`), so that applying one twice does no harm.
"""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings
from django.db import connection as db
from django.db import transaction
from django.utils import timezone

from portal.config.answering import ANSWER_S, WAIT_S, HeedingRedis, answering
from portal.live.models import Event, Topic

log = logging.getLogger("hopsight.live")
CHANNEL_PREFIX = "hopsight:live:"
RIGHTS_CHANNEL = "hopsight:poke:rights"
_TOPIC = Topic._meta.db_table
_NEXT = (
    f'INSERT INTO "{_TOPIC}" ("name", "seq") VALUES (%s, 1) ON CONFLICT ("name") DO UPDATE SET "seq" = "{_TOPIC}"."seq" + 1 '
    'RETURNING "seq"'
)


@lru_cache(maxsize=1)
def connection() -> redis.Redis:
    """This process's Redis connection pool."""
    return HeedingRedis.from_url(settings.REDIS_URL, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)


@lru_cache(maxsize=1)
def waiting_connection() -> redis.Redis:
    """The same for BLPOP, whose answer is not there at once."""
    return HeedingRedis.from_url(settings.REDIS_URL, socket_timeout=WAIT_S, socket_connect_timeout=ANSWER_S)


def channel_of(topic: str) -> str:
    """The Redis pub/sub channel that a topic's encoded events are sent to."""
    return CHANNEL_PREFIX + topic


def publish(topic: str, type_: str, object_: str, data: dict[str, Any] | None) -> None:
    """Add an event to a durable topic; must run inside the transaction that made `data` true."""
    with transaction.atomic(savepoint=False):  # what cannot be told must not be true either
        seq, now = _next_seq(topic), timezone.now()
        Event.objects.create(topic=topic, seq=seq, at=now, type=type_, object=object_, data=data or {})
        message = encode(topic, seq, now.isoformat(), type_, object_, data)
        transaction.on_commit(lambda: send(topic, message))


def _next_seq(topic: str) -> int:
    """The topic's next number; its row is made or locked by the same statement, until the transaction ends.

    One statement for both databases, where the ORM takes two, and four with a savepoint for a topic that is new.
    """
    with db.cursor() as cursor:
        cursor.execute(_NEXT, [topic])
        return int(cursor.fetchone()[0])


def encode(topic: str, seq: int, at: str, type_: str, object_: str, data: dict[str, Any] | None) -> str:
    """The wire form, encoded once per event."""
    event = {"seq": seq, "at": at, "topic": topic, "type": type_, "object": object_, "data": data or {}}
    return json.dumps(event, separators=(",", ":"), default=str)


def send(topic: str, message: str) -> None:
    """Hand an encoded event to Redis. A lost one is a gap that the reader refetches, so failure is only logged."""
    try:
        say(channel_of(topic), message)
    except redis.RedisError as problem:
        log.warning("event not sent topic=%s problem=%s", topic, problem)


def say(channel: str, message: str) -> None:
    """The message is with Redis, or will be once a Redis that hangs goes on. Raises redis.RedisError."""

    def later(client: redis.Redis) -> None:
        client.publish(channel, message)

    if answering.put_off(later):
        return
    try:
        connection().publish(channel, message)
    except redis.TimeoutError:
        if not answering.put_off(later):  # it answers again: who waited in vain was the first to say so
            connection().publish(channel, message)


def rights_changed(user_id: int) -> None:
    """Make the person's sockets ask again, once this transaction commits, whether they may read what they joined."""

    def poke() -> None:
        try:
            say(RIGHTS_CHANNEL, str(user_id))
        except redis.RedisError as problem:
            log.warning("rights not poked user=%s problem=%s: sockets ask by themselves", user_id, problem)

    transaction.on_commit(poke)
