"""A live topic as server-sent events (WHATWG HTML, 9.2), beside the WebSocket: for curl, scripts and proxies.

`event: joined` tells the number that a snapshot has now; then each event of the topic comes with its number as `id`. A reader
that comes back says in Last-Event-ID which it had: those after it are sent first while they are kept, else `event: lagging`
says to fetch the snapshot. `event: stale` tells that no event comes through, or that they do again. The stream ends when its session or token ends, or the right does.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator

from channels.db import database_sync_to_async

from portal.accounts.callers import is_live
from portal.accounts.models import User
from portal.live.events import encode
from portal.live.hub import Mailbox, hub
from portal.live.models import Event
from portal.live.topics import TRANSIENT, refusal_of, snapshot_of

STILL_HERE_S = 15.0  # a comment as often keeps proxies from closing a quiet stream, and finds readers that left
MAX_STREAMS = 10  # of one person in one process
MAX_REPLAYED = 1000
open_streams: Counter[int] = Counter()


async def stream(user: User, key: str, topic: str, last: int | None) -> AsyncIterator[str]:
    """The text of the stream, piece by piece."""
    mailbox = Mailbox()
    open_streams[user.pk] += 1
    hub().open(user.pk, mailbox)
    try:
        await hub().join(topic, mailbox)
        seq, missed = await database_sync_to_async(_since)(topic, last)
        yield _piece("joined", json.dumps({"topic": topic, "seq": seq}))
        if missed is None:
            yield _piece("lagging", json.dumps({"lagging": topic}))
        for number, text in missed or ():
            yield _piece("", text, number)
        async for piece in _live(user, key, topic, mailbox, seq):
            yield piece
    finally:
        hub().leave(topic, mailbox)
        hub().close(user.pk, mailbox)
        open_streams[user.pk] -= 1


async def _live(user: User, key: str, topic: str, mailbox: Mailbox, seq: int) -> AsyncIterator[str]:
    while True:
        is_quiet = False
        try:
            await asyncio.wait_for(mailbox.wait(), STILL_HERE_S)
        except TimeoutError:
            is_quiet = True
            yield ": still here\n\n"
        batches, asked = mailbox.take_all(), mailbox.take_ask()
        if (asked or is_quiet) and not await database_sync_to_async(_may_go_on)(user, key, topic):
            yield _piece("ended", json.dumps({"ended": topic}))
            return
        for message in (message for batch in batches for message in batch.messages):
            told = json.loads(message)
            for event in told if isinstance(told, list) else [told]:
                if event["seq"] > seq:
                    yield _piece("", message if event is told else json.dumps(event), event["seq"])
        if (is_stale := mailbox.take_stale()) is not None:
            yield _piece("stale", json.dumps({"stale": is_stale}))
        for lagging in mailbox.take_lagging():
            yield _piece("lagging", json.dumps({"lagging": lagging}))


def _since(topic: str, last: int | None) -> tuple[int, list[tuple[int, str]] | None]:
    """The topic's number now, and the events after `last`; None for them when some are not kept any more."""
    seq = int(snapshot_of(topic)["seq"])
    if last is None or last == seq:
        return seq, []
    if topic.partition(":")[0] in TRANSIENT or last > seq:
        return seq, None
    rows = list(Event.objects.filter(topic=topic, seq__gt=last, seq__lte=seq).order_by("seq")[:MAX_REPLAYED])
    if len(rows) != seq - last:
        return seq, None
    return seq, [(row.seq, encode(topic, row.seq, row.at.isoformat(), row.type, row.object, row.data)) for row in rows]


def _may_go_on(user: User, key: str, topic: str) -> bool:
    found = User.objects.filter(pk=user.pk, is_active=True).first()
    return found is not None and is_live(key, user.pk) and not refusal_of(found, topic)


def _piece(kind: str, data: str, number: int | None = None) -> str:
    head = f"event: {kind}\n" if kind else ""
    return f"{head}{f'id: {number}' + chr(10) if number is not None else ''}data: {data}\n\n"
