"""What a host's libvirt counts of its domains and of itself, in two calls, none of which waits for a domain's lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import libvirt

from tasks.hypervisor.libvirt_driver import LibvirtHypervisor

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class DomainCounts:
    """One running domain. What it sent and received is from the guest's side, as libvirt tells it of a tap."""

    cpu_s: float
    memory_bytes: int
    disk_read_bytes: int
    disk_write_bytes: int
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class HostCounts:
    """The host itself, and its running domains by name. `busy_s` of `all_s` processor seconds were not idle."""

    busy_s: float
    all_s: float
    memory_bytes: int
    domains: Mapping[str, DomainCounts]


def read_counts(hypervisor: LibvirtHypervisor) -> HostCounts:
    """What the host counts now. Raises HypervisorError."""
    return hypervisor.call("read what it counts", _read)


def _read(connection: Any) -> HostCounts:
    wanted = (
        libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
        | libvirt.VIR_DOMAIN_STATS_BALLOON
        | libvirt.VIR_DOMAIN_STATS_BLOCK
        | libvirt.VIR_DOMAIN_STATS_INTERFACE
    )
    flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
    domains = {str(domain.name()): parse_domain(facts) for domain, facts in connection.getAllDomainStats(wanted, flags)}
    cpu = connection.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS)
    memory = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
    spent = {name: value / NS for name, value in cpu.items()}
    free_kib = sum(memory.get(name, 0) for name in ("free", "buffers", "cached"))
    return HostCounts(
        busy_s=sum(spent.get(name, 0.0) for name in ("kernel", "user", "intr")),
        all_s=sum(spent.get(name, 0.0) for name in ("kernel", "user", "idle", "iowait", "intr")),
        memory_bytes=max(0, memory.get("total", 0) - free_kib) * 1024,
        domains=domains,
    )


def parse_domain(facts: Mapping[str, Any]) -> DomainCounts:
    """The sums over a domain's disks and NICs of what `virsh domstats` lists."""

    def total(kind: str, name: str) -> int:
        return sum(int(facts.get(f"{kind}.{number}.{name}", 0)) for number in range(int(facts.get(f"{kind}.count", 0))))

    return DomainCounts(
        cpu_s=facts.get("cpu.time", 0) / NS,
        memory_bytes=int(facts.get("balloon.rss", facts.get("balloon.current", 0))) * 1024,
        disk_read_bytes=total("block", "rd.bytes"),
        disk_write_bytes=total("block", "wr.bytes"),
        sent_bytes=total("net", "tx.bytes"),
        received_bytes=total("net", "rx.bytes"),
    )
