"""What the controller saw, into rows and events. A database that is away is tried again at the next look."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import redis
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from portal.accounts.audit import record
from portal.checks.models import PathCheck
from portal.compute.models import VM
from portal.hosts.models import Host
from portal.hosts.removed import FLOWS_REMOVED
from portal.live.publishers import vm_changed
from portal.live.transient import Change, TransientWriter
from portal.networks.intent import bump_generation, only_ports
from portal.networks.models import Port
from portal.topology.bridges import bridges_topic
from sdn.model.addresses import HostName, IfaceId
from sdn.transport.ovsdb import BRIDGE
from tasks.host_events import host_changed
from tasks.rows import in_rows

log = logging.getLogger("hopsight.controller")


class RowObserver:
    """The controller's observer that writes rows."""

    async def host_connected(self, host: HostName, dpid: int, ovs_version: str) -> None:
        fresh = {"dpid": f"{dpid:016x}", "ovs_version": ovs_version, "ovs_error": "", "ovs_seen_at": timezone.now()}
        await _try(lambda: _update_host(host, fresh))

    async def meters_seen(self, host: HostName, has_meters: bool) -> None:
        await _try(lambda: _keep_meters(host, has_meters))

    async def host_lost(self, host: HostName, reason: str) -> None:
        await _try(lambda: _lose_host(host, reason[:300]))

    async def bridges_seen(self, host: HostName, bridges: tuple[str, ...]) -> None:
        await asyncio.to_thread(_tell_bridges, host, bridges)

    async def flows_removed(self, host: HostName, count: int, lines: tuple[str, ...]) -> None:
        await _try(lambda: _note_removed(host, count, lines))

    async def ports_wired(
        self, host: HostName, generation: int, ofports: Mapping[IfaceId, int], interface_names: Mapping[IfaceId, str]
    ) -> None:
        await in_rows(_wire_ports, host, generation, ofports, interface_names)

    async def ssh_answered(self, iface_id: IfaceId) -> None:
        await _try(lambda: _ssh_answered(iface_id))


def _note_removed(name: str, count: int, lines: tuple[str, ...]) -> None:
    host = Host.objects.filter(name=name).first()
    if host is not None:
        what = ("host", str(host.uuid), host.name)
        record(FLOWS_REMOVED, None, None, what, before={"count": count, "flows": list(lines)})


def _tell_bridges(host: str, bridges: tuple[str, ...]) -> None:
    writer = TransientWriter(bridges_topic(host))
    try:
        writer.load()
        gone = [Change("bridge.deleted", name, None) for name in writer.state if name not in bridges]
        writer.write([*gone, *(Change("bridge.changed", name, {"foreign": name != BRIDGE}) for name in bridges)])
    except redis.RedisError as problem:
        log.warning("bridges not told host=%s problem=%s", host, problem)


async def _try(work: Callable[[], None]) -> None:
    try:
        await in_rows(work)
    except DatabaseError as problem:
        log.warning("rows not written problem=%s", problem)


def _keep_meters(host: str, has_meters: bool) -> None:
    if not Host.objects.filter(name=host, has_meters=has_meters).exists():
        _update_host(host, {"has_meters": has_meters})


def _lose_host(host: str, reason: str) -> None:
    """A host that was fine until now was seen now: whoever counts how long it is away counts from here."""
    fine = Host.objects.filter(name=host, ovs_error="", ovs_seen_at__isnull=False).exists()
    _update_host(host, {"ovs_error": reason, **({"ovs_seen_at": timezone.now()} if fine else {})})


def _update_host(host: str, fresh: Mapping[str, object]) -> None:
    with transaction.atomic():
        if Host.objects.filter(name=host).update(**fresh):
            host_changed(Host.objects.get(name=host))


def _wire_ports(host: str, generation: int, ofports: Mapping[IfaceId, int], names: Mapping[IfaceId, str]) -> None:
    now = timezone.now()
    with transaction.atomic():
        if moved_ids := _moved(host, ofports):
            bump_generation(only_ports(moved_ids))
        mine = Q(host=None) | Q(host__name=host)  # a guest that is migrated has a tap on two hosts; its port is on one
        rows = Port.objects.select_for_update(of=("self",)).filter(mine, uuid__in=list(ofports))
        ports = list(rows.select_related("vm__team"))
        for port in ports:
            key = IfaceId(str(port.uuid))
            moved = (port.ofport, port.tap) != (ofports[key], names.get(key, ""))
            fresh = port.wired_at is None or moved
            port.ofport, port.tap, port.wired_generation = ofports[key], names.get(key, ""), generation
            port.wired_at = now if fresh else port.wired_at
            if fresh:
                port.save(update_fields=["ofport", "tap", "wired_generation", "wired_at"])
                if port.vm:
                    vm_changed(port.vm)
        gone = Port.objects.filter(host__name=host, wired_at__isnull=False).exclude(uuid__in=list(ofports))
        gone.update(ofport=None, tap="", wired_at=None, wired_generation=None)


def _moved(host: str, ofports: Mapping[IfaceId, int]) -> set[int]:
    """The ports of which the switch alone makes a new generation, so that what was asked of the old one is asked again: those
    that were put back under another number and, of those that a path check starts or ends at, those that came or went."""
    mine = Q(host=None) | Q(host__name=host)
    rows = Port.objects.filter(mine, uuid__in=list(ofports)).values_list("pk", "uuid", "ofport")
    before = {pk: (ofport, ofports[IfaceId(str(uuid))]) for pk, uuid, ofport in rows}
    gone = Port.objects.filter(host__name=host, wired_at__isnull=False).exclude(uuid__in=list(ofports))
    came_or_went = {pk for pk, (was, _) in before.items() if was is None} | set(gone.values_list("pk", flat=True))
    renumbered = {pk for pk, (was, now) in before.items() if was is not None and was != now}
    if not came_or_went:
        return renumbered
    checked = PathCheck.objects.filter(Q(source__in=came_or_went) | Q(target__in=came_or_went))
    ends = {pk for pair in checked.values_list("source_id", "target_id") for pk in pair}
    return renumbered | {pk for pk in came_or_went if pk in ends}


def _ssh_answered(iface_id: str) -> None:
    with transaction.atomic():
        vm = VM.objects.select_for_update(of=("self",)).filter(ports__uuid=iface_id, ssh_at__isnull=True).first()
        if vm is not None:
            vm.ssh_at = timezone.now()
            vm.save(update_fields=["ssh_at"])
            vm_changed(vm)
