"""A pair of an intent's ports as a trace's question: the packet that the one's guest would send to the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address
from typing import Literal

from sdn.model.addresses import Mac
from sdn.model.flow import Flow
from sdn.model.intent import HostView, IntentSnapshot, NetworkIntent, PortIntent
from sdn.model.packet import ECHO_REQUEST, Address, Packet
from sdn.trace import Endpoint, Question, TraceHost
from sdn.trace.question import WireSegment

CLIENT_PORT = 49152
ServiceProtocol = Literal["icmp", "tcp", "udp", "sctp"]


@dataclass(frozen=True, slots=True, order=True)
class Service:
    """What is asked for: `port` is 0 for icmp, which is a ping."""

    protocol: ServiceProtocol
    port: int = 0

    def __str__(self) -> str:
        return f"{self.protocol}/{self.port}" if self.port else self.protocol


@dataclass(frozen=True)
class Scene:
    """An intent, what its hosts have plugged, and the flows that this comes to on each host."""

    snapshot: IntentSnapshot
    views: tuple[HostView, ...]
    flows: Mapping[str, tuple[Flow, ...]]

    @cached_property
    def ports(self) -> dict[int, PortIntent]:
        return {port.id: port for port in self.snapshot.ports}

    @cached_property
    def networks(self) -> dict[int, NetworkIntent]:
        return {network.id: network for network in self.snapshot.networks}

    @cached_property
    def ofports(self) -> dict[int, tuple[str, int]]:
        """Port id → where it is plugged: host and ofport."""
        by_iface = {iface: (str(view.host), number) for view in self.views for iface, number in view.ofports}
        return {port.id: by_iface[port.iface_id] for port in self.snapshot.ports if port.iface_id in by_iface}

    @cached_property
    def plugged(self) -> dict[str, dict[int, PortIntent]]:
        """Host → ofport → port."""
        found: dict[str, dict[int, PortIntent]] = {str(view.host): {} for view in self.views}
        for port_id, (host, ofport) in self.ofports.items():
            found[host][ofport] = self.ports[port_id]
        return found

    def endpoint(self, port: PortIntent, family: int, name: str = "") -> Endpoint:
        """The port as a trace's end, with its address of the family (0.0.0.0 where it has none)."""
        own = next((one for one in port.addresses if one.version == family), IPv4Address(0))
        host, ofport = self.ofports.get(port.id, (str(port.host or ""), None))
        mtu = self.networks[port.network_id].mtu
        return Endpoint(name or port.name, "eth0", port.mac, own, host, f"port {port.id}", ofport, "virtio", "qemu", "-", mtu)  # fmt: skip

    def family_of(self, source: PortIntent, target: PortIntent) -> Literal[4, 6] | None:
        """The IP family that the pair would speak: IPv4 where both have it; None where they share none."""
        shared = {one.version for one in source.addresses} & {one.version for one in target.addresses}
        return None if not shared else 4 if 4 in shared else 6

    def question(self, source: PortIntent, target: PortIntent, service: Service, names: tuple[str, str] = ("", "")) -> Question:  # fmt: skip
        """The first packet of a new connection. `names` stand for the ends' own. Raises ValueError: no common family."""
        family = self.family_of(source, target)
        if family is None:
            raise ValueError(f"{source.name} and {target.name} have no address of one family")
        here, there = self.endpoint(source, family, names[0]), self.endpoint(target, family, names[1])
        ends = {end.ofport: end for end in (here, there) if end.ofport is not None and end.host == here.host}
        remote = {there.ofport: there} if there.ofport is not None else {}
        hosts = []
        for host in self.snapshot.hosts:
            named = ends if host.name == here.host else remote if host.name == there.host else {}
            hosts.append(TraceHost(str(host.name), str(host.underlay_ip), None, _Plugged(self, str(host.name), family, named)))  # fmt: skip
        packet = self._packet(source, target, service, here.address, there.address)
        started = ""
        network = self.networks[source.network_id]
        on_wire = network.is_provider and target.network_id == network.id
        return Question(
            "", here, there, packet, tuple(hosts), self.snapshot.generation, started, moment="first",
            segment=WireSegment(network.vid) if on_wire else None,
        )  # fmt: skip

    def _packet(self, source: PortIntent, target: PortIntent, service: Service, from_: Address, to: Address) -> Packet:
        same = source.network_id == target.network_id
        to_mac = target.mac if same else self.networks[source.network_id].router_mac
        ports = (0, ECHO_REQUEST[to.version]) if service.protocol == "icmp" else (CLIENT_PORT, service.port)
        return Packet(service.protocol, Mac(source.mac), Mac(to_mac), from_, to, port_src=ports[0], port_dst=ports[1])


class _Plugged(dict[int, Endpoint]):
    """What is behind a host's ofports; the ends are known, the others are made when they are met."""

    def __init__(self, scene: Scene, host: str, family: int, known: Mapping[int, Endpoint]) -> None:
        super().__init__(known)
        self._scene, self._host, self._family = scene, host, family

    def __missing__(self, ofport: int) -> Endpoint:
        port = self._scene.plugged[self._host][ofport]
        return self._scene.endpoint(port, self._family)

    def get(self, ofport: int, default: Endpoint | None = None) -> Endpoint | None:  # type: ignore[override]
        try:
            return self[ofport]
        except KeyError:
            return default
