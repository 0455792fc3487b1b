"""What the network should be: plain values that rows become and that the compiler reads.

Ids are the rows' integer ids (they go into cookies and registers); `iface_id` is the Port row's uuid, which libvirt
writes to `external_ids:iface-id` of the OVS Interface when it plugs the tap.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from sdn.model.addresses import HostName, IfaceId, Mac, Vni


@dataclass(frozen=True, slots=True)
class SubnetIntent:
    """One IPv4 subnet: `gateway` is answered by the pipeline itself (ARP) with the network's `router_mac`."""

    id: int
    cidr: IPv4Network
    gateway: IPv4Address
    dns: tuple[IPv4Address, ...]


@dataclass(frozen=True, slots=True)
class NetworkIntent:
    """One overlay network. `zone` is its conntrack zone, `mtu` what guests are told, in bytes."""

    id: int
    name: str
    vni: Vni
    zone: int
    mtu: int
    router_mac: Mac
    subnets: tuple[SubnetIntent, ...]


@dataclass(frozen=True, slots=True)
class PortIntent:
    """One port of a network, bound to a host or to none yet."""

    id: int
    iface_id: IfaceId
    network_id: int
    host: HostName | None
    mac: Mac
    addresses: tuple[IPv4Address, ...]
    name: str  # host name told by DHCP


@dataclass(frozen=True, slots=True)
class HostIntent:
    """One host of the overlay; `underlay_ip` is the tunnel end point."""

    id: int
    name: HostName
    underlay_ip: IPv4Address


@dataclass(frozen=True, slots=True)
class IntentSnapshot:
    """All that the compiler needs, of one `generation`; each tuple sorted by id."""

    generation: int
    hosts: tuple[HostIntent, ...]
    networks: tuple[NetworkIntent, ...]
    ports: tuple[PortIntent, ...]


@dataclass(frozen=True, slots=True)
class HostView:
    """What one host's switch has now, as OVSDB tells: needed to compile, since ofports are the switch's own."""

    host: HostName
    ofports: tuple[tuple[IfaceId, int], ...]  # interfaces with an iface-id and an ofport > 0, sorted
    tunnel_ofport: int | None  # the flow-based VXLAN port of br-int
