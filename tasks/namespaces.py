"""The hosts' network namespaces, into `HostSeen` and the topology's history: the collector's, beside its looks at libvirt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from portal.topology.models import HostSeen
from portal.topology.namespaces import namespace_objects, namespaces_from_json, namespaces_to_json
from portal.topology.topology_objects import read_switch
from sdn.linux.namespaces import NamespacesSeen
from sdn.transport.host_namespaces import UNREAD, read_namespaces
from tasks.host_looks import HostLooks, LookedAt
from tasks.topology_history import note_seen

HOSTS_AT_ONCE = 4
SWITCHES_AT_ONCE = 100  # rows that are in memory together: a full host's switch is some 100 kB of JSON


async def keep_namespaces() -> None:
    """Look until cancelled."""
    await HostLooks(NamespaceReader(), HOSTS_AT_ONCE).run()


class NamespaceReader:
    """Reads hosts' namespaces. What their switches' rows say is kept until a row changes."""

    def __init__(self) -> None:
        self._ports: dict[int, tuple[datetime | None, frozenset[str]]] = {}

    def prepare(self, hosts: Sequence[LookedAt]) -> None:
        """The internal ports of the switches whose rows changed since."""
        before, self._ports = self._ports, {}
        changed = {}
        for host in hosts:
            known = before.get(host.pk, (None, frozenset[str]()))
            if host.changed_at == known[0]:
                self._ports[host.pk] = known
            elif host.changed_at is not None:
                changed[host.pk] = host.changed_at
        if changed:
            rows = HostSeen.objects.filter(host__in=changed).values_list("host", "switch")
            for host_id, told in rows.iterator(SWITCHES_AT_ONCE):
                self._ports[host_id] = (changed[host_id], internal_ports(told))

    def read(self, host: LookedAt) -> NamespacesSeen:
        """The host's namespaces now."""
        return read_namespaces(host.rundir, self._ports.get(host.pk, (None, frozenset[str]()))[1])

    def record(self, host_id: int, seen: NamespacesSeen) -> None:
        """Keep them."""
        record_namespaces(host_id, seen)


def internal_ports(told: Mapping[str, Any] | None) -> frozenset[str]:
    """The internal ports of a switch, as its row has it, that may have been moved into a namespace: a bridge's own stays where it is."""
    switch = read_switch(told)
    bridges = switch.bridges if switch else ()
    interfaces = (one for bridge in bridges for port in bridge.ports for one in port.interfaces)
    own = {bridge.name for bridge in bridges}
    return frozenset(one.name for one in interfaces if one.type == "internal" and one.name not in own)


def record_namespaces(host_id: int, seen: NamespacesSeen) -> None:
    """Keep what was read, and what changed; a host that is gone meanwhile is passed over. Where nothing could be read the
    namespaces stay as they were last seen, with the reason beside them: they are not known to be gone."""

    def after(before: Mapping[str, Any] | None) -> dict[str, Any]:
        stays = before is not None and seen.state == UNREAD
        return namespaces_to_json(replace(seen, namespaces=namespaces_from_json(before).namespaces) if stays else seen)

    note_seen(host_id, "namespaces", after, namespace_objects)
