"""The bridges of a host, as its controller last told: ours, and foreign ones beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import redis

from portal.live.transient import transient_snapshots

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
    return bridges_of_all([host])


def bridges_of_all(hosts: Sequence[str]) -> tuple[Bridge, ...]:
    """As `bridges_of`, host after host, asked for in one round trip."""
    try:
        told = [snapshot["state"] for snapshot in transient_snapshots([bridges_topic(host) for host in hosts])]
    except redis.RedisError:
        told = [{} for _ in hosts]
    return tuple(bridge for host, names in zip(hosts, told, strict=True) for bridge in _in_order(host, names))


def _in_order(host: str, names: Iterable[str]) -> tuple[Bridge, ...]:
    foreign = sorted(set(names) - {OURS})
    return (Bridge(host, OURS, False), *(Bridge(host, name, True) for name in foreign))
