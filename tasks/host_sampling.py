"""Every ten seconds' samples of hosts and their VMs, by what libvirt counts: the collector's."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import defaultdict
from dataclasses import astuple

from django.db import DatabaseError

from portal.compute.models import VM
from portal.history import series
from portal.history.series import SAMPLE_S, Kind
from portal.history.store import write_samples
from portal.hosts.models import Host
from tasks.hypervisor.driver import HypervisorError
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.hypervisor.stats import HostCounts, read_counts
from tasks.rows import in_rows
from tasks.sampling import OLD_S, Rates, Values

log = logging.getLogger("hopsight.history")
GATHER_S = SAMPLE_S / 2  # a step's samples are taken in its first half and written in its second


class HostSampler:
    """Samples of hosts and VMs. Each host's own thread takes them, one task writes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rates = Rates()
        self._steps: dict[int, int] = {}
        self._waiting: dict[Kind, dict[int, Values]] = defaultdict(dict)
        self._use: dict[int, dict[int, Values]] = {}  # host → team → what its VMs there use

    def look(self, host: Host, hypervisor: LibvirtHypervisor) -> None:
        """Take the host's sample, once in each step."""
        step = int(time.time()) // SAMPLE_S
        if self._steps.get(host.pk) == step:
            return
        self._steps[host.pk] = step
        try:
            counts = read_counts(hypervisor)
        except HypervisorError as problem:
            log.warning("not sampled host=%s problem=%s", host.name, problem)
            return
        self.take(host, counts, time.monotonic())

    def take(self, host: Host, counts: HostCounts, at: float) -> None:
        """Keep the sample until it is written."""
        rows = VM.objects.filter(host=host).only("id", "uuid", "adopted", "vcpus", "live_vcpus", "team_id")
        known = {vm.domain: vm for vm in rows}
        with self._lock:
            sent = received = 0.0
            use: dict[int, list[float]] = defaultdict(lambda: [0.0] * len(series.TEAM_VMS.fields))
            for name, domain in counts.domains.items():
                vm = known.get(name)
                grown = self._rates.of(("domain", host.pk, name), at, (domain.cpu_s, *astuple(domain)[2:]))
                cpu, read, written, out, into = grown or (math.nan,) * 5
                sent, received = sent + (out if grown else 0.0), received + (into if grown else 0.0)
                if vm is None:
                    continue
                percent = 100 * cpu / max(1, vm.live_vcpus or vm.vcpus)
                self._waiting[series.VM][vm.pk] = (percent, domain.memory_bytes, read, written, 8 * out, 8 * into)
                line = (cpu, domain.memory_bytes, 1.0, read, written)
                for place, value in enumerate(line):
                    use[vm.team_id][place] += 0.0 if math.isnan(value) else value
            spent = self._rates.of(("host", host.pk), at, (counts.busy_s, counts.all_s))
            share = 100 * spent[0] / spent[1] if spent and spent[1] > 0 else math.nan
            running = float(len(counts.domains))
            self._waiting[series.HOST][host.pk] = (share, counts.memory_bytes, running, 8 * sent, 8 * received)
            self._use[host.pk] = {team: tuple(values) for team, values in use.items()}

    def write(self, at_s: int) -> None:
        """Write what was sampled since the last time as of that second."""
        with self._lock:
            waiting, self._waiting = self._waiting, defaultdict(dict)
            use, self._use = self._use, {}
            self._rates.forget(time.monotonic() - OLD_S)
        for kind, values in waiting.items():
            write_samples(kind, at_s, values)
        teams: dict[int, Values] = {}
        for of_host in use.values():
            for team, line in of_host.items():
                teams[team] = tuple(map(sum, zip(teams.get(team, (0.0,) * len(line)), line, strict=True)))
        write_samples(series.TEAM_VMS, at_s, teams)


async def keep_hosts_sampled(sampler: HostSampler) -> None:
    """Write the samples until cancelled, in the middle of each step."""
    while True:
        now = time.time()
        await asyncio.sleep(SAMPLE_S - (now - GATHER_S) % SAMPLE_S)
        try:
            await in_rows(sampler.write, int(time.time()) // SAMPLE_S * SAMPLE_S)
        except DatabaseError as problem:
            log.warning("samples not written problem=%s", problem)
