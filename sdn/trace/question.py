"""What a predicted trace is asked with, and the seam to the hosts it asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sdn.linux.bridges import BridgeReading
from sdn.linux.namespaces import FarEnd
from sdn.model.device import DeviceChain
from sdn.model.packet import Address, Packet
from sdn.model.trace import Direction

Moment = Literal["as_is", "first", "established"]
STOOD_IN = 0xFFFD  # the controller, which sends in the name of ports that are plugged nowhere
TUNNEL_TYPES = ("vxlan", "geneve", "gre")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A VM's NIC: where it is plugged (`ofport` None: nowhere now) and its device chain. `mtu` 0: not known."""

    name: str
    nic: str
    mac: str
    address: Address
    host: str
    tap: str
    ofport: int | None
    nic_model: str
    backend: str
    domain: str
    mtu: int = 0
    chain: DeviceChain = field(default_factory=DeviceChain)
    iface_id: str = ""  # what a switch knows its interface by
    stood_in_as: int = 0  # its port's id, where it is plugged nowhere and its switch takes packets in its name

    @property
    def entry(self) -> dict[str, str]:
        """How its packets come into its switch: the fields beside the packet's own; none where it is plugged nowhere."""
        if self.ofport is not None:
            return {"in_port": str(self.ofport)}
        return {"in_port": str(STOOD_IN), "reg0": f"{self.stood_in_as:#x}"} if self.stood_in_as else {}


@dataclass(frozen=True, slots=True)
class PortFacts:
    """A port of a switch as the switch tells it."""

    bridge: str
    ofport: int
    name: str
    type: str
    datapath_port: str


@dataclass(frozen=True, slots=True)
class TraceHost:
    """One host of the overlay. `ports` names what is behind br-int's ofports.

    `tunnel_ofport` is its VXLAN port's, or `tunnels` every tunnel's (ofport, kind); where neither is given it is asked for.
    """

    name: str
    underlay_ip: str
    tunnel_ofport: int | None
    ports: Mapping[int, Endpoint]
    underlay_mtu: int = 0
    tunnels: tuple[tuple[int, str], ...] = ()

    @property
    def known_tunnels(self) -> dict[int, str]:
        """Kind by ofport, as far as it was given."""
        if self.tunnel_ofport is None:
            return dict(self.tunnels)
        return {self.tunnel_ofport: "vxlan", **dict(self.tunnels)}


@dataclass(frozen=True, slots=True)
class WireSegment:
    """What both ends' provider network lies on behind `br-ex` of each host: a VLAN, or (vid None) the untagged segment."""

    vid: int | None

    def __str__(self) -> str:
        return f"VLAN {self.vid}" if self.vid else "untagged"


@dataclass(frozen=True, slots=True)
class Outside:
    """An external network that a packet comes from: it meets the source's host by the cable of `br-ex`, tagged with `vid`."""

    network: str
    vid: int | None


@dataclass(frozen=True, slots=True)
class FromRouter:
    """A packet that a distributed router sends: it comes to the source's host as what another host has routed, by the tunnel
    of `kind`, with `vni`: the network's, or the router's own where it goes outside."""

    router: str
    vni: int
    kind: str = "vxlan"


@dataclass(frozen=True, slots=True)
class Question:
    """Where would this packet go? `target` is None where nobody has its address. With a `segment`, hosts hand the packet
    on by their wire; one from `outside` or from a `router` is plugged nowhere and comes in by its source's host.

    `moment` "as_is" takes each connection as conntrack has it, "first" as not there yet, "established" as answered.
    """

    id: str
    source: Endpoint
    target: Endpoint | None
    packet: Packet
    hosts: tuple[TraceHost, ...]
    generation: int
    started_at: str
    direction: Direction = "forward"
    bridge: str = "br-int"
    moment: Moment = "as_is"
    ct_next: tuple[str, ...] = ()  # states that were given; the rest are looked up
    is_one_host: bool = False  # what leaves the host has arrived, as far as this question goes
    segment: WireSegment | None = None
    outside: Outside | None = None
    router: FromRouter | None = None
    is_exact: bool = False  # the client's port is the packet's own, and not any connection's to that service
    overlay: tuple[tuple[str, str], ...] = ()  # header fields that are not as the source would send them

    @property
    def target_name(self) -> str:
        return self.target.name if self.target else str(self.packet.ip_dst)


def linux_bridges_of(question: Question) -> list[tuple[str, str]]:
    """The Linux bridges (host, name) that a packet of the question crosses: its ends' own."""
    ends = [end for end in (question.source, question.target) if end is not None and end.ofport is not None]
    return [(end.host, end.chain.bridge) for end in ends if end.chain.veth]


class HostUnreachable(Exception):
    """A host's switch could not be asked; the message is a sentence that says why."""


class TraceWorld(Protocol):
    """Asks the hosts. Implementations raise HostUnreachable, and bound the time that a whole trace may take."""

    def ofproto_trace(self, host: str, bridge: str, flow: str, ct_next: tuple[str, ...]) -> str: ...

    def conntrack(self, host: str, zone: int) -> str:
        """The zone's connections, a line each, as `dpctl/dump-conntrack` prints them."""

    def ports(self, host: str) -> tuple[PortFacts, ...]:
        """Every port of every bridge."""

    def wait_for_neighbour(self, host: str, attempt: int) -> bool:
        """A moment's wait for the ARP answer that the host's switch asked for; False when it has waited long enough."""

    def flows(self, host: str, bridge: str, table: int) -> str:
        """One table's flows, as `ovs-ofctl --no-names dump-flows` prints them."""

    def linux_bridge(self, host: str, bridge: str) -> BridgeReading:
        """A Linux bridge and the host's netfilter, as far as they can be read; never raises."""

    def behind(self, host: str, port: PortFacts) -> FarEnd | None:
        """The namespace that a port's cable leads into, where it can be read that one does; never raises."""


def tunnel_ports(ports: tuple[PortFacts, ...], bridge: str) -> dict[int, str]:
    """The bridge's tunnels, kind by ofport."""
    return {
        port.ofport: port.type if port.type in TUNNEL_TYPES else "vxlan"
        for port in ports
        if port.bridge == bridge and (port.type in TUNNEL_TYPES or port.name == "vxlan0")
    }


def cable_port(ports: tuple[PortFacts, ...], bridge: str) -> PortFacts | None:
    """The bridge's end of the cable to `br-ex`, None where it has none."""
    patches = [port for port in ports if port.bridge == bridge and port.type == "patch"]
    return next((port for port in patches if port.name == "hs-ex"), patches[0] if patches else None)
