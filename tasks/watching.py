"""Flow tables and counters for those who look: only while a socket has joined `flows:…` or `counters:…`.

The consumer keeps a key in Redis for each topic that somebody has joined; one reader per such topic runs here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import redis
import redis.asyncio
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError

from sdn.transport.openflow import ChannelError
from tasks.counter_watch import watch_counters
from tasks.flow_watch import watch_flows
from tasks.observe_watch import watch_observed
from tasks.topology_watch import watch_topology

log = logging.getLogger("hopsight.watching")
LOOK_EVERY_S = 0.5
TRY_AGAIN_S = 1.0
WATCH_PREFIX = "hopsight:watch:"
READERS: dict[str, Callable[[str], Awaitable[None]]] = {
    "flows": watch_flows,
    "counters": watch_counters,
    "topology": watch_topology,
    "observed": watch_observed,
}
EXPECTED = (OSError, redis.RedisError, DatabaseError, ObjectDoesNotExist, ChannelError, TimeoutError)


@dataclass(slots=True)
class Watching:
    """Runs one reader per watched topic."""

    _readers: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self) -> None:
        """Look for watched topics for ever."""
        try:
            while True:
                client = redis.asyncio.Redis.from_url(settings.REDIS_URL)
                try:
                    async with client.pubsub() as pubsub:
                        await pubsub.subscribe("hopsight:poke:watch")
                        while True:
                            await self._look(client)
                            await pubsub.get_message(ignore_subscribe_messages=True, timeout=LOOK_EVERY_S)
                except (redis.RedisError, OSError) as problem:
                    log.warning("watched topics unknown problem=%s", problem)
                finally:
                    await client.aclose()
                await asyncio.sleep(TRY_AGAIN_S)
        finally:
            for reader in self._readers.values():
                reader.cancel()

    async def _look(self, client: redis.asyncio.Redis) -> None:
        wanted = set()
        async for key in client.scan_iter(match=f"{WATCH_PREFIX}*", count=1000):
            topic = key.decode().removeprefix(WATCH_PREFIX)
            if topic.partition(":")[0] in READERS:
                wanted.add(topic)
        for topic in set(self._readers) - wanted:
            self._readers.pop(topic).cancel()
        for topic in wanted:
            if topic not in self._readers or self._readers[topic].done():
                self._readers[topic] = asyncio.create_task(_guarded(topic))


async def _guarded(topic: str) -> None:
    kind, _, name = topic.partition(":")
    try:
        await READERS[kind](name)
    except EXPECTED as problem:
        log.warning("topic=%s problem=%s", topic, problem)
        await asyncio.sleep(TRY_AGAIN_S)
    except Exception:  # the process's edge: one reader's trouble must not end the controller
        log.exception("topic=%s", topic)
        await asyncio.sleep(TRY_AGAIN_S)
