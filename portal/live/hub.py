"""One Redis subscription per process, fanned out to its sockets through bounded mailboxes.

What comes to a topic within FRAME_EVERY_S is one batch, joined once whoever reads it: a thousand sockets are handed the same text,
and an event costs each of them nothing. The first after a pause goes at once. Where a thousand sends take longer than that, the
loop comes later to the next batch, which then holds more: fewer frames, none lost.

A Redis that does not answer is told to all sockets as "stale" within some seconds, and when it does again, with "lagging" for what
they read: nothing says that what was published meanwhile came through.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import defaultdict
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import redis.asyncio
from django.conf import settings

from portal.live.events import CHANNEL_PREFIX, RIGHTS_CHANNEL

log = logging.getLogger("hopsight.live")
QUEUE_LENGTH = 400  # events that wait for one socket
FRAME_EVERY_S = 0.05  # at most 20 batches a second of one topic
WATCH_EVERY_S = 4
WATCH_EXPIRY_S = 10
SOCKETS_PREFIX, SOCKETS_EXPIRY_S = "hopsight:metrics:sockets:", 12
ASK_EVERY_S, ANSWER_S, GRACE_S, GIVE_UP_S = 1.5, 1.0, 0.5, 10.0  # whether Redis answers: else stale after three seconds
RIGHTS_EVERY_ROUNDS = 15  # of WATCH_EVERY_S: heals a poke that was lost


@dataclass(frozen=True, slots=True)
class Batch:
    """A topic's messages, each a JSON object or an array of them, and `text`, the frame that they make together."""

    topic: str
    messages: tuple[str, ...]
    text: str


def batch_of(topic: str, messages: list[str]) -> Batch:
    """The batch of those messages, in their order."""
    return Batch(topic, tuple(messages), frame_of(messages))


class Hub:
    """Topics and who reads them. A full mailbox drops a batch and names the topic as lagging."""

    def __init__(self) -> None:
        self._readers: dict[str, set[Mailbox]] = defaultdict(set)
        self._waiting: dict[str, list[str]] = {}
        self._free_at: dict[str, float] = {}
        self._people: dict[int, set[Mailbox]] = defaultdict(set)
        self._redis = redis.asyncio.Redis.from_url(settings.REDIS_URL)
        self._tasks: list[asyncio.Task[None]] = []
        self.subscribed = asyncio.Event()
        self.is_stale = False
        self._name = secrets.token_hex(6)

    def start(self) -> None:
        """Run in the current loop; once."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(work) for work in (self._read(), self._watch(), self._ask())]

    async def stop(self) -> None:
        """End the hub's tasks and its connection; it can be started again."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._redis.aclose()

    def open(self, user_id: int, mailbox: Mailbox) -> None:
        """Tell the mailbox when the person's rights change, and whether anything comes through."""
        self._people[user_id].add(mailbox)
        if self.is_stale:
            mailbox.say_stale(True)

    def close(self, user_id: int, mailbox: Mailbox) -> None:
        self._people[user_id].discard(mailbox)
        if not self._people[user_id]:
            del self._people[user_id]

    async def join(self, topic: str, mailbox: Mailbox) -> None:
        self._readers[topic].add(mailbox)
        await self._mark(topic)

    def leave(self, topic: str, mailbox: Mailbox) -> None:
        self._readers[topic].discard(mailbox)
        if not self._readers[topic]:
            del self._readers[topic]
            self._free_at.pop(topic, None)

    async def _read(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.psubscribe(CHANNEL_PREFIX + "*", RIGHTS_CHANNEL)
                    self._lag_all()
                    self._ask_rights(*self._people)
                    self.subscribed.set()
                    async for message in channel.listen():
                        if message["type"] == "pmessage":
                            self._deliver(message["channel"].decode(), message["data"].decode())
            except redis.RedisError as problem:
                log.warning("live subscription lost, trying again: problem=%s", problem)
                await asyncio.sleep(1)

    def _ask_rights(self, *user_ids: int) -> None:
        for user_id in user_ids:
            for mailbox in self._people.get(user_id, ()):
                mailbox.ask_rights()

    def _deliver(self, channel: str, text: str) -> None:
        if channel == RIGHTS_CHANNEL:
            self._ask_rights(int(text))
            return
        topic = channel.removeprefix(CHANNEL_PREFIX)
        if topic in self._waiting:
            self._waiting[topic].append(text)
        elif topic in self._readers:
            self._waiting[topic] = [text]
            loop = asyncio.get_running_loop()
            loop.call_at(max(loop.time(), self._free_at.get(topic, 0.0)), self._hand_out, topic)

    def _hand_out(self, topic: str) -> None:
        batch = batch_of(topic, self._waiting.pop(topic))
        readers = self._readers.get(topic)
        if readers:
            self._free_at[topic] = asyncio.get_running_loop().time() + FRAME_EVERY_S
            for mailbox in readers:
                mailbox.put(batch)

    async def _ask(self) -> None:
        """Whether Redis answers. A ping that is late is waited for all the same, so that its answer is the first to be seen."""
        while True:
            asked = asyncio.create_task(self._answers())
            try:
                for within_s in (ANSWER_S, GRACE_S):  # twice: a loop that was busy for long has not looked in between
                    await asyncio.wait({asked}, timeout=within_s)
                if not asked.done():
                    self._say_stale(True)
                self._say_stale(not await asked)
            finally:
                asked.cancel()
            await asyncio.sleep(ASK_EVERY_S)

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(GIVE_UP_S):
                await self._redis.ping()
        except (redis.RedisError, TimeoutError):
            return False
        return True

    def _say_stale(self, is_stale: bool) -> None:
        if is_stale == self.is_stale:
            return
        self.is_stale = is_stale
        log.warning("redis %s", "does not answer: sockets are stale" if is_stale else "answers again: sockets fetch")
        for mailboxes in self._people.values():
            for mailbox in mailboxes:
                mailbox.say_stale(is_stale)
        if not is_stale:
            self._lag_all()

    def _lag_all(self) -> None:
        for topic, mailboxes in self._readers.items():
            for mailbox in mailboxes:
                mailbox.lag(topic)

    async def _watch(self) -> None:
        rounds = 0
        while True:
            for topic in list(self._readers):
                await self._mark(topic)
            await self._count()
            if (rounds := rounds + 1) % RIGHTS_EVERY_ROUNDS == 0:
                self._ask_rights(*self._people)
            await asyncio.sleep(WATCH_EVERY_S)

    async def _count(self) -> None:
        """How many sockets this process has, for /metrics; forgotten when the process is gone."""
        sockets = sum(len(mailboxes) for mailboxes in self._people.values())
        with contextlib.suppress(redis.RedisError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await self._redis.set(f"{SOCKETS_PREFIX}{self._name}", str(sockets), ex=SOCKETS_EXPIRY_S)

    async def _mark(self, topic: str) -> None:
        if self.is_stale:  # the next round marks it, or the one after
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._redis.set(f"hopsight:watch:{topic}", "1", ex=WATCH_EXPIRY_S)
                await self._redis.publish("hopsight:poke:watch", topic)
        except (redis.RedisError, TimeoutError) as problem:
            log.warning("watch key not set topic=%s problem=%r", topic, problem)


class Mailbox:
    """What waits for one socket, bounded by events."""

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self._count = 0
        self._lagging: set[str] = set()
        self._asks = False
        self._stale: bool | None = None
        self._waker: asyncio.Future[None] | None = None

    def put(self, batch: Batch) -> None:
        if self._count and self._count + len(batch.messages) > QUEUE_LENGTH:
            self._lagging.add(batch.topic)
        else:
            self._batches.append(batch)
            self._count += len(batch.messages)
        self._wake()

    def lag(self, topic: str) -> None:
        """Tell the reader that events of the topic may be missing."""
        self._lagging.add(topic)
        self._wake()

    def ask_rights(self) -> None:
        """Have the reader's rights looked at before anything more is read."""
        self._asks = True
        self._wake()

    def say_stale(self, is_stale: bool) -> None:
        """Tell the reader that nothing comes through, or that it does again."""
        self._stale = is_stale
        self._wake()

    async def wait(self) -> None:
        """Until there is something to take."""
        while not (self._batches or self._lagging or self._asks or self._stale is not None):
            self._waker = asyncio.get_running_loop().create_future()
            await self._waker

    def take_all(self) -> list[Batch]:
        """What waits now, in order."""
        batches, self._batches, self._count = self._batches, [], 0
        return batches

    def take_ask(self) -> bool:
        """Whether rights must be looked at before what was taken is told."""
        asked, self._asks = self._asks, False
        return asked

    def take_stale(self) -> bool | None:
        """Whether nothing comes through, where that is news."""
        news, self._stale = self._stale, None
        return news

    def take_lagging(self) -> set[str]:
        """Topics whose events were dropped since the last call."""
        found, self._lagging = self._lagging, set()
        return found

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)


def frame_of(texts: list[str]) -> str:
    """One frame of encoded messages, each a JSON object or an array of them; nothing is encoded again."""
    if len(texts) == 1:
        return texts[0]
    return f"[{','.join(text[1:-1] if text.startswith('[') else text for text in texts)}]"


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The hub of the running loop, started."""
    key = asyncio.get_running_loop()
    if key not in _hubs:
        _hubs[key] = Hub()
    _hubs[key].start()
    return _hubs[key]
