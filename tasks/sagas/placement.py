"""Choosing a host: fresh, enabled, with memory left; the least used of them, so that VMs spread."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Sum
from django.utils import timezone

from portal.compute.models import VM
from portal.hosts.models import Host
from tasks.sagas.engine import StageError

FRESH_S = 15.0


@dataclass(frozen=True, slots=True)
class Choice:
    host: Host
    fitting: int
    all: int


def choose_host(ram_mib: int) -> Choice:
    """The host for a VM of that size. Runs in the caller's transaction, and holds the hosts' rows until it commits.
    Raises StageError that names every host and why it does not fit."""
    hosts = list(Host.objects.select_for_update().order_by("id"))
    used = {
        row["host"]: (row["ram"] or 0, row["vms"])
        for row in VM.objects.filter(host__isnull=False).values("host").annotate(ram=Sum("ram_mib"), vms=Count("id"))
    }
    fitting: list[tuple[tuple[float, int, int], Host]] = []
    refused: list[str] = []
    for host in hosts:
        ram_used, vms = used.get(host.id, (0, 0))
        reason = _refusal(host, ram_mib, ram_used)
        if reason:
            refused.append(f"{host.name} {reason}")
        else:
            fitting.append(((ram_used / host.ram_mib, vms, host.id), host))
    if not fitting:
        raise StageError("no host can take it: " + ("; ".join(refused) or "there is no host yet"))
    return Choice(min(fitting, key=lambda entry: entry[0])[1], len(fitting), len(hosts))


def _refusal(host: Host, ram_mib: int, ram_used: int) -> str:
    if not host.enabled:
        return "takes no new VMs (an operator disabled it)"
    oldest = timezone.now() - timedelta(seconds=FRESH_S)
    if host.libvirt_seen_at is None or host.libvirt_seen_at < oldest:
        return f"is down ({host.libvirt_error or 'its libvirt was not seen lately'})"
    left = host.ram_mib - ram_used
    if left < ram_mib:
        return f"has {max(left, 0)} MiB memory left of {host.ram_mib}, {ram_mib} MiB are needed"
    return ""
