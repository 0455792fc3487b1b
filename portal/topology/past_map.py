"""The map as it was at an instant: each host's switch out of its history, with the guests that were plugged then.

What the history has no word of is as it is now, and the page says so: hosts' sizes, networks, routers, and the addresses of
guests. A guest that is gone has the name that its last change was told with. For operators: it tells of everything on hosts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext

from portal.topology.flow_instants import InstantProblem, instant_given
from portal.topology.inventory import Guest, HostOnMap, HostParts, Inventory, Nic, Scope, Sums, drawn, parts_of
from portal.topology.inventory import guests as guests_now
from portal.topology.models import HostSeen, TopologyChange
from portal.topology.topology_past import domains_of, namespaces_of, neighbours_of, switch_of
from portal.topology.topology_rows import GAP, changes_after, objects_at
from sdn.linux.namespaces import NamespacesSeen
from sdn.model.switch import InterfaceSeen
from sdn.transport.lldpd import LldpSeen

MOST_INSTANTS = 200
NO_PAGE = -1.0  # a gone guest's `since`: the map has no link to its page
WORDS_OF_VM = "VM "  # before its name, in a change's `guest`


@dataclass(frozen=True, slots=True)
class PastMap:
    """`unknown` says, a sentence a host, of which hosts nothing is known then."""

    at: datetime
    inventory: Inventory
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Plugged:
    """An interface that a guest of ours was plugged by."""

    host: str
    interface: InterfaceSeen


def kept_instants() -> list[str]:
    """The latest instants at which something changed, oldest first, as ISO times."""
    rows = TopologyChange.objects.exclude(kind=GAP).order_by("-at").values_list("at", flat=True).distinct()
    return [at.isoformat() for at in reversed(rows[:MOST_INSTANTS])]


def past_map(text: str) -> PastMap:
    """The operators' map at the instant that was typed. Raises InstantProblem for what is none, and for what nothing is kept of."""
    errors: dict[str, list[str]] = {}
    at = min(instant_given("when", text, errors), timezone.now())
    if errors:
        raise InstantProblem(errors)
    seen = list(HostSeen.objects.select_related("host").order_by("host__name"))
    changes = changes_after(seen, at)
    parts, unknown = {}, {}
    for one in seen:
        objects = objects_at(one, at, changes.get(one.pk, ()))
        if objects is None:
            unknown[one.host.name] = gettext("%(host)s: nothing that old is kept") % {"host": one.host.name}
            continue
        lldp, spaces = LldpSeen("read", "", neighbours_of(objects)), NamespacesSeen("read", "", namespaces_of(objects))
        parts[one.host.name] = parts_of(one.host.name, switch_of(objects), domains_of(objects), lldp, spaces)
    if not parts:
        oldest = min((one.known_from for one in seen if one.known_from), default=None)
        kept = gettext("the oldest kept is %(isoformat)s") % {"isoformat": oldest.isoformat()} if oldest else gettext("nothing is kept yet")  # fmt: skip
        raise InstantProblem({"when": [gettext("the map of that instant is not kept: %(kept)s") % {"kept": kept}]})
    unknown |= _gaps(at)
    guests = _guests(parts)
    inventory = drawn(Scope(None), guests, parts, _sums(guests))
    hosts = tuple(_then(host, unknown.get(host.name, "")) for host in inventory.hosts)
    return PastMap(at, replace(inventory, hosts=hosts), tuple(unknown[name] for name in sorted(unknown)))


def _gaps(at: datetime) -> dict[str, str]:
    """Hosts of which nobody could tell then: what is drawn of them was last known before."""
    rows = TopologyChange.objects.filter(Q(until__gt=at) | Q(until=None), kind=GAP, at__lte=at)
    words = gettext("%(host)s: nobody could tell just then; it is drawn as it was last known")
    return {name: words % {"host": name} for name in rows.values_list("seen__host__name", flat=True)}


def _then(host: HostOnMap, unknown: str) -> HostOnMap:
    """A host's trouble of now is none of then."""
    return replace(host, reached=not unknown, trouble=unknown)


def _guests(parts: Mapping[str, HostParts]) -> tuple[Guest, ...]:
    plugged = {
        one.iface_id: _Plugged(name, one)
        for name, part in parts.items()
        for bridge in (part.switch.bridges if part.switch else ())
        for port in bridge.ports
        for one in port.interfaces
        if one.iface_id
    }
    found = []
    for guest in guests_now(Scope(None)):
        nics = tuple(_nic(nic, plugged.pop(nic.uuid)) for nic in guest.nics if nic.uuid in plugged)
        if nics:
            found.append((nics[0][0], replace(guest, nics=tuple(nic for _, nic in nics))))
    there = [replace(guest, host=host, state="running") for host, guest in found]
    foreign = {domain.uuid for part in parts.values() for domain in part.domains}
    return (*there, *_gone([one for one in plugged.values() if one.interface.vm_id not in foreign]))


def _nic(nic: Nic, was: _Plugged) -> tuple[str, Nic]:
    one = was.interface
    return was.host, replace(nic, tap=one.name, ofport=one.ofport, link=one.link)


def _gone(plugged: Iterable[_Plugged]) -> list[Guest]:
    """Guests that no row has any more."""
    by_vm: dict[str, list[_Plugged]] = defaultdict(list)
    for one in plugged:
        if one.interface.vm_id:
            by_vm[one.interface.vm_id].append(one)
    names = dict(TopologyChange.objects.filter(vm__in=by_vm).exclude(guest="").order_by("id").values_list("vm", "guest")) if by_vm else {}  # fmt: skip
    called = {str(vm): name.removeprefix(WORDS_OF_VM) for vm, name in names.items()}
    return [
        Guest(
            f"vm:{vm}", "vm", called.get(vm, vm[:8]), ones[0].host, "running", 0, 0, "", NO_PAGE,
            tuple(Nic(one.interface.iface_id, "", "", one.interface.name, one.interface.ofport, ()) for one in ones),
        )
        for vm, ones in sorted(by_vm.items())
    ]  # fmt: skip


def _sums(guests: Iterable[Guest]) -> Sums:
    sums = Sums(Counter(), Counter(), Counter())
    for guest in guests:
        if guest.kind == "vm":
            sums.guests[guest.host] += 1
            sums.vcpus[guest.host] += guest.vcpus
            sums.ram_mib[guest.host] += guest.ram_mib
    return sums
