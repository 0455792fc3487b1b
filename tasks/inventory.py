"""What is on the hosts, into `HostSeen`: Open vSwitch by the controller's OVSDB replicas, foreign domains by the collector.

A row is written only when what is there differs, so that its `changed_at` says when somebody plugged something; what changed
is kept beside it (tasks.topology_history).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import Q

from portal.compute.models import VM
from portal.hosts.models import Host
from portal.topology.models import HostSeen, TopologyChange
from portal.topology.topology_objects import diff_objects, diff_switches, domain_objects, read_switch
from sdn.model.switch import SwitchSeen, switch_to_json
from tasks.hypervisor.driver import DomainState, HypervisorError
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.rows import in_rows
from tasks.topology_history import note_away, note_changes, note_still, note_switch, now_ms

if TYPE_CHECKING:
    from sdn.controller import Controller

log = logging.getLogger("hopsight.inventory")
LOOK_EVERY_S = 0.5
WRITE_AGAIN_S = 60.0  # a row that somebody threw away comes back
STILL_EVERY_S = 5.0  # how far off the begin of a gap may be


async def keep_switches(controller: Controller) -> None:
    """Write what the hosts' OVSDBs tell until cancelled."""
    written: dict[str, tuple[float, SwitchSeen]] = {}
    still_at = 0.0
    loop = asyncio.get_running_loop()
    while True:
        try:
            switches = await controller.switches_seen()
            if away := written.keys() - switches.keys():
                await in_rows(note_away, away)
                for name in away:
                    del written[name]
            for name, seen in switches.items():
                at, before = written.get(name, (0.0, None))
                if seen != before or loop.time() - at > WRITE_AGAIN_S:
                    await in_rows(record_switch, name, seen, before is None)
                    written[name] = (loop.time(), seen)
            if loop.time() - still_at > STILL_EVERY_S:
                await in_rows(note_still, list(switches))
                still_at = loop.time()
        except DatabaseError as problem:
            log.warning("switches not written problem=%s", problem)
        except Exception:  # the process's edge: a map that is late must not end the network's keeper
            log.exception("switches not looked at")
        await asyncio.sleep(LOOK_EVERY_S)


def record_switch(host_name: str, seen: SwitchSeen, is_first: bool = False) -> None:
    """Keep what a host's Open vSwitch has, and what changed; a host that is gone meanwhile is passed over. `is_first`: what
    was before was written by another process, or before a time in which nobody could tell."""
    host = Host.objects.filter(name=host_name).first()
    if host is None:
        return
    fresh = _as_read(switch_to_json(seen))
    with transaction.atomic():
        row, _ = HostSeen.objects.get_or_create(host=host)
        before = read_switch(row.switch)
        if row.switch != fresh:
            row.switch = fresh
            row.save(update_fields=["switch", "changed_at"])
        note_switch(row, diff_switches(before, seen) if before else None, is_first)


def record_foreign_domains(host: Host, hypervisor: object, states: Mapping[str, DomainState]) -> None:
    """Keep the host's domains that are no VM of ours, and what changed of them."""
    ours = {vm.domain for vm in VM.objects.filter(Q(host=host) | Q(uuid__in=_uuids_in(states))).only("uuid", "adopted")}
    names = sorted(set(states) - ours)
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


def _as_read(value: object) -> object:
    """As JSON gives it back: lists for tuples."""
    if isinstance(value, dict):
        return {key: _as_read(item) for key, item in value.items()}
    return [_as_read(item) for item in value] if isinstance(value, (list, tuple)) else value
