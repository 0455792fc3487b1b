"""One Redis subscription per process, fanned out to its sockets through bounded queues."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict

import redis.asyncio
from django.conf import settings

from portal.live.events import CHANNEL_PREFIX

log = logging.getLogger("hopsight.live")
QUEUE_LENGTH = 200
WATCH_EVERY_S = 4
WATCH_EXPIRY_S = 10


class Hub:
    """Topics and who reads them. A full queue drops its events and names the topic as lagging."""

    def __init__(self) -> None:
        self._readers: dict[str, set[Mailbox]] = defaultdict(set)
        self._redis = redis.asyncio.Redis.from_url(settings.REDIS_URL)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Run in the current loop; once."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._watch())]

    async def join(self, topic: str, mailbox: Mailbox) -> None:
        self._readers[topic].add(mailbox)
        await self._mark(topic)

    def leave(self, topic: str, mailbox: Mailbox) -> None:
        self._readers[topic].discard(mailbox)
        if not self._readers[topic]:
            del self._readers[topic]

    async def _read(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.psubscribe(CHANNEL_PREFIX + "*")
                    for mailbox_topic, mailboxes in list(self._readers.items()):
                        for mailbox in mailboxes:
                            mailbox.lag(mailbox_topic)
                    async for message in channel.listen():
                        if message["type"] == "pmessage":
                            self._deliver(message["channel"].decode(), message["data"].decode())
            except redis.RedisError as problem:
                log.warning("live subscription lost, trying again: problem=%s", problem)
                await asyncio.sleep(1)

    def _deliver(self, channel: str, text: str) -> None:
        topic = channel.removeprefix(CHANNEL_PREFIX)
        for mailbox in self._readers.get(topic, ()):
            mailbox.put(topic, text)

    async def _watch(self) -> None:
        while True:
            for topic in list(self._readers):
                await self._mark(topic)
            await asyncio.sleep(WATCH_EVERY_S)

    async def _mark(self, topic: str) -> None:
        try:
            await self._redis.set(f"hopsight:watch:{topic}", "1", ex=WATCH_EXPIRY_S)
            await self._redis.publish("hopsight:poke:watch", topic)
        except redis.RedisError as problem:
            log.warning("watch key not set topic=%s problem=%s", topic, problem)


class Mailbox:
    """One socket's bounded queue."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_LENGTH)
        self._lagging: set[str] = set()

    def put(self, topic: str, text: str) -> None:
        try:
            self.queue.put_nowait(text)
        except asyncio.QueueFull:
            self._lagging.add(topic)

    def lag(self, topic: str) -> None:
        """Tell the reader that events of the topic may be missing."""
        self.put(topic, json.dumps({"lagging": topic}))

    def take_all(self) -> list[str]:
        """What waits now, in order."""
        return [self.queue.get_nowait() for _ in range(self.queue.qsize())]

    def take_lagging(self) -> set[str]:
        """Topics whose events were dropped since the last call."""
        found, self._lagging = self._lagging, set()
        return found


def frame_of(texts: list[str]) -> str:
    """One frame of encoded messages, each a JSON object or an array of them; nothing is encoded again."""
    if len(texts) == 1:
        return texts[0]
    return f"[{','.join(text[1:-1] if text.startswith('[') else text for text in texts)}]"


_hubs: dict[int, Hub] = {}


def hub() -> Hub:
    """The hub of the running loop, started."""
    key = id(asyncio.get_running_loop())
    if key not in _hubs:
        _hubs[key] = Hub()
    _hubs[key].start()
    return _hubs[key]
