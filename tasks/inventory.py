"""What is on the hosts, into `HostSeen`: Open vSwitch, by the controller's OVSDB replicas (domains: tasks.foreign_domains).

A row is written only when what is there differs, so that its `changed_at` says when somebody plugged something; what changed
is kept beside it (tasks.topology_history).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from django.db import DatabaseError, transaction

from portal.hosts.models import Host
from portal.networks.models import Port
from portal.topology.models import HostSeen
from portal.topology.topology_objects import diff_switches, read_switch
from sdn.model.device import chain_from_json, chain_to_json
from sdn.model.switch import InterfaceSeen, SwitchSeen, switch_to_json
from tasks.rows import in_rows
from tasks.topology_history import note_away, note_still, note_switch, now_ms

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
                    await in_rows(note_links, name, seen)
                    await in_rows(record_switch, name, seen, before is None)  # maps are made anew when this row changes
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


def note_links(host_name: str, seen: SwitchSeen) -> None:
    """Keep with each port of ours what the switch says of its tap's link: a trace goes by it. One query where nothing differs."""
    told = {
        one.iface_id: one
        for bridge in seen.bridges
        for port in bridge.ports
        for one in port.interfaces
        if one.iface_id and one.ofport and one.link
    }
    if not told or not seen.is_told:
        return
    rows = Port.objects.filter(host__name=host_name).exclude(tap="").values_list("pk", "uuid", "device_chain")
    other = [pk for pk, uuid, chain in rows if _differs(chain, told.get(str(uuid)))]
    if not other:
        return
    with transaction.atomic():
        for row in Port.objects.select_for_update().filter(pk__in=other).order_by("pk"):
            one = told[str(row.uuid)]
            if _differs(row.device_chain, one):
                chain = replace(chain_from_json(row.device_chain), tap_link=one.link, tap_mtu=one.mtu, seen_at=now_ms().isoformat())  # fmt: skip
                Port.objects.filter(pk=row.pk).update(device_chain=chain_to_json(chain))


def _differs(chain: object, one: InterfaceSeen | None) -> bool:
    """Was the port's tap read at the start of its guest, and is its link or its MTU another now?"""
    known = chain_from_json(chain)
    return one is not None and known.tap == one.name and (known.tap_link, known.tap_mtu) != (one.link, one.mtu)


def _as_read(value: object) -> object:
    """As JSON gives it back: lists for tuples."""
    if isinstance(value, dict):
        return {key: _as_read(item) for key, item in value.items()}
    return [_as_read(item) for item in value] if isinstance(value, (list, tuple)) else value
