"""Django's cache in the Redis that the live events use, so that what is counted is counted for all processes together.

The address is asked for at each use (tests start a Redis of their own). While there is no Redis each process remembers for
itself, so that failed log-ins are still limited. `clear` forgets what is ours alone: the broker's queues are in the same Redis.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import redis
from django.conf import settings
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

from portal.config.answering import heeded

log = logging.getLogger("hopsight.cache")


class SharedCache(RedisCache):
    """Redis at `settings.REDIS_URL`."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._asked_of = server
        self.alone = LocMemCache("without-redis", {})

    def follow_settings(self) -> None:
        """Speak to the Redis that the settings name now."""
        if self._asked_of != settings.REDIS_URL:
            self._asked_of = settings.REDIS_URL
            self._servers = [settings.REDIS_URL]
            self.__dict__.pop("_cache", None)

    def clear(self) -> None:
        """Forget what has our prefix."""
        connection = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2)
        for key in connection.scan_iter(f"{self.key_prefix}:*"):
            connection.delete(key)


def _or_alone(name: str) -> Callable[..., Any]:
    inner = getattr(SharedCache, name)

    @wraps(inner)
    def method(self: SharedCache, *args: Any, **kwargs: Any) -> Any:
        self.follow_settings()
        try:
            return heeded(lambda: inner(self, *args, **kwargs))
        except redis.RedisError as problem:
            log.warning("cache not reached problem=%s", problem)
            return getattr(self.alone, name)(*args, **kwargs)

    return method


for _name in ("get", "add", "set", "incr", "delete", "clear"):
    setattr(SharedCache, _name, _or_alone(_name))
