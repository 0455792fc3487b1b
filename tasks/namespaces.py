"""The hosts' network namespaces, into `HostSeen` and the topology's history: the collector's, beside its looks at libvirt."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from django.db import transaction

from portal.hosts.models import Host
from portal.topology.models import HostSeen, TopologyChange
from portal.topology.namespaces import namespace_objects, namespaces_from_json, namespaces_to_json
from portal.topology.topology_objects import diff_objects, read_switch
from sdn.linux.namespaces import NamespacesSeen
from sdn.transport.host_namespaces import UNREAD, read_namespaces
from tasks.host_looks import look_at_hosts
from tasks.rows import in_rows
from tasks.topology_history import note_changes, now_ms

HOSTS_AT_ONCE = 4


async def keep_namespaces() -> None:
    """Look until cancelled."""
    await look_at_hosts(_look, HOSTS_AT_ONCE)


async def _look(host_id: int, rundir: Path) -> None:
    ports = await in_rows(internal_ports, host_id)
    seen = await asyncio.to_thread(read_namespaces, rundir, ports)
    await in_rows(record_namespaces, host_id, seen)


def internal_ports(host_id: int) -> frozenset[str]:
    """The internal ports of the host's switch that may have been moved into a namespace: a bridge's own stays where it is."""
    told = HostSeen.objects.filter(host=host_id).values_list("switch", flat=True).first()
    switch = read_switch(told)
    interfaces = (
        one for bridge in (switch.bridges if switch else ()) for port in bridge.ports for one in port.interfaces
    )
    bridges = {bridge.name for bridge in (switch.bridges if switch else ())}
    return frozenset(one.name for one in interfaces if one.type == "internal" and one.name not in bridges)


def record_namespaces(host_id: int, seen: NamespacesSeen) -> None:
    """Keep what was read, and what changed; a host that is gone meanwhile is passed over. Where nothing could be read the
    namespaces stay as they were last seen, with the reason beside them: they are not known to be gone."""
    row = HostSeen.objects.filter(host=host_id).only("namespaces").first()
    if seen.state == UNREAD and row is not None:
        seen = replace(seen, namespaces=namespaces_from_json(row.namespaces).namespaces)
    fresh = namespaces_to_json(seen)
    if row is not None and row.namespaces == fresh:
        return
    host = Host.objects.filter(pk=host_id).first()
    if host is None:
        return
    with transaction.atomic():
        row, _ = HostSeen.objects.get_or_create(host=host)
        before, row.namespaces = row.namespaces, fresh
        row.save(update_fields=["namespaces", "changed_at"])
        if row.known_from and before is not None:
            changes = diff_objects(namespace_objects(before), namespace_objects(fresh))
            note_changes(row, changes, TopologyChange.Kind.CHANGED, now_ms())
