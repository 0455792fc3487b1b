"""Looks at every host, again and again, some at once: what the collector's smaller readers have in common.

A look costs the database one query for all hosts, however many there are: what is seen now is compared in memory with what was
seen last. A host's own rows are asked for where the two differ, or where its `HostSeen` was written since: by us, by another
process, or by somebody who threw it away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from portal.hosts.models import Host
from tasks.rows import in_rows

log = logging.getLogger("hopsight.looks")
EVERY_S = 5.0
Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A host, its Open vSwitch's folder, and when its `HostSeen` was changed: None where it has none."""

    pk: int
    rundir: Path
    changed_at: datetime | None


class Reader(Protocol[Seen]):
    """What looks at one host and keeps what it saw."""

    def prepare(self, hosts: Sequence[LookedAt]) -> None:
        """Ask the rows what `read` has to know, for all hosts at once; where nothing changed no query is made."""

    def read(self, host: LookedAt) -> Seen:
        """What is there now; in a thread, and of no rows."""

    def record(self, host_id: int, seen: Seen) -> None:
        """Keep it in the host's row."""


@dataclass(slots=True)
class HostLooks(Generic[Seen]):
    """One reader's looks, and what they saw last."""

    reader: Reader[Seen]
    at_once: int
    _last: dict[int, tuple[datetime | None, Seen]] = field(default_factory=dict)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:  # the process's edge: the next look tries again
                log.exception("hosts not looked at by=%s", type(self.reader).__name__)
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Look at every host once; one host's trouble ends nobody's look."""
        gate = asyncio.Semaphore(self.at_once)
        hosts = await in_rows(self._hosts)
        for gone in self._last.keys() - {host.pk for host in hosts}:
            del self._last[gone]
        await asyncio.gather(*(self._one(gate, host) for host in hosts))

    def _hosts(self) -> list[LookedAt]:
        rows = Host.objects.order_by("pk").values_list("pk", "ovs_rundir", "seen__changed_at")
        hosts = [LookedAt(pk, Path(rundir), changed_at) for pk, rundir, changed_at in rows]
        self.reader.prepare(hosts)
        return hosts

    async def _one(self, gate: asyncio.Semaphore, host: LookedAt) -> None:
        async with gate:
            try:
                seen = await asyncio.to_thread(self.reader.read, host)
                if self._last.get(host.pk) != (host.changed_at, seen):
                    await in_rows(self.reader.record, host.pk, seen)
                    self._last[host.pk] = (host.changed_at, seen)
            except Exception:  # one host's edge
                log.exception("host not looked at by=%s host=%s", type(self.reader).__name__, host.pk)
