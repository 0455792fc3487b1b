"""What the network should be: plain values that rows become and that the compiler reads.

Ids are the rows' integer ids (they go into cookies and registers); `iface_id` is the Port row's uuid, which libvirt
writes to `external_ids:iface-id` of the OVS Interface when it plugs the tap. Everything here is of both IP families:
a subnet's addresses are all of one family, a port may have several of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

from sdn.model.addresses import HostName, IfaceId, Mac, Vni, eui64
from sdn.model.mtu import PROVIDER_KINDS, Encapsulation

Address = IPv4Address | IPv6Address
Cidr = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class RouteIntent:
    """A static route: what goes to `destination` is handed to `next_hop`, an address of one of the router's subnets."""

    destination: Cidr
    next_hop: Address


@dataclass(frozen=True, slots=True)
class SubnetIntent:
    """One subnet: `gateway` is answered by the pipeline itself (ARP, ND, ping) with the network's `router_mac`.

    `routes` are told to guests by DHCP (classless routes) beside the default one. `dns` are the resolvers that the
    gateway, which guests ask, forwards to. With `is_slaac` (IPv6) guests make their address of their MAC (EUI-64), else
    they get it by DHCPv6 only; either way it is the port's own.
    """

    id: int
    cidr: Cidr
    gateway: Address
    dns: tuple[Address, ...]
    routes: tuple[RouteIntent, ...] = ()
    is_slaac: bool = False


@dataclass(frozen=True, slots=True)
class NetworkIntent:
    """One network: an overlay (`kind` is how it is encapsulated), or a provider network, which lies on `br-ex` of the hosts.

    A provider network is a VLAN (`vid`) or the untagged segment there. Its gateways are machines outside: told to guests,
    answered by nobody here. `vni` then is its number inside the switches alone, never on a wire. `mtu` is in bytes.
    `domain` ("payments-net.payments.internal") is what its ports' names are in; what follows the first dot is the team's.
    """

    id: int
    name: str
    vni: Vni
    mtu: int
    router_mac: Mac
    subnets: tuple[SubnetIntent, ...]
    domain: str = ""
    kind: Encapsulation = "vxlan"
    vid: int | None = None

    @property
    def is_provider(self) -> bool:
        """Does it lie on `br-ex`, with its gateways outside?"""
        return self.kind in PROVIDER_KINDS

    def resolvers(self, subnet: SubnetIntent) -> tuple[Address, ...]:
        """Whom guests are told to ask for names: the gateway, which knows the team's and asks `dns`, and these beside it."""
        return subnet.dns if self.is_provider else (subnet.gateway, *subnet.dns)


@dataclass(frozen=True, slots=True)
class AddressPair:
    """What a port may send from beside its own addresses; `mac` None means the port's own."""

    cidr: Cidr
    mac: Mac | None = None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `rate_kbps` over time; a burst of `burst_kbit` passes at once."""

    rate_kbps: int
    burst_kbit: int


@dataclass(frozen=True, slots=True)
class PortIntent:
    """One port of a network, bound to a host or to none yet.

    `groups` are the ids of its security groups. A port without `is_secured` is neither held to its addresses nor
    filtered by groups.
    """

    id: int
    iface_id: IfaceId
    network_id: int
    host: HostName | None
    mac: Mac
    addresses: tuple[Address, ...]
    name: str  # host name told by DHCP
    groups: tuple[int, ...] = ()
    is_secured: bool = True
    pairs: tuple[AddressPair, ...] = ()
    sends: RateLimit | None = None  # of what the guest sends; None: no limit
    receives: RateLimit | None = None

    @property
    def is_limited(self) -> bool:
        return self.sends is not None or self.receives is not None


RuleDirection = Literal["ingress", "egress"]
RuleProtocol = Literal["any", "tcp", "udp", "icmp", "sctp"]  # icmp is ICMPv6 where family is 6


@dataclass(frozen=True, slots=True)
class RuleIntent:
    """One security rule: what it allows. At most one of `cidr` and `group_id`; with neither, anybody.

    `ports` is a closed range for tcp, udp and sctp, (type, code or -1) for icmp, None for all.
    """

    id: int
    direction: RuleDirection
    family: Literal[4, 6]
    protocol: RuleProtocol
    ports: tuple[int, int] | None = None
    cidr: Cidr | None = None
    group_id: int | None = None


@dataclass(frozen=True, slots=True)
class SecurityGroupIntent:
    """A named set of rules; a port that is in several groups may do what any of them allows."""

    id: int
    name: str
    rules: tuple[RuleIntent, ...]


@dataclass(frozen=True, slots=True)
class RouterPortIntent:
    """A router's leg in a subnet: it has the subnet's gateway address and the network's router MAC."""

    network_id: int
    subnet_id: int


@dataclass(frozen=True, slots=True)
class ExternalIntent:
    """An external network: a flat segment (or `vid`) behind the bridge `br-ex` of each gateway host.

    `gateway` is the next hop of whatever leaves. Addresses of `cidr` are given to routers (SNAT) and as floating ones.
    With a `cidr6` (a /64) IPv6 leaves too, by the same next hop's MAC, as the router's own address there (`address6_of`)
    or as a floating one of it.
    """

    id: int
    name: str
    vid: int | None
    mtu: int
    cidr: IPv4Network
    gateway: IPv4Address | None
    cidr6: IPv6Network | None = None

    def address6_of(self, mac: Mac | None) -> IPv6Address | None:
        """What a router with that external MAC is seen as over IPv6; None where IPv6 has no way outside."""
        if self.cidr6 is None or self.gateway is None or mac is None:
            return None
        return eui64(self.cidr6, mac)


@dataclass(frozen=True, slots=True)
class FloatingIntent:
    """An external address that stands for one fixed address of a port, both ways; the two are of one family."""

    id: int
    address: Address
    port_id: int
    fixed: Address


@dataclass(frozen=True, slots=True)
class RouterIntent:
    """A distributed router. `vni` carries what its hosts send to its gateway host and back; `zone` is its NAT zone.

    With an `external_id`, `external_address` is what its networks are seen as, `external_mac` answers for it and for
    the floating addresses, and `gateway_host` is where that happens.
    """

    id: int
    name: str
    vni: Vni
    zone: int
    ports: tuple[RouterPortIntent, ...]
    routes: tuple[RouteIntent, ...] = ()
    external_id: int | None = None
    external_address: IPv4Address | None = None
    external_mac: Mac | None = None
    gateway_host: HostName | None = None
    floating: tuple[FloatingIntent, ...] = ()


@dataclass(frozen=True, slots=True)
class MirrorIntent:
    """Copies of what the source port's guest sends, or receives, for the guest of another port, on whatever host it is.

    `vni` carries the copies between hosts and is the mirror's alone. There a frame of more than `frame_bytes`, all that a
    tunnel carries, is cut to it.
    """

    id: int
    source_id: int
    target_id: int
    vni: Vni
    sends: bool = True
    receives: bool = True
    frame_bytes: int = 1464


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
    groups: tuple[SecurityGroupIntent, ...] = ()
    routers: tuple[RouterIntent, ...] = ()
    externals: tuple[ExternalIntent, ...] = ()
    mirrors: tuple[MirrorIntent, ...] = ()

    @property
    def needs_cable(self) -> bool:
        """Is there anything behind `br-ex` that br-int must lead to?"""
        return bool(self.externals) or any(network.is_provider for network in self.networks)

    @property
    def needs_geneve(self) -> bool:
        """Is there a network that goes by Geneve? VXLAN is always there: it carries what routers send to their gateway."""
        return any(network.kind == "geneve" for network in self.networks)


@dataclass(frozen=True, slots=True)
class HostView:
    """What one host's switch has now, as OVSDB tells: needed to compile, since ofports are the switch's own.

    `external_ofport` is br-int's end of the cable to br-ex; `neighbours` are the MACs that hosts of external networks
    answered with, by (external network's id, address).
    """

    host: HostName
    ofports: tuple[tuple[IfaceId, int], ...]  # interfaces with an iface-id and an ofport > 0, sorted
    tunnel_ofport: int | None  # the flow-based VXLAN port of br-int
    external_ofport: int | None = None
    neighbours: tuple[tuple[int, IPv4Address, Mac], ...] = ()
    sampled: tuple[int, ...] = ()  # ids of the ports whose dropped packets are copied to the controller, sorted
    geneve_ofport: int | None = None  # the flow-based Geneve port, which is there while a network wants it
    has_meters: bool = True  # without them rate limits are not enforced here, and nothing else differs
    stand_ins: tuple[IfaceId, ...] = ()  # plugged nowhere; the controller sends packets in their name, sorted

    @property
    def tunnel_ofports(self) -> tuple[int, ...]:
        """Every tunnel's."""
        return tuple(number for number in (self.tunnel_ofport, self.geneve_ofport) if number is not None)
