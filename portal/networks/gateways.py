"""Which host leads a router outside. The choice is a pure function; the row keeps it, so that it moves only when it must.

A router's gateway host is chosen by rendezvous hashing (each router ranks the hosts by a hash of both names), so routers
spread evenly and a lost host's routers spread over those left. It stays where it is, also when a lost host comes back,
until its own host is lost or disabled: each move ends the connections that were translated there, for their state is in
that host's conntrack. New connections work as soon as the new host has announced the addresses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from portal.hosts.models import Host
from portal.networks.intent import NO_PORT, bump_generation
from portal.networks.models import Router

# Counted from when the connection ended. A switch that restarts, or that a fault of 10 s cuts off from us and whose
# packets flow on, is back before: it took 6 s to be missed, and may take 8 s to try again.
LOST_AFTER = timedelta(seconds=14)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host as the choice sees it. `error` is what its switch's connection last ended with, "" while it stands."""

    id: int
    name: str
    enabled: bool
    error: str
    seen_at: datetime | None


def is_lost(host: Candidate, now: datetime) -> bool:
    """Disabled, or its switch was away too long."""
    if not host.enabled:
        return True
    return bool(host.error) and (host.seen_at is None or now - host.seen_at > LOST_AFTER)


def choose_gateway(router: str, current: int | None, hosts: Sequence[Candidate], now: datetime) -> int | None:
    """The id of the host that should lead the router outside; None when there is none."""
    fit = [host for host in hosts if not is_lost(host, now)]
    if any(host.id == current for host in fit):
        return current
    seen = [host for host in fit if host.seen_at is not None] or fit
    best = max(seen, key=lambda host: (_rank(router, host.name), host.name), default=None)
    return best.id if best is not None else None


def assign_gateway(router: Router) -> None:
    """Choose for a router that is being changed; the caller saves it."""
    router.gateway_host_id = choose_gateway(str(router.uuid), router.gateway_host_id, _candidates(), timezone.now())


def reassign_gateways() -> list[Router]:
    """Move the routers whose host is lost; those that moved. Cheap when there is nothing to do."""
    hosts, now = _candidates(), timezone.now()
    moved = [
        router
        for router in Router.objects.filter(external__isnull=False)
        if choose_gateway(str(router.uuid), router.gateway_host_id, hosts, now) != router.gateway_host_id
    ]
    if moved:
        with transaction.atomic():
            bump_generation(NO_PORT)
            for router in moved:
                assign_gateway(router)
                router.save(update_fields=["gateway_host"])
    return moved


def _candidates() -> list[Candidate]:
    rows = Host.objects.order_by("id").values_list("id", "name", "enabled", "ovs_error", "ovs_seen_at")
    return [Candidate(*row) for row in rows]


def _rank(router: str, host: str) -> bytes:
    return hashlib.sha256(f"{router} {host}".encode()).digest()
