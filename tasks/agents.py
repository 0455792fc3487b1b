"""Guest agents are asked for their addresses, beside the collector's own looks and never in their way.

Each host has a thread and a libvirt connection of its own for it, so a guest that lets us wait holds up nobody but the
other guests' agents, for `ANSWER_WITHIN_S` once: who did not answer is left alone for a while, each time for longer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from django.db import close_old_connections

from portal.compute.models import VM, VMState
from portal.hosts.models import Host
from portal.networks.hints import agent_said
from portal.networks.models import Port
from tasks.hypervisor.driver import HypervisorError
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.hypervisor.registry import hypervisor_of
from tasks.rows import in_rows

log = logging.getLogger("hopsight.agents")
EVERY_S = 15.0
CALL_WITHIN_S = 4.0  # more than an agent is given, and unlike every other deadline: so the connection is our own
SLOW_S = 1.0
REST_S, MOST_REST_S = 30.0, 900.0
Ask = Callable[[str], Mapping[str, frozenset[str]] | None]


@dataclass(slots=True)
class Patience:
    """Who is not asked for now: a domain whose agent let us wait rests, twice as long each time."""

    clock: Callable[[], float] = time.monotonic
    _rests: dict[str, tuple[float, float]] = field(default_factory=dict)  # domain → until when, how long

    def ask(self, domain: str, ask: Ask) -> Mapping[str, frozenset[str]] | None:
        """What the domain's agent says; None without an answer, and while it rests. Raises HypervisorError."""
        until, rest_s = self._rests.get(domain, (0.0, REST_S / 2))
        began = self.clock()
        if began < until:
            return None
        told = None
        try:
            told = ask(domain)
        finally:
            ended = self.clock()
            if told is None and ended - began > SLOW_S:
                rest_s = min(rest_s * 2, MOST_REST_S)
                self._rests[domain] = (ended + rest_s, rest_s)
            else:
                self._rests.pop(domain, None)
        return told


def ask_agents(host_id: int, patience: Patience) -> int:
    """Note what the agents of a host's running VMs say; how many answered."""
    close_old_connections()
    host = Host.objects.filter(pk=host_id).first()
    hypervisor = hypervisor_of(host, CALL_WITHIN_S) if host else None
    if not isinstance(hypervisor, LibvirtHypervisor):
        return 0
    answered = 0
    for vm in VM.objects.filter(host_id=host_id, state=VMState.RUNNING).only("uuid", "name", "adopted"):
        try:
            told = patience.ask(vm.domain, hypervisor.agent_addresses)
        except HypervisorError as problem:
            log.info("agent not asked domain=%s problem=%s", vm.domain, problem)
            continue
        if told is not None:
            answered += 1
            ports = Port.objects.filter(vm=vm, mac__in=list(told)).values_list("pk", "mac")
            agent_said({pk: told[mac] for pk, mac in ports})
    close_old_connections()
    return answered


async def keep_agents() -> None:
    """Ask until cancelled; a host that takes long is not asked again before it has ended."""
    loop = asyncio.get_running_loop()
    threads: dict[int, tuple[ThreadPoolExecutor, Patience]] = {}
    running: dict[int, asyncio.Future[int]] = {}
    try:
        while True:
            for host_id in await in_rows(lambda: list(Host.objects.values_list("pk", flat=True))):
                if host_id in running and not running[host_id].done():
                    continue
                if host_id in running and (problem := running[host_id].exception()) is not None:
                    log.warning("agents not asked host=%s problem=%r", host_id, problem)
                name = f"agents-{host_id}"
                thread, patience = threads.setdefault(host_id, (ThreadPoolExecutor(1, name), Patience()))
                running[host_id] = loop.run_in_executor(thread, ask_agents, host_id, patience)
            await asyncio.sleep(EVERY_S)
    finally:
        for thread, _ in threads.values():
            thread.shutdown(wait=False, cancel_futures=True)
