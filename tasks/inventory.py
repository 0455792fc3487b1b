"""What is on the hosts, into `HostSeen`: Open vSwitch by the controller's OVSDB replicas, foreign domains by the collector.

A row is written only when what is there differs, so that its `changed_at` says when somebody plugged something.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Q

from portal.compute.models import VM
from portal.hosts.models import Host
from portal.topology.models import HostSeen
from sdn.model.switch import SwitchSeen, switch_to_json
from tasks.hypervisor.driver import DomainState, HypervisorError
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.rows import in_rows

if TYPE_CHECKING:
    from sdn.controller import Controller

log = logging.getLogger("hopsight.inventory")
LOOK_EVERY_S = 0.5
WRITE_AGAIN_S = 60.0  # a row that somebody threw away comes back


async def keep_switches(controller: Controller) -> None:
    """Write what the hosts' OVSDBs tell until cancelled."""
    written: dict[str, tuple[float, SwitchSeen]] = {}
    loop = asyncio.get_running_loop()
    while True:
        try:
            for name, seen in (await controller.switches_seen()).items():
                at, before = written.get(name, (0.0, None))
                if seen != before or loop.time() - at > WRITE_AGAIN_S:
                    await in_rows(record_switch, name, seen)
                    written[name] = (loop.time(), seen)
        except DatabaseError as problem:
            log.warning("switches not written problem=%s", problem)
        except Exception:  # the process's edge: a map that is late must not end the network's keeper
            log.exception("switches not looked at")
        await asyncio.sleep(LOOK_EVERY_S)


def record_switch(host_name: str, seen: SwitchSeen) -> None:
    """Keep what a host's Open vSwitch has; a host that is gone meanwhile is passed over."""
    fresh = switch_to_json(seen)
    host = Host.objects.filter(name=host_name).first()
    if host is None:
        return
    row, made = HostSeen.objects.get_or_create(host=host, defaults={"switch": fresh})
    if not made and row.switch != _as_read(fresh):
        row.switch = fresh
        row.save(update_fields=["switch", "changed_at"])


def record_foreign_domains(host: Host, hypervisor: object, states: Mapping[str, DomainState]) -> None:
    """Keep the host's domains that are no VM of ours."""
    ours = {vm.domain for vm in VM.objects.filter(Q(host=host) | Q(uuid__in=_uuids_in(states))).only("uuid")}
    names = sorted(set(states) - ours)
    row = HostSeen.objects.filter(host=host).first()
    before = row.foreign_domains if row else []
    if [(one["name"], one["state"]) for one in before] == [(name, states[name].value) for name in names]:
        return
    uuids = _domain_uuids(hypervisor) if names else {}
    fresh = [{"name": name, "uuid": uuids.get(name, ""), "state": states[name].value} for name in names]
    row, made = HostSeen.objects.get_or_create(host=host, defaults={"foreign_domains": fresh})
    if not made:
        row.foreign_domains = fresh
        row.save(update_fields=["foreign_domains", "changed_at"])


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
