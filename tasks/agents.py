"""Guest agents are asked for their addresses, beside the collector's own looks and never in their way.

Each host has a thread and a libvirt connection of its own for it, so a guest that lets us wait holds up nobody but the
other guests' agents, for `ANSWER_WITHIN_S` once: who did not answer is left alone for a while, each time for longer.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from django.db import DatabaseError

from portal.compute.models import VM, VMState, domain_name
from portal.hosts.models import Host
from portal.networks.hints import agent_said
from portal.networks.models import Port
from tasks.hypervisor.driver import HypervisorError
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.hypervisor.registry import hypervisor_of
from tasks.rows import in_rows

log = logging.getLogger("hopsight.agents")
EVERY_S, WRITE_EVERY_S = 15.0, 1.0
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


@dataclass(slots=True)
class Answers:
    """What agents said, of all hosts, until it is written in one go."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _told: dict[int, Mapping[str, frozenset[str]]] = field(default_factory=dict)  # VM → MAC → addresses

    def take(self, vm_id: int, told: Mapping[str, frozenset[str]]) -> None:
        """Keep what a VM's agent said; a later answer stands for an earlier one."""
        with self._lock:
            self._told[vm_id] = told

    def write(self) -> None:
        """Note it with the ports, by queries that do not grow with the hosts."""
        with self._lock:
            told, self._told = self._told, {}
        if told:
            ports = Port.objects.filter(vm__in=told).values_list("pk", "vm", "mac")
            agent_said({pk: told[vm][mac] for pk, vm, mac in ports if vm is not None and mac in told[vm]})


@dataclass(slots=True)
class _Asked:
    """A host whose agents are asked, in a thread of its own."""

    thread: ThreadPoolExecutor
    patience: Patience = field(default_factory=Patience)
    running: asyncio.Future[int] | None = None


def ask_agents(host: Host, domains: Mapping[str, int], patience: Patience, answers: Answers) -> int:
    """Take what the agents of these domains of a host say, each a VM's; how many answered. Asks no rows."""
    hypervisor = hypervisor_of(host, CALL_WITHIN_S)
    if not isinstance(hypervisor, LibvirtHypervisor):
        return 0
    answered = 0
    for domain, vm_id in domains.items():
        try:
            told = patience.ask(domain, hypervisor.agent_addresses)
        except HypervisorError as problem:
            log.info("agent not asked domain=%s problem=%s", domain, problem)
            continue
        if told is not None:
            answered += 1
            answers.take(vm_id, told)
    return answered


def to_ask() -> list[tuple[Host, dict[str, int]]]:
    """The hosts with running VMs, and those: domain → VM. Two queries, however many hosts there are."""
    domains: dict[int, dict[str, int]] = defaultdict(dict)
    rows = VM.objects.filter(state=VMState.RUNNING, host__isnull=False).values_list("pk", "uuid", "adopted", "host")
    for pk, uuid, adopted, host_id in rows.iterator(1000):
        if host_id is not None:
            domains[host_id][domain_name(uuid, adopted)] = pk
    return [(host, domains[host.pk]) for host in Host.objects.filter(pk__in=domains).order_by("pk")]


async def keep_agents() -> None:
    """Ask until cancelled; a host that takes long is not asked again before it has ended."""
    answers, asked = Answers(), dict[int, _Asked]()
    writer = asyncio.create_task(_keep_written(answers), name="agents-answers")
    try:
        while True:
            try:
                for host, domains in await in_rows(to_ask):
                    _ask_beside(host, domains, asked, answers)
            except DatabaseError as problem:
                log.warning("agents not asked problem=%s", problem)
            await asyncio.sleep(EVERY_S)
    finally:
        writer.cancel()
        for one in asked.values():
            one.thread.shutdown(wait=False, cancel_futures=True)


def _ask_beside(host: Host, domains: Mapping[str, int], asked: dict[int, _Asked], answers: Answers) -> None:
    if host.pk not in asked:
        asked[host.pk] = _Asked(ThreadPoolExecutor(1, f"agents-{host.pk}"))
    one = asked[host.pk]
    if one.running is not None and not one.running.done():
        return
    if one.running is not None and (problem := one.running.exception()) is not None:
        log.warning("agents not asked host=%s problem=%r", host.pk, problem)
    loop = asyncio.get_running_loop()
    one.running = loop.run_in_executor(one.thread, ask_agents, host, domains, one.patience, answers)


async def _keep_written(answers: Answers) -> None:
    while True:
        await asyncio.sleep(WRITE_EVERY_S)
        try:
            await in_rows(answers.write)
        except DatabaseError as problem:  # what was lost is told again at the next round
            log.warning("agents' answers not written problem=%s", problem)
