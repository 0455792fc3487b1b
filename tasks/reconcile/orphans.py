"""Orphans: domains of ours (`hs-<uuid>`) whose VM has no row and whose operations have all ended.

A domain with no operation of ours in the books is foreign to this database and is left alone.
"""

from __future__ import annotations

import logging
from uuid import UUID

from portal.compute.models import VM
from portal.hosts.models import Host
from portal.networks.models import Port
from portal.operations.models import UNFINISHED, Operation
from sdn.model.plug import bridge_name
from tasks.hypervisor.disks import files_of, remove_file
from tasks.hypervisor.driver import Hypervisor, HypervisorError
from tasks.hypervisor.registry import hypervisor_of
from tasks.sagas.engine import Hypervisors

log = logging.getLogger("hopsight.orphans")
PREFIX = "hs-"


def remove_all_orphans(hypervisors: Hypervisors = hypervisor_of) -> list[str]:
    """The names of the domains that were removed; hosts that do not answer are left for the next time."""
    removed: list[str] = []
    for host in Host.objects.all():
        try:
            removed.extend(remove_orphans(host, hypervisors))
        except (HypervisorError, OSError) as problem:
            log.warning("not looked at host=%s problem=%s", host.name, problem)
    return removed


def remove_orphans(host: Host, hypervisors: Hypervisors = hypervisor_of) -> list[str]:
    """The names of the domains that were removed from one host."""
    hypervisor = hypervisors(host)
    removed = []
    for name in hypervisor.states():
        uuid = _uuid_in(name)
        if uuid is None or not _is_orphan(uuid):
            continue
        hypervisor.destroy(name)
        hypervisor.undefine(name)
        for path in files_of(host.disks_dir, uuid).all():
            remove_file(path)
        log.warning("orphan removed host=%s domain=%s", host.name, name)
        removed.append(name)
    return [*removed, *remove_bridges(host, hypervisor)]


def remove_bridges(host: Host, hypervisor: Hypervisor) -> list[str]:
    """The Linux bridges that were removed: no row has their port, and no running domain uses them."""
    removed = []
    for port in hypervisor.idle_bridges():
        if not Port.objects.filter(uuid=port).exists():
            hypervisor.remove_bridge(port)
            log.warning("orphan removed host=%s bridge=%s", host.name, bridge_name(port))
            removed.append(bridge_name(port))
    return removed


def _uuid_in(name: str) -> UUID | None:
    try:
        return UUID(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
    except ValueError:
        return None


def _is_orphan(uuid: UUID) -> bool:
    known = Operation.objects.filter(object_uuid=uuid)
    return (
        known.exists() and not known.filter(state__in=UNFINISHED).exists() and not VM.objects.filter(uuid=uuid).exists()
    )
