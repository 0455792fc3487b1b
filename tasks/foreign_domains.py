"""The domains of hosts that no row explains, into `HostSeen` (Open vSwitch: tasks.inventory); the collector's."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from portal.compute.models import VM
from portal.hosts.models import Host
from portal.topology.models import HostSeen, TopologyChange
from portal.topology.topology_objects import diff_objects, domain_objects
from tasks.hypervisor.driver import COPIES, DomainState, HypervisorError
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.topology_history import note_changes, now_ms

log = logging.getLogger("hopsight.inventory")


def record_foreign_domains(host: Host, hypervisor: object, states: Mapping[str, DomainState]) -> None:
    """Keep the host's domains that are no VM of ours, and what changed of them."""
    ours = {vm.domain for vm in VM.objects.filter(Q(host=host) | Q(uuid__in=_uuids_in(states))).only("uuid", "adopted")}
    names = sorted(name for name in set(states) - ours if not name.startswith(COPIES))
    row = HostSeen.objects.filter(host=host).first()
    before = row.foreign_domains if row else []
    if [(one["name"], one["state"]) for one in before] == [(name, states[name].value) for name in names]:
        return
    uuids = _domain_uuids(hypervisor) if names else {}
    fresh = [{"name": name, "uuid": uuids.get(name, ""), "state": states[name].value} for name in names]
    with transaction.atomic():
        row, _ = HostSeen.objects.get_or_create(host=host)
        row.foreign_domains = fresh
        row.save(update_fields=["foreign_domains", "changed_at"])
        if row.known_from:
            changes = diff_objects(domain_objects(before), domain_objects(fresh))
            note_changes(row, changes, TopologyChange.Kind.CHANGED, now_ms())


def _uuids_in(names: Iterable[str]) -> list[UUID]:
    """The uuids that names of our domains hold: a VM that is migrated has a domain where its row does not say yet."""
    found = []
    for name in names:
        with suppress(ValueError):
            found.append(UUID(name.removeprefix("hs-")))
    return found


def _domain_uuids(hypervisor: object) -> dict[str, str]:
    """Name → uuid of the host's domains: what joins a domain with its taps in OVSDB."""
    if not isinstance(hypervisor, LibvirtHypervisor):
        return {}
    try:
        return hypervisor.call(
            "list the domains' uuids",
            lambda connection: {str(one.name()): str(one.UUIDString()) for one in connection.listAllDomains()},
        )
    except HypervisorError as problem:
        log.warning("foreign domains without uuids problem=%s", problem)
        return {}
