"""Random worlds with everything in them, and random changes of them: networks of both families, some of them Geneve or VLANs, routers, SNAT and floating addresses, static routes, groups that name groups, pairs, unsecured ports, mirrors, ports anywhere."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from sdn.model.addresses import HostName, IfaceId, Mac, Vni, eui64
from sdn.model.intent import (
    Address,
    AddressPair,
    ExternalIntent,
    FloatingIntent,
    HostIntent,
    HostView,
    IntentSnapshot,
    MirrorIntent,
    NetworkIntent,
    PortIntent,
    RouteIntent,
    RouterIntent,
    RouterPortIntent,
    RuleIntent,
    SecurityGroupIntent,
    SubnetIntent,
)
from sdn.model.mtu import Encapsulation

NEXT_HOP = IPv4Address("198.51.100.1")
EXTERNAL = ExternalIntent(1, "internet", None, 1500, IPv4Network("198.51.100.0/24"), NEXT_HOP, IPv6Network("2001:db8:51::/64"))  # fmt: skip
NETWORKS, GROUPS, ROUTERS, MIRRORS = 4, 3, 2, 3


def random_world(chance: random.Random, hosts: int = 3, ports: int = 7) -> IntentSnapshot:
    """A whole world; which of its parts there are is chance too."""
    world = IntentSnapshot(
        1,
        tuple(HostIntent(n, HostName(f"hv{n}"), IPv4Address(f"192.0.2.{10 + n}")) for n in range(1, hosts + 1)),
        tuple(_network(chance, number) for number in range(1, NETWORKS + 1)),
        (),
        tuple(_group(chance, number) for number in range(1, GROUPS + 1)),
        externals=(EXTERNAL,),
    )
    world = replace(world, ports=tuple(_port(chance, world, number) for number in range(1, ports + 1)))
    routers = []
    for number in range(1, ROUTERS + 1):
        routers.append(_router(chance, world, number, tuple(routers)))
    mirrors = (_mirror(chance, world, number) for number in range(1, MIRRORS + 1) if chance.random() < 0.5)
    return replace(world, routers=tuple(routers), mirrors=tuple(mirrors))


def changed(chance: random.Random, world: IntentSnapshot) -> IntentSnapshot:
    """The world after one random change of whatever sort."""
    return replace(chance.choice(CHANGES)(chance, world), generation=world.generation + 1)


def random_view(chance: random.Random, world: IntentSnapshot, host: HostName) -> HostView:
    """What the host has plugged: most of what is bound there, rarely something that is not."""
    plugged = [port for port in world.ports if chance.random() < (0.9 if port.host == host else 0.05)]
    ofports = tuple(sorted((port.iface_id, 100 + port.id) for port in plugged))
    neighbours = tuple((1, NEXT_HOP, Mac("02:00:00:00:00:01")) for _ in range(chance.randrange(2)))
    tunnel, cable = chance.choice((1, 1, 1, None)), chance.choice((9, 9, None))
    off = [port for port in world.ports if port not in plugged and chance.random() < 0.3]
    stand_ins = tuple(sorted(port.iface_id for port in off))
    geneve = chance.choice((8, 8, None))
    return HostView(host, ofports, tunnel, cable, neighbours, geneve_ofport=geneve, stand_ins=stand_ins)


def _network(chance: random.Random, number: int) -> NetworkIntent:
    subnets = [_subnet(number * 10, IPv4Network(f"10.{number}.0.0/24"))]
    if chance.random() < 0.4:
        subnets.append(_subnet(number * 10 + 1, IPv6Network(f"fd00:{number}::/64")))
    mac = Mac(f"52:54:00:ff:00:{number:02x}")
    kind: Encapsulation = chance.choice(("vxlan", "vxlan", "geneve", "vlan"))
    vid = 100 + number if kind == "vlan" else None
    return NetworkIntent(
        number, f"net-{number}", Vni(0x1000 + number), chance.choice((1450, 1400)), mac, tuple(subnets), "", kind, vid
    )


def _subnet(row_id: int, cidr: IPv4Network | IPv6Network) -> SubnetIntent:
    return SubnetIntent(row_id, cidr, cidr[1], ())


def _port(chance: random.Random, world: IntentSnapshot, number: int) -> PortIntent:
    network = chance.choice(world.networks)
    mac = Mac(f"52:54:00:00:00:{number:02x}")
    own = []
    for subnet in network.subnets:
        six = isinstance(subnet.cidr, IPv6Network)
        own.append(eui64(subnet.cidr, mac) if isinstance(subnet.cidr, IPv6Network) else subnet.cidr[10 + number])
        if not six and chance.random() < 0.1:
            own.append(subnet.cidr[110 + number])
    host = chance.choice((*world.hosts, *world.hosts, None))
    pairs = (AddressPair(IPv4Network(f"10.{network.id}.0.200/32")),) if chance.random() < 0.15 else ()
    groups = tuple(sorted(group.id for group in world.groups if chance.random() < 0.5))
    return PortIntent(
        number, IfaceId(f"iface-{number}"), network.id, host.name if host else None, mac, tuple(own), f"vm-{number}",
        groups, chance.random() < 0.9, pairs,
    )  # fmt: skip


def _group(chance: random.Random, number: int) -> SecurityGroupIntent:
    rules = [_rule(chance, number * 100 + index) for index in range(chance.randrange(1, 5))]
    return SecurityGroupIntent(number, f"group-{number}", tuple(rules))


def _rule(chance: random.Random, row_id: int) -> RuleIntent:
    family, protocol = chance.choice((4, 4, 4, 6)), chance.choice(("any", "any", "tcp", "icmp"))
    numbers = (
        {"tcp": (80, 83), "icmp": (8 if family == 4 else 128, -1)}.get(protocol) if chance.random() < 0.7 else None
    )
    other = chance.choice(("anybody", "group", "cidr"))
    cidr = IPv4Network("10.1.0.0/25") if family == 4 else IPv6Network("fd00:1::/64")
    return RuleIntent(
        row_id, chance.choice(("ingress", "egress")), family, protocol, numbers,
        cidr if other == "cidr" else None, chance.randrange(1, GROUPS + 1) if other == "group" else None,
    )  # type: ignore[arg-type]  # fmt: skip


def _router(
    chance: random.Random, world: IntentSnapshot, number: int, others: tuple[RouterIntent, ...]
) -> RouterIntent:
    taken = {leg.network_id for router in others for leg in router.ports}  # a network has one router
    legs = [
        RouterPortIntent(network.id, subnet.id)
        for network in world.networks
        for subnet in network.subnets
        if network.id not in taken and chance.random() < 0.5
    ]
    mine = {leg.network_id for leg in legs}
    ports = [port for port in world.ports if port.network_id in mine and port.addresses]
    hop = chance.choice(ports).addresses[0] if ports and chance.random() < 0.3 else IPv4Address("10.1.0.99")
    routes = (RouteIntent(IPv4Network("172.16.0.0/16"), hop),) if hop.version == 4 and chance.random() < 0.5 else ()
    outside = chance.random() < 0.7
    floating = [
        FloatingIntent(1000 * family + 10 * number + index, _floating(10 * number + index, family), port.id, address)
        for index, port in enumerate(ports[:2])
        for family, address in sorted({one.version: one for one in reversed(port.addresses)}.items())
        if chance.random() < 0.5
    ]
    return RouterIntent(
        number, f"router-{number}", Vni(0x400000 + number), 60000 + number, tuple(legs), routes,
        EXTERNAL.id if outside else None, IPv4Address(f"198.51.100.{9 + number}") if outside else None,
        Mac(f"52:54:00:ee:00:{number:02x}") if outside else None,
        chance.choice(world.hosts).name if outside else None, tuple(floating) if outside else (),
    )  # fmt: skip


def _floating(number: int, family: int) -> Address:
    external = EXTERNAL.cidr if family == 4 or EXTERNAL.cidr6 is None else EXTERNAL.cidr6
    return external[100 + number]


def _mirror(chance: random.Random, world: IntentSnapshot, number: int) -> MirrorIntent:
    """Of the port of its number, for a port has one; the ends may be gone."""
    target = chance.randrange(1, len(world.ports) + 3)
    sends = chance.random() < 0.7
    room = chance.choice((1464, 1414))
    return MirrorIntent(number, number, target, Vni(0x600000 + number), sends, not sends or chance.random() < 0.7, room)


def _port_anew(chance: random.Random, world: IntentSnapshot) -> IntentSnapshot:
    number = chance.randrange(1, len(world.ports) + 3)
    rest = [port for port in world.ports if port.id != number]
    fresh = [_port(chance, world, number)] if chance.random() < 0.8 else []
    return replace(world, ports=tuple(sorted((*rest, *fresh), key=lambda port: port.id)))


def _port_edited(chance: random.Random, world: IntentSnapshot) -> IntentSnapshot:
    if not world.ports:
        return world
    port = chance.choice(world.ports)
    other = _port(chance, world, port.id)
    edits = (
        replace(port, host=other.host),
        replace(port, groups=other.groups),
        replace(port, is_secured=not port.is_secured),
        replace(port, pairs=other.pairs),
        replace(port, name=port.name + "x"),
        replace(port, network_id=other.network_id, addresses=other.addresses),
    )
    edited = chance.choice(edits)
    return replace(world, ports=tuple(edited if one is port else one for one in world.ports))


def _group_anew(chance: random.Random, world: IntentSnapshot) -> IntentSnapshot:
    number = chance.randrange(1, GROUPS + 1)
    rest = [group for group in world.groups if group.id != number]
    fresh = [_group(chance, number)] if chance.random() < 0.9 else []
    return replace(world, groups=tuple(sorted((*rest, *fresh), key=lambda group: group.id)))


def _router_anew(chance: random.Random, world: IntentSnapshot) -> IntentSnapshot:
    number = chance.randrange(1, ROUTERS + 1)
    rest = tuple(router for router in world.routers if router.id != number)
    fresh = [_router(chance, world, number, rest)] if chance.random() < 0.85 else []
    return replace(world, routers=tuple(sorted((*rest, *fresh), key=lambda router: router.id)))


def _network_anew(chance: random.Random, world: IntentSnapshot) -> IntentSnapshot:
    fresh = _network(chance, chance.randrange(1, NETWORKS + 1))
    return replace(world, networks=tuple(fresh if one.id == fresh.id else one for one in world.networks))


def _mirror_anew(chance: random.Random, world: IntentSnapshot) -> IntentSnapshot:
    number = chance.randrange(1, MIRRORS + 1)
    rest = [mirror for mirror in world.mirrors if mirror.id != number]
    fresh = [_mirror(chance, world, number)] if chance.random() < 0.8 else []
    return replace(world, mirrors=tuple(sorted((*rest, *fresh), key=lambda mirror: mirror.id)))


def _hosts_anew(chance: random.Random, world: IntentSnapshot) -> IntentSnapshot:
    moved = chance.randrange(len(world.hosts))
    hosts = [replace(one, underlay_ip=one.underlay_ip + 100 * (one.underlay_ip < IPv4Address("192.0.2.100"))) if index == moved else one for index, one in enumerate(world.hosts)]  # fmt: skip
    return replace(world, hosts=tuple(hosts))


Change = Callable[[random.Random, IntentSnapshot], IntentSnapshot]
CHANGES: tuple[Change, ...] = (
    _port_anew, _port_anew, _port_edited, _port_edited, _port_edited, _group_anew, _router_anew, _network_anew, _hosts_anew,
    _mirror_anew,
)  # fmt: skip
