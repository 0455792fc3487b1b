"""Networks and ports as one host sees them: what is plugged here, what is elsewhere, what is nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sdn.compiler.build import reg
from sdn.compiler.index import IntentIndex
from sdn.compiler.zones import port_zones
from sdn.model.cookie import Cause, CauseKind
from sdn.model.intent import HostIntent, HostView, NetworkIntent, PortIntent
from sdn.model.meter import meter_ids
from sdn.pipeline import Register


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A port of the intent that is plugged on this host; `zone` is its conntrack zone here."""

    intent: PortIntent
    ofport: int
    zone: int
    meters: tuple[int, int] = (0, 0)  # of what it sends and of what it receives; 0 where it has no limit

    @property
    def cause(self) -> Cause:
        return Cause(CauseKind.PORT, self.intent.id)

    @property
    def mark(self) -> dict[str, str]:
        """The match of packets that came from this port."""
        return {reg(Register.SOURCE_PORT): f"{self.intent.id & 0xFFFFFFFF:#x}"}


@dataclass(frozen=True, slots=True)
class Overlay:
    """One network as seen from one host."""

    network: NetworkIntent
    local: tuple[LocalPort, ...]
    remote: tuple[tuple[PortIntent, HostIntent], ...]
    absent: tuple[PortIntent, ...]  # bound here and not plugged, or bound nowhere
    tunnel_ofport: int | None  # None for a provider network, which no tunnel carries
    external_ofport: int | None = None  # the cable to br-ex, for a provider network
    hosts: tuple[HostIntent, ...] = ()  # every host

    @property
    def cause(self) -> Cause:
        return Cause(CauseKind.NETWORK, self.network.id)

    @property
    def mark(self) -> dict[str, str]:
        """The match of packets of this network."""
        return {reg(Register.VNI): f"{self.network.vni:#x}"}

    @property
    def bare(self) -> Overlay:
        """Without ports: what may be known where one port's flows are compiled."""
        return replace(self, local=(), remote=(), absent=())

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
    """The ports that are plugged on this host, by id and ascending; those that are as they were `before` are the same."""
    known = before or {}
    plugged = [(port, ofport) for iface, ofport in view.ofports if (port := index.by_iface.get(iface)) is not None]
    zones = port_zones((port.id for port, _ in plugged), index.router_zones)
    pairs = meter_ids(port.id for port, _ in plugged if port.is_limited)
    found: dict[int, LocalPort] = {}
    for port, ofport in sorted(plugged, key=lambda one: one[0].id):  # the order of a flood must not depend on the rows'
        was, zone, pair = known.get(port.id), zones[port.id], pairs.get(port.id, (0, 0))
        meters = (pair[0] if port.sends else 0, pair[1] if port.receives else 0)
        is_same = was is not None and was.intent is port and was.ofport == ofport and was.zone == zone
        is_same = is_same and was is not None and was.meters == meters
        found[port.id] = was if was is not None and is_same else LocalPort(port, ofport, zone, meters)
    return found


def overlay_of(index: IntentIndex, view: HostView, network: NetworkIntent, local: Mapping[int, LocalPort]) -> Overlay:
    """The network as seen from the host, where `local` ports are plugged (of whatever network)."""
    here: list[LocalPort] = []
    remote: list[tuple[PortIntent, HostIntent]] = []
    absent: list[PortIntent] = []
    for port in index.ports_of.get(network.id, ()):
        if (plugged := local.get(port.id)) is not None:
            here.append(plugged)
        elif port.host is not None and port.host != view.host and port.host in index.hosts:
            remote.append((port, index.hosts[port.host]))
        else:
            absent.append(port)
    ports = tuple(here), tuple(remote), tuple(absent)
    if network.is_provider:
        return Overlay(network, *ports, None, view.external_ofport, tuple(index.hosts.values()))
    return Overlay(network, *ports, view.geneve_ofport if network.kind == "geneve" else view.tunnel_ofport)
