"""What many traces have in common, read once: the hosts, and flows' causes in words.

It holds for one generation of the intent, and for `KEPT_S` at most, since a VM's or a group's new name makes none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from portal.hosts.models import Host
from portal.networks.causes import explain_causes
from sdn.model.cookie import Cause
from sdn.model.trace import Intent
from sdn.transport.unixctl import UnixctlClient

KEPT_S = 5.0


class Kept:
    """What is known of one generation, for a while; of an older one nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._generation, self._until = -1, 0.0
        self._causes: dict[Cause, Intent] = {}
        self._hosts: tuple[Host, ...] | None = None
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
                self._causes, self._hosts = {}, None
            return self._causes
