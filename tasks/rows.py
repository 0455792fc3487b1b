"""Database work from asyncio: in a thread, on a connection that a dead server does not spoil."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

P = ParamSpec("P")
T = TypeVar("T")


async def in_rows(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The answer of `work`, run in a thread where Django's ORM may be used."""

    def run() -> T:
        close_old_connections()
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    return await asyncio.to_thread(run)
