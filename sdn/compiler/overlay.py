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
    """The networks that have a port plugged on this host."""
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
    for network in snapshot.networks:
        if here := local.get(network.id):
            away, gone = remote.get(network.id, ()), absent.get(network.id, ())
            yield Overlay(network, tuple(here), tuple(away), tuple(gone), view.tunnel_ofport)
