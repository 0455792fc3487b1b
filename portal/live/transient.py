"""Transient topics: state and number live in Redis, changed and published in one script so that no reader sees half."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone

from portal.live.events import channel_of, connection

EXPIRY_S = 60
# KEYS: number, state.  ARGV: object, data, message head, message tail, channel, expiry, "1" when deleted.
_SCRIPT = """
local seq = redis.call('INCR', KEYS[1])
if ARGV[7] == '1' then redis.call('HDEL', KEYS[2], ARGV[1]) else redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) end
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('EXPIRE', KEYS[2], ARGV[6])
redis.call('PUBLISH', ARGV[5], '{"seq":' .. seq .. ARGV[3])
return seq
"""
_READ = "return {redis.call('GET', KEYS[1]) or '0', redis.call('HGETALL', KEYS[2])}"


def publish_transient(topic: str, type_: str, object_: str, data: dict[str, Any] | None) -> None:
    """Change a transient topic's state and tell its readers; types ending in `.deleted` remove the object."""
    encoded = json.dumps(data or {}, separators=(",", ":"), default=str)
    head = {"at": timezone.now().isoformat(), "topic": topic, "type": type_, "object": object_}
    rest = "," + json.dumps(head, separators=(",", ":"))[1:-1] + ',"data":' + encoded + "}"
    keys = [f"hopsight:seq:{topic}", f"hopsight:state:{topic}"]
    deleted = "1" if type_.endswith(".deleted") else "0"
    connection().eval(_SCRIPT, 2, *keys, object_, encoded, rest, "", channel_of(topic), EXPIRY_S, deleted)


def transient_snapshot(topic: str) -> dict[str, Any]:
    """`{"seq": n, "state": {object: data}}` as of one moment."""
    answer: Any = connection().eval(_READ, 2, f"hopsight:seq:{topic}", f"hopsight:state:{topic}")
    flat = answer[1]
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {"seq": int(answer[0]), "state": {key.decode(): json.loads(value) for key, value in pairs}}
