"""A look at every host, again and again, some at once: what the collector's smaller readers have in common."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from portal.hosts.models import Host
from tasks.rows import in_rows

log = logging.getLogger("hopsight.looks")
EVERY_S = 5.0


async def look_at_hosts(look: Callable[[int, Path], Awaitable[None]], at_once: int) -> None:
    """Call `look` with each host's key and its Open vSwitch's folder until cancelled; one host's trouble ends nobody's look."""
    gate = asyncio.Semaphore(at_once)

    async def one(host_id: int, rundir: Path) -> None:
        async with gate:
            await look(host_id, rundir)

    while True:
        try:
            hosts = await in_rows(lambda: list(Host.objects.values_list("pk", "ovs_rundir")))
            await asyncio.gather(*(one(pk, Path(rundir)) for pk, rundir in hosts))
        except Exception:  # the process's edge: the next look tries again
            log.exception("hosts not looked at by=%s", look.__module__)
        await asyncio.sleep(EVERY_S)
