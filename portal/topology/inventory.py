"""What a map shows, as values: hosts, what is on their switches, guests, networks, and who may see which of it.

Redaction happens here and nowhere else: what another team owns is counted and never named, and what nobody declared
(foreign bridges, ports and domains) is named to operators only. Page, JSON and events are all made of this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from django.db.models import Count, Max, Q, Sum

from portal.accounts.models import Team
from portal.compute.models import VM
from portal.hosts.models import Host
from portal.live.models import Topic
from portal.networks.models import FixedAddress, Generation, Network, Port, PortKind, Subnet
from portal.networks.owners import owned_by, usable_by
from portal.networks.router_models import FloatingAddress, Router, RouterPort
from portal.topology.models import HostSeen
from portal.topology.namespaces import NOT_LOOKED as NAMESPACES_NOT_LOOKED
from portal.topology.namespaces import NamespaceOnMap, namespaces_from_json, on_map
from portal.topology.neighbours import NOT_LOOKED, lldp_from_json
from sdn.linux.lldp import Neighbour
from sdn.linux.namespaces import NamespacesSeen
from sdn.model.switch import BridgeSeen, PortSeen, SwitchSeen, switch_from_json
from sdn.transport.lldpd import LldpSeen

OUR_BRIDGES = ("br-int", "br-ex")
INTEGRATION = "br-int"
NAMED_TO_TEAMS = ("tunnel", "patch", "nic", "veth")  # of our own bridges; whatever a workload plugs is only counted


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose map: one team's, or (None) the operators' with everything."""

    team: Team | None

    @property
    def topic(self) -> str:
        """The live topic of this map."""
        return f"topology:{self.team.slug}" if self.team else "topology"


@dataclass(frozen=True, slots=True)
class Nic:
    """One port of a guest; `tap`, `ofport` and the tap's `link` as observed, empty and 0 while it is not plugged."""

    uuid: str
    network: str
    mac: str
    tap: str
    ofport: int
    addresses: tuple[str, ...]
    floating: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True, slots=True)
class Guest:
    """A VM, or a port without one (`kind` access). `since` orders guests on the map: seconds since the epoch."""

    key: str
    kind: str
    name: str
    host: str
    state: str
    vcpus: int
    ram_mib: int
    team: str
    since: float
    nics: tuple[Nic, ...]

    @property
    def uuid(self) -> str:
        """The row's uuid: a VM's, or the port's."""
        return self.key.partition(":")[2]


@dataclass(frozen=True, slots=True)
class ForeignGuest:
    """A libvirt domain that no row of ours explains."""

    name: str
    uuid: str
    host: str
    state: str
    taps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SwitchPort:
    """A port of a bridge that is no guest's. `foreign`: we did not make it."""

    name: str
    kind: str
    ofport: int
    link: str
    mtu: int
    speed_bps: int
    driver: str
    peer: str
    remote_ip: str
    error: str
    tag: int | None
    members: tuple[str, ...]
    foreign: bool


@dataclass(frozen=True, slots=True)
class Bridge:
    name: str
    datapath: str
    fail_mode: str
    controller: str
    foreign: bool
    ports: tuple[SwitchPort, ...]


@dataclass(frozen=True, slots=True)
class Others:
    """What is there and not yours, as numbers."""

    guests: int = 0
    ports: int = 0
    bridges: int = 0


@dataclass(frozen=True, slots=True)
class HostOnMap:
    """A host. `seen` says whether its Open vSwitch was ever looked into; `trouble` is told in words to operators only."""

    name: str
    underlay_ip: str
    mtu: int
    vcpus: int
    ram_mib: int
    vcpus_used: int
    ram_used_mib: int
    accelerator: str
    ovs_version: str
    enabled: bool
    reached: bool
    trouble: str
    seen: bool
    bridges: tuple[Bridge, ...]
    others: Others
    lldp: str  # sdn.transport.lldpd's state; "" not looked at, and for teams, who are not told of neighbours
    lldp_problem: str
    neighbours: tuple[Neighbour, ...]
    netns: str  # of its network namespaces: "read", "unread" (`netns_problem`); "" not looked at, and for teams
    netns_problem: str


@dataclass(frozen=True, slots=True)
class NetworkOnMap:
    """`carried_by` says how, in words: "VXLAN, VNI 4097", "VLAN 200 on br-ex"."""

    uuid: str
    name: str
    kind: str
    vni: int
    vid: int | None
    carried_by: str
    mtu: int
    team: str
    subnets: tuple[str, ...]
    gateways: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RouterOnMap:
    """A router: the networks it joins, and its way out. `gateway_host` is where its packets leave."""

    uuid: str
    name: str
    team: str
    networks: tuple[str, ...]
    external: str
    gateway_host: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """One scope's map, each tuple sorted."""

    scope: Scope
    hosts: tuple[HostOnMap, ...]
    guests: tuple[Guest, ...]
    networks: tuple[NetworkOnMap, ...]
    foreign: tuple[ForeignGuest, ...] = ()
    routers: tuple[RouterOnMap, ...] = ()
    namespaces: tuple[NamespaceOnMap, ...] = ()


@dataclass(frozen=True, slots=True)
class HostParts:
    """What was seen on a host, parsed."""

    switch: SwitchSeen | None
    domains: tuple[ForeignGuest, ...]
    lldp: LldpSeen = NOT_LOOKED
    netns: NamespacesSeen = NAMESPACES_NOT_LOOKED


@dataclass(slots=True)
class Sums:
    """Of every VM on a host, whoever owns it."""

    guests: Counter[str] = field(default_factory=Counter)
    vcpus: Counter[str] = field(default_factory=Counter)
    ram_mib: Counter[str] = field(default_factory=Counter)


def inventory_stamp() -> tuple[object, ...]:
    """Differs when an inventory may differ: cheap enough to ask for twice a second."""
    generation = Generation.objects.aggregate(at=Max("value"))["at"]
    told = Topic.objects.filter(Q(name="hosts") | Q(name__startswith="team:")).aggregate(total=Sum("seq"))["total"]
    seen = HostSeen.objects.aggregate(at=Max("changed_at"))["at"]
    return generation, told, seen, Host.objects.count()


def guest_count(scope: Scope) -> int:
    """How many VMs the map would show."""
    rows = VM.objects.all() if scope.team is None else VM.objects.filter(team=scope.team)
    return rows.count()


def load_inventory(scope: Scope) -> Inventory:
    """The map as the rows are now, in the same number of queries however much there is."""
    return drawn(scope, guests(scope), _seen(), _sums())


def drawn(scope: Scope, there: tuple[Guest, ...], seen: Mapping[str, HostParts], sums: Sums) -> Inventory:
    """The map with those guests and what was seen of each host; networks and routers as they are now."""
    shown = Counter(guest.host for guest in there if guest.kind == "vm")
    ours = {nic.uuid for guest in there for nic in guest.nics}
    hosts = tuple(
        _host(scope, row, seen.get(row.name, HostParts(None, ())), sums, shown[row.name], ours)
        for row in Host.objects.order_by("name")
    )
    foreign = tuple(domain for name in sorted(seen) for domain in seen[name].domains) if scope.team is None else ()
    spaces = tuple(space for name in sorted(seen) for space in _namespaces(scope, name, seen[name], ours))
    return Inventory(scope, hosts, there, _networks(scope), foreign, _routers(scope), spaces)


def _namespaces(scope: Scope, host: str, seen: HostParts, ours: set[str]) -> tuple[NamespaceOnMap, ...]:
    """Operators' to see: they are what else is on a host."""
    if scope.team:
        return ()
    taps = {tap for domain in seen.domains for tap in domain.taps}
    ports = [port for bridge in (seen.switch.bridges if seen.switch else ()) for port in bridge.ports]
    plugged = {one.name for port in ports if _is_guests(port, ours, taps) for one in port.interfaces}
    return on_map(host, seen.netns, seen.switch, INTEGRATION, plugged)


def _host(scope: Scope, row: Host, seen: HostParts, sums: Sums, shown: int, ours: set[str]) -> HostOnMap:
    taps = set() if scope.team else {tap for domain in seen.domains for tap in domain.taps}
    bridges, hidden = _bridges(scope, seen.switch, ours, taps)
    guests = sums.guests[row.name] - shown + (len(seen.domains) if scope.team else 0)
    lldp = NOT_LOOKED if scope.team else seen.lldp
    netns = NAMESPACES_NOT_LOOKED if scope.team else seen.netns
    trouble = "; ".join(filter(None, (row.libvirt_error, row.ovs_error)))
    return HostOnMap(
        name=row.name, underlay_ip=row.underlay_ip, mtu=row.underlay_mtu, vcpus=row.vcpus, ram_mib=row.ram_mib,
        vcpus_used=sums.vcpus[row.name], ram_used_mib=sums.ram_mib[row.name], accelerator=row.accelerator,
        ovs_version=row.ovs_version, enabled=row.enabled, reached=not trouble,
        trouble="" if scope.team else trouble, seen=seen.switch is not None, bridges=bridges,
        others=replace(hidden, guests=max(guests, 0)), lldp=lldp.state, lldp_problem=lldp.problem,
        neighbours=lldp.neighbours, netns=netns.state, netns_problem=netns.problem,
    )  # fmt: skip


def _bridges(
    scope: Scope, switch: SwitchSeen | None, ours: set[str], foreign_taps: set[str]
) -> tuple[tuple[Bridge, ...], Others]:
    """The bridges that may be named, with the ports that are no guest's; the rest as numbers."""
    shown: list[Bridge] = []
    ports_hidden = bridges_hidden = 0
    inside = {
        port.name
        for bridge in (switch.bridges if switch else ())
        if bridge.name in OUR_BRIDGES
        for port in bridge.ports
    }
    for bridge in switch.bridges if switch else ():
        if scope.team and bridge.name not in OUR_BRIDGES:
            bridges_hidden += 1
            ports_hidden += sum(1 for port in bridge.ports if port.name != bridge.name)
            continue
        rest = [port for port in bridge.ports if port.name != bridge.name and not _is_guests(port, ours, foreign_taps)]
        named = [port for port in rest if scope.team is None or _is_for_all(port, inside)]
        ports_hidden += len(rest) - len(named)
        shown.append(_bridge(bridge, named))
    shown.sort(key=lambda bridge: (bridge.name != INTEGRATION, bridge.foreign, bridge.name))
    return tuple(shown), Others(0, ports_hidden, bridges_hidden)


def _is_guests(port: PortSeen, ours: set[str], foreign_taps: set[str]) -> bool:
    """Drawn with a guest: one of ours that the scope shows, or a foreign domain."""
    return any(one.iface_id in ours or one.name in foreign_taps for one in port.interfaces)


def _is_for_all(port: PortSeen, inside: set[str]) -> bool:
    """Part of the network itself, which every team may know: no workload's, and no cable to a bridge that is not ours."""
    if any(one.iface_id or one.vm_id for one in port.interfaces):
        return False
    return _kind(port) in NAMED_TO_TEAMS and all(one.type != "patch" or one.peer in inside for one in port.interfaces)


def _kind(port: PortSeen) -> str:
    return "bond" if port.is_bond else port.interfaces[0].kind if port.interfaces else "internal"


def _bridge(bridge: BridgeSeen, ports: list[PortSeen]) -> Bridge:
    foreign = bridge.name not in OUR_BRIDGES
    drawn = tuple(_port(bridge, port) for port in ports)
    return Bridge(bridge.name, bridge.datapath_type, bridge.fail_mode, bridge.controller, foreign, drawn)


def _port(bridge: BridgeSeen, port: PortSeen) -> SwitchPort:
    first = port.interfaces[0]
    kind = _kind(port)
    return SwitchPort(
        name=port.name, kind=kind, ofport=first.ofport, link=first.link, mtu=first.mtu, speed_bps=first.speed_bps,
        driver=first.driver, peer=first.peer, remote_ip=first.remote_ip, error=first.error, tag=port.tag,
        members=tuple(one.name for one in port.interfaces) if port.is_bond else (),
        foreign=bridge.name == INTEGRATION and kind not in ("tunnel", "patch"),
    )  # fmt: skip


def _seen() -> dict[str, HostParts]:
    found = {}
    columns = ("host__name", "switch", "foreign_domains", "lldp", "namespaces")
    for name, switch, domains, lldp, netns in HostSeen.objects.values_list(*columns):
        parsed = switch_from_json(switch) if switch else None
        found[name] = parts_of(name, parsed, domains, lldp_from_json(lldp), namespaces_from_json(netns))
    return found


def parts_of(host: str, switch: SwitchSeen | None, domains: Iterable[Mapping[str, str]], lldp: LldpSeen, netns: NamespacesSeen) -> HostParts:  # fmt: skip
    """What was seen on a host; `domains` are those that no row explains."""
    taps = _taps_by_domain(switch)
    foreign = (
        ForeignGuest(one["name"], one["uuid"], host, one["state"], tuple(taps.get(one["uuid"], ()))) for one in domains
    )
    return HostParts(switch, tuple(foreign), lldp, netns)


def _taps_by_domain(switch: SwitchSeen | None) -> dict[str, list[str]]:
    taps: dict[str, list[str]] = {}
    for bridge in switch.bridges if switch else ():
        for port in bridge.ports:
            for one in port.interfaces:
                if one.vm_id:
                    taps.setdefault(one.vm_id, []).append(one.name)
    return taps


def _sums() -> Sums:
    sums = Sums()
    rows = VM.objects.filter(host__isnull=False).values_list("host__name").order_by()
    for name, guests, vcpus, ram in rows.annotate(Count("id"), Sum("vcpus"), Sum("ram_mib")):
        sums.guests[name], sums.vcpus[name], sums.ram_mib[name] = guests, vcpus or 0, ram or 0
    return sums


def guests(scope: Scope) -> tuple[Guest, ...]:
    """VMs and access points as the rows have them."""
    nics = _nics(scope)
    mine = Q(team=scope.team) if scope.team else Q()
    columns = ("id", "uuid", "name", "host__name", "state", "vcpus", "ram_mib", "team__name", "created_at")
    rows = VM.objects.filter(mine).order_by("created_at", "id").values_list(*columns)
    vms = [
        Guest(f"vm:{uuid}", "vm", name, host or "", state, vcpus, ram, team, at.timestamp(), tuple(nics.get(pk, ())))
        for pk, uuid, name, host, state, vcpus, ram, team, at in rows
    ]
    return (*vms, *_access_points(scope))


def _nics(scope: Scope) -> dict[int, list[Nic]]:
    """VM id → its ports."""
    mine = Q(vm__team=scope.team) if scope.team else Q()
    addresses, floating = _addresses(scope), _floating(scope)
    columns = ("id", "vm_id", "uuid", "network__uuid", "mac", "tap", "ofport", "device_chain__tap_link")
    nics: dict[int, list[Nic]] = {}
    for pk, vm, uuid, network, mac, tap, ofport, link in (
        Port.objects.filter(mine, vm__isnull=False).order_by("id").values_list(*columns)
    ):
        own = tuple(addresses.get(pk, ())), tuple(floating.get(pk, ()))
        nic = Nic(str(uuid), str(network), mac, tap, ofport or 0, *own, link if tap and link else "")
        nics.setdefault(vm, []).append(nic)
    return nics


def _access_points(scope: Scope) -> list[Guest]:
    """Ports without a VM: the machine's own seat in a guest network."""
    mine = Q(network__team=scope.team) if scope.team else Q()
    rows = Port.objects.filter(mine, vm__isnull=True, kind=PortKind.ACCESS).select_related("network__team", "host")
    points = []
    for row in rows.prefetch_related("addresses").order_by("id"):
        addresses = tuple(fixed.address for fixed in row.addresses.all())
        nic = Nic(str(row.uuid), str(row.network.uuid), row.mac, row.tap, row.ofport or 0, addresses)
        host, state = row.host.name if row.host else "", "running" if row.tap else "stopped"
        team = row.network.team.name
        points.append(Guest(f"access:{row.uuid}", "access", row.name, host, state, 0, 0, team, 0.0, (nic,)))
    return points


def _addresses(scope: Scope) -> dict[int, list[str]]:
    mine = owned_by(scope.team, "port__") if scope.team else Q()
    found: dict[int, list[str]] = {}
    for port, address in FixedAddress.objects.filter(mine).order_by("id").values_list("port_id", "address"):
        found.setdefault(port, []).append(address)
    return found


def _floating(scope: Scope) -> dict[int, list[str]]:
    """Port id → the floating addresses that stand for its own."""
    mine = Q(team=scope.team) if scope.team else Q()
    rows = FloatingAddress.objects.filter(mine, fixed__isnull=False).order_by("id")
    found: dict[int, list[str]] = {}
    for port, address in rows.values_list("fixed__port_id", "address__address"):
        found.setdefault(port, []).append(address)
    return found


def _routers(scope: Scope) -> tuple[RouterOnMap, ...]:
    mine = Q(team=scope.team) if scope.team else Q()
    legs: dict[int, list[str]] = {}
    for router, network in RouterPort.objects.order_by("id").values_list("router_id", "subnet__network__uuid"):
        legs.setdefault(router, []).append(str(network))
    columns = ("id", "uuid", "name", "team__name", "external__name", "external_address__address", "gateway_host__name")
    return tuple(
        RouterOnMap(
            str(uuid), name, team, tuple(dict.fromkeys(legs.get(pk, ()))), external or "", host or "",
            (address,) if address else (),
        )
        for pk, uuid, name, team, external, address, host in (
            Router.objects.filter(mine).order_by("id").values_list(*columns)
        )
    )  # fmt: skip


def _networks(scope: Scope) -> tuple[NetworkOnMap, ...]:
    mine = usable_by(scope.team) if scope.team else Q()
    subnets: dict[int, list[tuple[str, str]]] = {}
    for network, cidr, gateway in Subnet.objects.order_by("id").values_list("network_id", "cidr", "gateway"):
        subnets.setdefault(network, []).append((cidr, str(gateway or "")))
    rows = Network.objects.filter(mine).order_by("id").select_related("team")
    return tuple(
        NetworkOnMap(
            str(row.uuid), row.name, row.kind, row.vni, row.vid, row.carried_by, row.mtu, row.team.name,
            tuple(cidr for cidr, _ in subnets.get(row.pk, ())),
            tuple(gateway for _, gateway in subnets.get(row.pk, ()) if gateway),
        )
        for row in rows
    )  # fmt: skip
