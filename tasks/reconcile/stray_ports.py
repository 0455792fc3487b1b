"""Ports of br-int that a tap or a cable of ours left behind: OVSDB outlives a host's crash, its taps do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from portal.hosts.models import Host
from portal.networks.models import Port
from portal.topology.models import HostSeen
from sdn.model.plug import veth_names
from sdn.model.switch import InterfaceSeen, switch_from_json
from tasks.hypervisor.driver import DomainState, Hypervisor
from tasks.reconcile.books import Books, read_books

BRIDGE = "br-int"
LIVE = (DomainState.RUNNING, DomainState.PAUSED)


@dataclass(frozen=True, slots=True)
class StrayPort:
    """A port without a NIC: its OVS name, its interface id, what it was."""

    name: str
    iface_id: str
    where: str
    was: str
    refusal: str = ""


def stray_ports(host: Host, hypervisor: Hypervisor, states: Mapping[str, DomainState]) -> list[StrayPort]:
    """The ports of br-int with an interface id of ours that no NIC here has, as the controller saw OVSDB last."""
    met = list(_ours(host))
    if not met:
        return []
    rows = Port.objects.filter(uuid__in=[uuid for uuid, _, _ in met]).select_related("vm__host")
    ports = {port.uuid: port for port in rows}
    books = read_books([*(vm for _, vm, _ in met if vm), *(port.vm.uuid for port in rows if port.vm)])
    others = _uuids_of_others(host)
    running = {name for name, state in states.items() if state in LIVE}
    found = []
    for uuid, vm_uuid, interface in met:
        port = ports.get(uuid)
        owner = port.vm.uuid if port is not None and port.vm is not None else vm_uuid
        is_here = port is not None and (port.vm is None or port.vm.host_id in (None, host.pk))
        if (
            is_here
            or vm_uuid in others
            or uuid in books.busy
            or owner in books.busy
            or _is_plugged(hypervisor, running, owner, uuid)
        ):
            continue
        found.append(_told(interface, owner, port, books))
    return [one for one in found if one is not None]


def _ours(host: Host) -> Iterator[tuple[UUID, UUID | None, InterfaceSeen]]:
    """(interface id, domain's uuid, interface) of what carries our mark."""
    seen = HostSeen.objects.filter(host=host).first()
    if seen is None or seen.switch is None:
        return
    for bridge in switch_from_json(seen.switch).bridges:
        for interface in (one for port in bridge.ports for one in port.interfaces if bridge.name == BRIDGE):
            iface_id, vm_id = _uuid(interface.iface_id), _uuid(interface.vm_id)
            is_cable = iface_id is not None and interface.name == veth_names(str(iface_id))[1]
            if iface_id is not None and (vm_id is not None or is_cable):
                yield iface_id, vm_id, interface


def _uuids_of_others(host: Host) -> set[UUID | None]:
    """The domains there that are none of ours, one that was let go among them: their ports are theirs."""
    seen = HostSeen.objects.filter(host=host).values_list("foreign_domains", flat=True).first() or []
    return {_uuid(one["uuid"]) for one in seen} - {None}


def iface_id_of(host: Host, name: str) -> str:
    """The interface id that a port of ours has, as the controller saw it last; nothing where it is not there."""
    return next((interface.iface_id for _, _, interface in _ours(host) if interface.name == name), "")


def _is_plugged(hypervisor: Hypervisor, running: set[str], owner: UUID | None, uuid: UUID) -> bool:
    """A running domain has it, whatever the rows say: pulling it would cut somebody off."""
    domain = f"hs-{owner}"
    return domain in running and str(uuid) in {nic.interface_id for nic in hypervisor.live_interfaces(domain)}


def _told(interface: InterfaceSeen, owner: UUID | None, port: Port | None, books: Books) -> StrayPort | None:
    """None for what is no port of ours: a domain that somebody else plugged into br-int is theirs."""
    where = f"{BRIDGE}, {interface.error or interface.kind}"
    if port is not None and port.vm is not None:
        return StrayPort(
            interface.name, interface.iface_id, where, f"NIC of VM {port.vm.name}, which is on {port.vm.host} now"
        )
    vm = books.vms.get(owner) if owner else None
    past = books.past.get(owner, "") if owner else ""
    if vm is not None:
        return StrayPort(
            interface.name,
            interface.iface_id,
            where,
            f"NIC of VM {vm.name} of team {vm.team.name}, which has it no more",
        )
    if past:
        return StrayPort(interface.name, interface.iface_id, where, f"NIC of {past}")
    if owner is not None:
        return None
    refusal = "" if interface.error else "its cable is still there: a Linux bridge of another Hopsight may use it"
    return StrayPort(interface.name, interface.iface_id, where, "cable of a Linux bridge that is gone", refusal)


def _uuid(text: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(text)
    return None
