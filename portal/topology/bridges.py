"""The bridges of a host, as its controller last told: ours, and foreign ones beside it."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from portal.live.transient import transient_snapshot

OURS = "br-int"


@dataclass(frozen=True, slots=True)
class Bridge:
    """One Open vSwitch bridge of a host."""

    host: str
    name: str
    foreign: bool


def bridges_topic(host: str) -> str:
    """Where the controller tells a host's bridges."""
    return f"bridges:{host}"


def bridges_of(host: str) -> tuple[Bridge, ...]:
    """Ours first, then the foreign ones by name; ours alone while nothing was told or Redis is away."""
    try:
        names = set(transient_snapshot(bridges_topic(host))["state"]) - {OURS}
    except redis.RedisError:
        names = set()
    return (Bridge(host, OURS, False), *(Bridge(host, name, True) for name in sorted(names)))
