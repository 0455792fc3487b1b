"""Counts that no row holds, in Redis, so that any process's /metrics tells those of all: requests, sockets, ports.

HTTP requests are gathered in each process and added to Redis once a second (and when the process ends); a reader's own
process adds before it reads.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import redis
from django.http import HttpRequest, HttpResponse

from portal.live.events import connection
from portal.live.hub import SOCKETS_PREFIX

log = logging.getLogger("hopsight.metrics")
HTTP_KEY = "hopsight:metrics:http"
PORTS_PREFIX = "hopsight:metrics:ports:"
ADD_EVERY_S = 1.0
PORTS_EXPIRY_S = 60
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
Key = tuple[str, str, str, str]  # what, method, view, status or bucket


class HttpTally:
    """One process's requests that Redis has not been told of yet. No request waits for Redis: a thread tells it."""

    def __init__(self) -> None:
        self._counts: Counter[Key] = Counter()
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._teller: threading.Thread | None = None
        self._is_away = False

    def note(self, method: str, view: str, status: int, took_s: float) -> None:
        """Count one request."""
        method = method if method in METHODS else "other"
        bucket = bisect_left(BUCKETS_S, took_s)
        with self._lock:
            self._counts["n", method, view, str(status)] += 1
            self._counts["le", method, view, str(bucket)] += 1
            self._counts["us", method, view, ""] += int(took_s * 1e6)
            if self._teller is None:
                self._teller = threading.Thread(target=self._tell, name="http-tally", daemon=True)
                self._teller.start()
        self._some.set()

    def add(self) -> None:
        """Tell Redis what was counted since the last time. Raises RedisError, and then it is told later."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            with connection().pipeline(transaction=True) as pipe:
                for key, count in counts.items():
                    pipe.hincrby(HTTP_KEY, json.dumps(key), count)
                pipe.execute()
            self._is_away = False
        except redis.RedisError:
            self._is_away = True
            with self._lock:
                self._counts.update(counts)
            raise

    def end(self) -> None:
        """The process ends: tell the rest, unless Redis was away the last time."""
        if not self._is_away:
            with contextlib.suppress(redis.RedisError):
                self.add()

    def _tell(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            was_away = self._is_away
            try:
                self.add()
            except redis.RedisError as problem:
                self._some.set()
                if not was_away:
                    log.warning("requests are not counted in redis until it answers problem=%s", problem)
            time.sleep(ADD_EVERY_S)


tally = HttpTally()
atexit.register(tally.end)


class CountRequests:
    """Counts every request by the name of its URL, its method and its status."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        response = self.get_response(request)
        match = request.resolver_match
        view = (match.url_name or match.route or "unnamed") if match else "no such page"
        tally.note(request.method or "", view, response.status_code, time.perf_counter() - began)
        return response


def http_counts() -> dict[Key, int]:
    """Everything counted, of every process."""
    tally.add()
    found: Any = connection().hgetall(HTTP_KEY)
    return {tuple(json.loads(key)): int(count) for key, count in found.items()}


def live_sockets() -> int:
    """The live sockets of every web process, as each told within the last seconds."""
    client = connection()
    keys = list(client.scan_iter(match=f"{SOCKETS_PREFIX}*", count=1000))
    found: Any = client.mget(keys) if keys else []
    return sum(int(value) for value in found if value is not None)


@dataclass(frozen=True, slots=True)
class PortCount:
    """As the switch counts: rx is what the guest sent."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    lost: int


def keep_port_counts(host: str, counts: Mapping[str, PortCount]) -> None:
    """What a host's ports counted, by their uuid; forgotten when nobody tells it for a minute."""
    key = PORTS_PREFIX + host
    with connection().pipeline(transaction=True) as pipe:
        pipe.delete(key)
        if counts:
            values: dict[Any, Any] = {
                uuid: json.dumps([one.rx_packets, one.tx_packets, one.rx_bytes, one.tx_bytes, one.lost])
                for uuid, one in counts.items()
            }
            pipe.hset(key, mapping=values)
            pipe.expire(key, PORTS_EXPIRY_S)
        pipe.execute()


def port_counts() -> dict[tuple[str, str], PortCount]:
    """(host, port's uuid) → what the switch counted."""
    client = connection()
    found: dict[tuple[str, str], PortCount] = {}
    for key in client.scan_iter(match=f"{PORTS_PREFIX}*", count=1000):
        host, rows = key.decode().removeprefix(PORTS_PREFIX), client.hgetall(key)
        found |= {(host, uuid.decode()): PortCount(*json.loads(value)) for uuid, value in rows.items()}  # type: ignore[union-attr]
    return found


def queued_tasks() -> int:
    """How many tasks wait for a worker."""
    waiting: Any = connection().llen("celery")
    return int(waiting)
