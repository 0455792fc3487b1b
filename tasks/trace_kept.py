"""What many traces have in common, read once: the hosts, the ports' intent, and flows' causes in words.

It holds for one generation of the intent, and for `KEPT_S` at most, since a VM's or a group's new name makes none. What is
observed of a port (`OBSERVED`) makes no generation either and decides the path: it is read anew for each trace.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterable

from portal.config.kept_query import KeptQuery
from portal.hosts.models import Host
from portal.networks.causes import explain_causes
from portal.networks.models import Port
from sdn.model.cookie import Cause
from sdn.model.trace import Intent
from sdn.transport.unixctl import UnixctlClient
from tasks.trace_rows import read_ports

KEPT_S = 5.0
OBSERVED = ("host_id", "tap", "ofport", "nic_model", "backend", "device_chain")
_SEEN = KeptQuery(lambda *ids: Port.objects.filter(pk__in=ids).order_by().only(*OBSERVED))


class Kept:
    """What is known of one generation, for a while; of an older one nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._generation, self._until = -1, 0.0
        self._causes: dict[Cause, Intent] = {}
        self._hosts: tuple[Host, ...] | None = None
        self._ports: dict[int, Port] = {}
        self._lines = threading.local()

    def lines(self) -> dict[str, UnixctlClient]:
        """This thread's open connections to the hosts' switches."""
        found: dict[str, UnixctlClient] | None = getattr(self._lines, "by_host", None)
        if found is None:
            found = self._lines.by_host = {}
        return found

    def hosts(self, generation: int) -> tuple[Host, ...]:
        """Every host, by id."""
        self._turn(generation)
        found = self._hosts
        if found is None:
            self._hosts = found = tuple(Host.objects.order_by("id"))
        return found

    def ports(self, generation: int, ids: Iterable[int]) -> dict[int, Port]:
        """Those of the ports that are there, by id: intended as in the generation, and plugged in where they are now."""
        self._turn(generation)
        known, wanted = self._ports, set(ids)
        missing = wanted - known.keys()
        if missing:
            known.update((port.pk, port) for port in read_ports().filter(id__in=missing).order_by())
        again = wanted - missing
        now = {row.pk: self._plugged(known[row.pk], row, generation) for row in (_SEEN(*again) if again else ())}
        return now | {pk: known[pk] for pk in missing if pk in known}

    def _plugged(self, port: Port, seen: Port, generation: int) -> Port:
        """A port of its own for the asker, with what was observed of it now."""
        now = copy.copy(port)
        for name in OBSERVED:
            setattr(now, name, getattr(seen, name))
        if now.host_id != port.host_id:
            now.host = {host.pk: host for host in self.hosts(generation)}.get(now.host_id or 0) or now.host
        return now

    def explain(self, generation: int, causes: Iterable[Cause]) -> dict[Cause, Intent]:
        """Each cause in words."""
        known, wanted = self._turn(generation), set(causes)
        if missing := wanted - known.keys():
            known.update(explain_causes(missing))
        return {cause: known[cause] for cause in wanted}

    def _turn(self, generation: int) -> dict[Cause, Intent]:
        with self._lock:
            if generation != self._generation or self._clock() > self._until:
                self._generation, self._until = generation, self._clock() + KEPT_S
                self._causes, self._ports, self._hosts = {}, {}, None
            return self._causes
