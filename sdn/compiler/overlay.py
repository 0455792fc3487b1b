"""Networks and ports as one host sees them: what is plugged here, what is elsewhere, what is nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sdn.compiler.build import reg
from sdn.compiler.zones import port_zones
from sdn.model.cookie import Cause, CauseKind
from sdn.model.intent import HostIntent, HostView, IntentSnapshot, NetworkIntent, PortIntent
from sdn.pipeline import Register


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A port of the intent that is plugged on this host; `zone` is its conntrack zone here."""

    intent: PortIntent
    ofport: int
    zone: int

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
    tunnel_ofport: int | None

    @property
    def cause(self) -> Cause:
        return Cause(CauseKind.NETWORK, self.network.id)

    @property
    def mark(self) -> dict[str, str]:
        """The match of packets of this network."""
        return {reg(Register.VNI): f"{self.network.vni:#x}"}

    @property
    def peers(self) -> tuple[HostIntent, ...]:
        """The other hosts that have ports of this network."""
        return tuple(sorted({host for _, host in self.remote}, key=lambda host: host.id))


def overlays(snapshot: IntentSnapshot, view: HostView) -> Iterator[Overlay]:
    """The networks that have a port plugged on this host, and (without local ports) those that routers lead to from
    here: the other networks of their routers, and the networks of routers that have their gateway here."""
    ofports = dict(view.ofports)
    hosts = {host.name: host for host in snapshot.hosts}
    plugged = (port.id for port in snapshot.ports if port.iface_id in ofports)
    zones = port_zones(plugged, (router.zone for router in snapshot.routers))
    local: dict[int, list[LocalPort]] = {}
    remote: dict[int, list[tuple[PortIntent, HostIntent]]] = {}
    absent: dict[int, list[PortIntent]] = {}
    for port in sorted(snapshot.ports, key=lambda port: port.id):  # the order of a flood must not depend on the rows'
        if port.iface_id in ofports:
            local.setdefault(port.network_id, []).append(LocalPort(port, ofports[port.iface_id], zones[port.id]))
        elif port.host is not None and port.host != view.host and port.host in hosts:
            remote.setdefault(port.network_id, []).append((port, hosts[port.host]))
        else:
            absent.setdefault(port.network_id, []).append(port)
    reached = _routed_from(snapshot, view, frozenset(local))
    for network in snapshot.networks:
        if network.id in local or network.id in reached:
            here, away = tuple(local.get(network.id, ())), tuple(remote.get(network.id, ()))
            yield Overlay(network, here, away, tuple(absent.get(network.id, ())), view.tunnel_ofport)


def _routed_from(snapshot: IntentSnapshot, view: HostView, local: frozenset[int]) -> frozenset[int]:
    reached: set[int] = set()
    for router in snapshot.routers:
        networks = {port.network_id for port in router.ports}
        if networks & local or (router.external_id is not None and router.gateway_host == view.host):
            reached |= networks
    return frozenset(reached)
