"""What in Hopsight explains a change on a host's switch.

An operation that was under way for the VM that the object is plugged for; else what somebody did to that VM, or to the host,
just before; else our controller, which keeps its own bridge, tunnels and cable as the tables below say. What none of these
explains is foreign: by hand, by another program, by the guest or by the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from portal.accounts.audit import words_of
from portal.accounts.models import AuditRow
from portal.compute.models import VM
from portal.networks.models import Port
from portal.operations.models import Operation
from portal.topology.models import HostSeen, TopologyChange
from portal.topology.namespaces import INTERFACE, NAMESPACE
from portal.topology.neighbours import NEIGHBOUR
from portal.topology.topology_objects import ObjectChange
from sdn.transport.ovsdb import BRIDGE, CABLE, CABLE_FAR_END, EXTERNAL_BRIDGE, GENEVE, TUNNEL

By = TopologyChange.By
WITHIN = timedelta(seconds=10)  # OVSDB tells of an operation's end, or of an act, well within this
NOT_OURS = "not by Hopsight"
CHANNEL = "the switch and Hopsight’s controller found or lost each other"
TOLD = (
    "link",
    "ofport",
    "mac",
    "mtu",
    "speed_bps",
    "error",
)  # the switch or the kernel says them, nobody sets them there
# What our controller writes (sdn.transport.ovsdb): any other value of these fields is somebody else's.
OURS: dict[str, dict[str, object]] = {
    f"bridge {BRIDGE}": {"fail_mode": "secure"},
    f"port {BRIDGE}/{BRIDGE}": {},
    f"port {BRIDGE}/{TUNNEL}": {"kind": "tunnel", "remote_ip": "flow"},
    f"port {BRIDGE}/{GENEVE}": {"kind": "tunnel", "remote_ip": "flow"},
    f"port {BRIDGE}/{CABLE}": {"kind": "patch", "peer": CABLE_FAR_END},
    f"port {EXTERNAL_BRIDGE}/{CABLE_FAR_END}": {"kind": "patch", "peer": CABLE},
}
TAKEN_AWAY_TOO = (f"port {BRIDGE}/{GENEVE}", f"port {BRIDGE}/{CABLE}", f"port {EXTERNAL_BRIDGE}/{CABLE_FAR_END}")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why, in the words of now. `vm` is ours and `guest` what it is called, where the object is plugged for one."""

    by: TopologyChange.By
    words: str
    operation: UUID | None = None
    vm: UUID | None = None
    guest: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was going on: by the VM's uuid; `acts` has what was done to the host under None."""

    operations: Mapping[UUID, Cause]
    acts: Mapping[UUID | None, Cause]
    names: Mapping[UUID, str]
    domains: Mapping[UUID, str]
    seats: Mapping[UUID, str]  # ports of ours without a VM


def causes_of(seen: HostSeen, changes: Sequence[ObjectChange], since: datetime, until: datetime) -> list[Cause]:
    """A cause a change, in their order; the changes are of between these times."""
    owners, seats = _owners(changes)
    uuids = {uuid for uuid in owners.values() if uuid}
    operations, named = _operations(uuids, since, until), _named_by_operations(uuids)
    names = {**named, **dict(VM.objects.filter(uuid__in=uuids).values_list("uuid", "name"))}
    domains = {uuid: one["name"] for one in seen.foreign_domains if (uuid := _uuid(one.get("uuid")))}
    known = _Known(operations, _acts(seen.host.name, uuids, since, until), names, domains, seats)
    return [_cause(one, owners[one.name], known) for one in changes]


def _cause(change: ObjectChange, owner: UUID | None, known: _Known) -> Cause:
    if owner is not None and owner in known.names:
        guest = f"VM {known.names[owner]}"
        asked = known.operations.get(owner) or known.acts.get(owner)
        found = asked or Cause(By.FOREIGN, f"{NOT_OURS}: nothing was asked of {guest} then")
        return replace(found, vm=owner, guest=guest)
    if owner is not None and owner in known.domains:
        return Cause(By.FOREIGN, _foreign_words(change), guest=f"domain {known.domains[owner]}")
    if owner is not None and owner in known.seats:
        return Cause(By.RECONCILER, f"Hopsight’s own seat {known.seats[owner]}")
    if change.name == f"bridge {BRIDGE}" and _fields(change) == {"controller"}:
        return Cause(By.RECONCILER, CHANNEL)
    if _is_kept(change):
        return known.acts.get(None) or Cause(By.RECONCILER, "Hopsight’s controller keeps it")
    return Cause(By.FOREIGN, _foreign_words(change))


def _is_kept(change: ObjectChange) -> bool:
    """Is it as our controller would have made it?"""
    ours = OURS.get(change.name)
    if ours is None:
        return False
    if change.after is None:
        return change.name in TAKEN_AWAY_TOO
    told = {field for field in _fields(change) if field in ours}
    if change.before is not None and not told:
        return False
    return all(change.after.get(field) == ours[field] for field in told)


def _fields(change: ObjectChange) -> set[str]:
    return set(change.before or ()) | set(change.after or ())


def _foreign_words(change: ObjectChange) -> str:
    if change.sign == "~" and _fields(change) <= set(TOLD):
        return f"{NOT_OURS}: the switch tells it"
    if change.name.startswith(f"{NEIGHBOUR} "):
        return f"{NOT_OURS}: the host’s lldpd tells it"
    if change.name.startswith((f"{NAMESPACE} ", f"{INTERFACE} ")):
        return f"{NOT_OURS}: the host’s kernel tells it"
    return NOT_OURS


def _owners(changes: Sequence[ObjectChange]) -> tuple[dict[str, UUID | None], dict[UUID, str]]:
    """Object → the uuid of the domain, else of the port, that it is plugged for; and those ports of ours that have no VM."""
    ports = {one.name: _uuid(one.iface_id) for one in changes}
    rows = Port.objects.filter(uuid__in={uuid for uuid in ports.values() if uuid}).select_related("vm", "network")
    by_port = {row.uuid: row for row in rows}
    owners: dict[str, UUID | None] = {}
    for one in changes:
        port = ports[one.name]
        row = by_port.get(port) if port else None
        owners[one.name] = row.vm.uuid if row and row.vm else _uuid(one.vm_id) or port
    return owners, {uuid: f"{row.name} in {row.network.name}" for uuid, row in by_port.items() if row.vm is None}


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


def _operations(owners: Iterable[UUID], since: datetime, until: datetime) -> dict[UUID, Cause]:
    """VM → the latest operation of it that was under way."""
    running = Q(finished_at__isnull=True) | Q(finished_at__gte=since - WITHIN)
    rows = Operation.objects.filter(running, object_uuid__in=owners, started_at__lte=until).order_by("id")
    return {row.object_uuid: _of_operation(row) for row in rows.select_related("created_by")}


def _of_operation(row: Operation) -> Cause:
    words = f"{row.title} {row.object_name}"
    by = f"{row.created_by.username}: " if row.created_by else ""
    return Cause(By.OPERATION, by + words, row.uuid)


def _named_by_operations(owners: Iterable[UUID]) -> dict[UUID, str]:
    """VM → its name, of those too whose row is gone."""
    rows = Operation.objects.filter(object_uuid__in=owners, object_type="vm").order_by("id")
    return dict(rows.values_list("object_uuid", "object_name"))


def _acts(host: str, owners: Iterable[UUID], since: datetime, until: datetime) -> dict[UUID | None, Cause]:
    """VM → what somebody did to it last; None → what somebody did to the host."""
    mine = Q(object_id__in=[str(uuid) for uuid in owners]) | Q(object_type="host", object_name=host)
    rows = AuditRow.objects.filter(mine, at__gte=since - WITHIN, at__lte=until).order_by("id")
    return {
        None if row.object_type == "host" else _uuid(row.object_id):
        Cause(By.PERSON, f"{row.actor} {words_of(row.action)} {row.object_name}")
        for row in rows
    }  # fmt: skip
