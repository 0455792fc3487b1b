"""Networks and ports as one host sees them: what is plugged here, what is elsewhere, what is nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from sdn.compiler.build import reg
from sdn.compiler.index import IntentIndex
from sdn.compiler.zones import port_zones
from sdn.model.cookie import Cause, CauseKind
from sdn.model.intent import HostIntent, HostView, NetworkIntent, PortIntent
from sdn.model.meter import meter_ids
from sdn.pipeline import Register

PORT_CONTROLLER = 0xFFFFFFFD  # OFPP_CONTROLLER as the in_port of what the controller sends


@dataclass(frozen=True)  # no slots: each of its flows asks for its cause and its mark
class LocalPort:
    """A port of the intent that is plugged on this host; `zone` is its conntrack zone here."""

    intent: PortIntent
    ofport: int
    zone: int
    meters: tuple[int, int] = (0, 0)  # of what it sends and of what it receives; 0 where it has no limit
    stands_in: bool = False  # it is not plugged: what it sends comes from the controller, and it gets nothing

    @cached_property
    def cause(self) -> Cause:
        return Cause(CauseKind.PORT, self.intent.id)

    @cached_property
    def mark(self) -> Mapping[str, str]:
        """The match of packets that came from this port."""
        return {reg(Register.SOURCE_PORT): f"{self.intent.id & 0xFFFFFFFF:#x}"}


@dataclass(frozen=True)
class Overlay:
    """One network as seen from one host."""

    network: NetworkIntent
    local: tuple[LocalPort, ...]
    remote: tuple[tuple[PortIntent, HostIntent], ...]
    absent: tuple[PortIntent, ...]  # bound here and not plugged, or bound nowhere
    tunnel_ofport: int | None  # None for a provider network, which no tunnel carries
    external_ofport: int | None = None  # the cable to br-ex, for a provider network
    hosts: tuple[HostIntent, ...] = ()  # every host
    stand_ins: tuple[LocalPort, ...] = ()  # of the absent ones

    @cached_property
    def cause(self) -> Cause:
        return Cause(CauseKind.NETWORK, self.network.id)

    @cached_property
    def mark(self) -> Mapping[str, str]:
        """The match of packets of this network."""
        return {reg(Register.VNI): f"{self.network.vni:#x}"}

    @property
    def bare(self) -> Overlay:
        """Without ports: what may be known where one port's flows are compiled."""
        return replace(self, local=(), remote=(), absent=(), stand_ins=())

    @property
    def ports(self) -> Iterator[PortIntent]:
        """Those here and those on other hosts."""
        yield from (port.intent for port in self.local)
        yield from (port for port, _ in self.remote)

    @property
    def peers(self) -> tuple[HostIntent, ...]:
        """The other hosts that have ports of this network."""
        return tuple(sorted({host for _, host in self.remote}, key=lambda host: host.id))


def local_ports(
    index: IntentIndex, view: HostView, before: Mapping[int, LocalPort] | None = None
) -> dict[int, LocalPort]:
    """The ports that are plugged on this host, by id and ascending; those that are as they were `before` are the same.

    One that is bound to another host is that one's, though its tap is here too: a guest that is migrated here does not
    run yet, and what is for it goes where it runs.
    """
    known = before or {}
    plugged = [
        (port, ofport)
        for iface, ofport in view.ofports
        if (port := index.by_iface.get(iface)) is not None and port.host in (None, view.host)
    ]
    zones = port_zones((port.id for port, _ in plugged), index.router_zones)
    pairs = meter_ids(port.id for port, _ in plugged if port.is_limited and view.has_meters)
    found: dict[int, LocalPort] = {}
    for port, ofport in sorted(plugged, key=lambda one: one[0].id):  # the order of a flood must not depend on the rows'
        was, zone, pair = known.get(port.id), zones[port.id], pairs.get(port.id, (0, 0))
        meters = (pair[0] if port.sends else 0, pair[1] if port.receives else 0)
        is_same = was is not None and was.intent is port and was.ofport == ofport and was.zone == zone
        is_same = is_same and was is not None and was.meters == meters
        found[port.id] = was if was is not None and is_same else LocalPort(port, ofport, zone, meters)
    return found | _stand_ins(index, view, zones, known) if view.stand_ins else found


def _stand_ins(
    index: IntentIndex, view: HostView, zones: Mapping[int, int], known: Mapping[int, LocalPort]
) -> dict[int, LocalPort]:
    """The ports of this host that the controller stands in for; their zones leave the plugged ones' alone."""
    wanted = [port for iface in view.stand_ins if (port := index.by_iface.get(iface)) is not None]
    absent = [port for port in wanted if port.id not in zones and port.host == view.host]
    free = port_zones((port.id for port in absent), (*index.router_zones, *zones.values()))
    made = {port.id: LocalPort(port, PORT_CONTROLLER, free[port.id], stands_in=True) for port in absent}
    return {number: known[number] if known.get(number) == port else port for number, port in made.items()}


def overlay_of(index: IntentIndex, view: HostView, network: NetworkIntent, local: Mapping[int, LocalPort]) -> Overlay:
    """The network as seen from the host, where `local` ports are plugged (of whatever network)."""
    here: list[LocalPort] = []
    remote: list[tuple[PortIntent, HostIntent]] = []
    absent: list[PortIntent] = []
    stand_ins: list[LocalPort] = []
    for port in index.ports_of.get(network.id, ()):
        plugged = local.get(port.id)
        if plugged is not None and not plugged.stands_in:
            here.append(plugged)
        elif port.host is not None and port.host != view.host and port.host in index.hosts:
            remote.append((port, index.hosts[port.host]))
        else:
            absent.append(port)
            stand_ins += [plugged] if plugged is not None else []
    ports, others = (tuple(here), tuple(remote), tuple(absent)), tuple(stand_ins)
    if network.is_provider:
        hosts = tuple(index.hosts.values())
        return Overlay(network, *ports, None, view.external_ofport, hosts, stand_ins=others)
    tunnel = view.geneve_ofport if network.kind == "geneve" else view.tunnel_ofport
    return Overlay(network, *ports, tunnel, stand_ins=others)
