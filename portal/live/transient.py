"""Transient topics: state and number live in Redis, changed and published in one script so that no reader sees half.

A batch is one round trip and one message: the events of it are numbered one after another, as if sent one by one.
A topic's first number is the time, so that a life after an expiry or a lost Redis never counts what was counted before.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from portal.live.events import channel_of, connection

EXPIRY_S = 60
WATCH_PREFIX, WATCH_EXPIRY_S = "hopsight:watch:", 10
MOST_AT_ONCE = 500
# KEYS: number, state.  ARGV: channel, expiry, first number, "1" to begin from nothing (with a gap, so that every
# reader fetches the snapshot), then per change: object, data
# ("" when deleted), the message without its number.
_SCRIPT = """
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SET', KEYS[1], ARGV[3]) end
if ARGV[4] == '1' then redis.call('DEL', KEYS[2]); redis.call('INCR', KEYS[1]) end
local events = {}
for at = 5, #ARGV, 3 do
  local seq = redis.call('INCR', KEYS[1])
  if ARGV[at + 1] == '' then redis.call('HDEL', KEYS[2], ARGV[at])
  else redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1]) end
  events[#events + 1] = '{"seq":' .. string.format('%d', seq) .. ARGV[at + 2]
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
if #events == 1 then redis.call('PUBLISH', ARGV[1], events[1])
elseif #events > 1 then redis.call('PUBLISH', ARGV[1], '[' .. table.concat(events, ',') .. ']') end
return redis.call('GET', KEYS[1])
"""
_READ = "return {redis.call('GET', KEYS[1]) or '0', redis.call('HGETALL', KEYS[2])}"
Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """An object as it now is (type `….changed`), or its end (`….deleted`, no data)."""

    type: str
    object: str
    data: Data | None


def publish_transient(topic: str, type_: str, object_: str, data: dict[str, Any] | None) -> None:
    """Change a transient topic's state and tell its readers; types ending in `.deleted` remove the object."""
    _run(topic, (Change(type_, object_, None if type_.endswith(".deleted") else data or {}),))


class TransientWriter:
    """The one writer of a topic: knows what its readers see, and makes it whole again when Redis has lost it."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._seq = 0
        self.state: dict[str, Data] = {}

    def load(self) -> None:
        """Take over what an earlier writer left."""
        snapshot = transient_snapshot(self.topic)
        self._seq, self.state = snapshot["seq"], snapshot["state"]

    def write(self, changes: Sequence[Change]) -> None:
        """Tell the changes in order, in batches; with none, keep the topic from expiring."""
        for change in changes:
            if change.data is None:
                self.state.pop(change.object, None)
            else:
                self.state[change.object] = change.data
        for at in range(0, max(len(changes), 1), MOST_AT_ONCE):
            batch = changes[at : at + MOST_AT_ONCE]
            seq = _run(self.topic, batch)
            if self._seq and seq != self._seq + len(batch):
                self._write_all()
                return
            self._seq = seq

    def _write_all(self) -> None:
        """The whole state anew: the number jumped, so every reader fetches a snapshot."""
        whole = [Change(f"{_kind(object_)}.changed", object_, data) for object_, data in self.state.items()]
        self._seq = _run(self.topic, whole[:MOST_AT_ONCE], afresh=True)
        for at in range(MOST_AT_ONCE, len(whole), MOST_AT_ONCE):
            self._seq = _run(self.topic, whole[at : at + MOST_AT_ONCE])


def _kind(object_: str) -> str:
    return object_.split(":")[0] if ":" in object_ else "object"


def _run(topic: str, changes: Sequence[Change], *, afresh: bool = False) -> int:
    at = timezone.now().isoformat()
    words: list[str] = [channel_of(topic), str(EXPIRY_S), str(int(time.time() * 1000)), "1" if afresh else "0"]
    for change in changes:
        encoded = json.dumps(change.data or {}, separators=(",", ":"), default=str)
        head = {"at": at, "topic": topic, "type": change.type, "object": change.object}
        rest = "," + json.dumps(head, separators=(",", ":"))[1:-1] + ',"data":' + encoded + "}"
        words += [change.object, "" if change.data is None else encoded, rest]
    keys = [f"hopsight:seq:{topic}", f"hopsight:state:{topic}"]
    answer: Any = connection().eval(_SCRIPT, 2, *keys, *words)
    return int(answer)


def keep_watched(topic: str) -> None:
    """Somebody looks at the topic: whoever writes it goes on for the next ten seconds."""
    connection().set(WATCH_PREFIX + topic, "1", ex=WATCH_EXPIRY_S)
    connection().publish("hopsight:poke:watch", topic)


def transient_snapshot(topic: str) -> dict[str, Any]:
    """`{"seq": n, "state": {object: data}}` as of one moment."""
    return transient_snapshots([topic])[0]


def transient_snapshots(topics: Sequence[str]) -> list[dict[str, Any]]:
    """As `transient_snapshot`, one a topic, in one round trip; each is as of a moment of its own."""
    asked = connection().pipeline(transaction=False)
    for topic in topics:
        asked.eval(_READ, 2, f"hopsight:seq:{topic}", f"hopsight:state:{topic}")
    return [_snapshot(seq, flat) for seq, flat in asked.execute()]


def _snapshot(seq: bytes, flat: list[bytes]) -> dict[str, Any]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {"seq": int(seq), "state": {key.decode(): json.loads(value) for key, value in pairs}}
