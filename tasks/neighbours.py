"""What the hosts' lldpd hear, into `HostSeen` and the topology's history: the collector's, beside its looks at libvirt."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from django.db import transaction

from portal.hosts.models import Host
from portal.topology.models import HostSeen, TopologyChange
from portal.topology.neighbours import lldp_to_json, neighbour_objects
from portal.topology.topology_objects import diff_objects
from sdn.transport.lldpd import LldpSeen, read_lldp
from tasks.rows import in_rows
from tasks.topology_history import note_changes, now_ms

log = logging.getLogger("hopsight.neighbours")
EVERY_S = 5.0
HOSTS_AT_ONCE = 8


async def keep_neighbours() -> None:
    """Look until cancelled; one host's trouble ends nobody's look."""
    gate = asyncio.Semaphore(HOSTS_AT_ONCE)
    while True:
        try:
            hosts = await in_rows(lambda: list(Host.objects.values_list("pk", "ovs_rundir")))
            await asyncio.gather(*(_look(gate, pk, Path(rundir)) for pk, rundir in hosts))
        except Exception:  # the process's edge: the next look tries again
            log.exception("neighbours not looked at")
        await asyncio.sleep(EVERY_S)


async def _look(gate: asyncio.Semaphore, host_id: int, rundir: Path) -> None:
    async with gate:
        seen = await asyncio.to_thread(read_lldp, rundir)
        await in_rows(record_lldp, host_id, seen)


def record_lldp(host_id: int, seen: LldpSeen) -> None:
    """Keep what the host's lldpd told, and what changed; a host that is gone meanwhile is passed over."""
    fresh = lldp_to_json(seen)
    row = HostSeen.objects.filter(host=host_id).only("lldp").first()
    if row is not None and row.lldp == fresh:
        return
    host = Host.objects.filter(pk=host_id).first()
    if host is None:
        return
    with transaction.atomic():
        row, _ = HostSeen.objects.get_or_create(host=host)
        before, row.lldp = row.lldp, fresh
        row.save(update_fields=["lldp", "changed_at"])
        if row.known_from:
            changes = diff_objects(neighbour_objects(before), neighbour_objects(fresh))
            note_changes(row, changes, TopologyChange.Kind.CHANGED, now_ms())
