"""Random worlds and the outside: real frames through a real switch's conntrack, translated as a plain specification says.

[any port]--100+id--[br-int@hv1]--9--[br-ex]--[203.0.113.80, 2001:db8:80::80]   SNAT, floating addresses, both ways
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from os_ken.lib.packet import ethernet, packet, tcp

from sdn.compiler import compile_host
from sdn.model.addresses import IfaceId, Mac, Vni
from sdn.model.flow import format_flow
from sdn.model.intent import (
    Address,
    HostView,
    NetworkIntent,
    PortIntent,
    RouterIntent,
    SubnetIntent,
)
from sdn.shadow import Shadow
from sdn.shadow.world import without_limits
from tests.sdn.frames import Bench, Out, arp_frame, ip6_frame, ip_frame
from tests.sdn.random_worlds import EXTERNAL, NEXT_HOP, random_world
from tests.sdn.spec import Sample, gets_from_outside, outsider, seen_outside_as
from tests.sdn.test_random_reach import overlays_alone

TUNNEL, GENEVE, CABLE, FIRST, PORTS = 1, 8, 9, 100, 8
SYN, SYN_ACK = 0x02, 0x12
INET_MAC, MARK_MAC = Mac("02:00:00:00:00:01"), Mac("52:54:00:00:00:99")
SERVERS: dict[int, Address] = {4: IPv4Address("203.0.113.80"), 6: IPv6Address("2001:db8:80::80")}
MARK_CIDR = IPv4Network("10.99.0.0/24")
MARK_NETWORK = NetworkIntent(99, "mark", Vni(0x1099), 1450, Mac("52:54:00:ff:00:99"), (SubnetIntent(990, MARK_CIDR, MARK_CIDR[1], ()),))  # fmt: skip
MARKER = (FIRST + 99, arp_frame(1, (MARK_MAC, MARK_CIDR[9]), ("00:00:00:00:00:00", MARK_CIDR[1])))


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Shadow() as shadow:
        ports = (TUNNEL, GENEVE, CABLE, FIRST + 99, *(FIRST + number for number in range(1, PORTS + 1)))
        yield Bench(shadow, ports, "", MARKER)


class Scene:
    """A world of one host at the bench, the packets that are sent there, and what is said to come of them."""

    def __init__(self, bench: Bench, chance: random.Random) -> None:
        self.bench, self.chance = bench, chance
        drawn = without_limits(overlays_alone(chance, random_world(chance, 1, PORTS)))
        hv1 = drawn.hosts[0].name
        mark = PortIntent(99, IfaceId("mark"), 99, hv1, MARK_MAC, (MARK_CIDR[9],), "mark")
        self.world = replace(drawn, networks=(*drawn.networks, MARK_NETWORK), ports=(*drawn.ports, mark))
        here = [port for port in self.world.ports if port.host == hv1 and (port.id == 99 or chance.random() < 0.9)]
        self.plugged = frozenset(port.id for port in here)
        ofports = tuple(sorted((port.iface_id, FIRST + port.id) for port in here))
        view = HostView(hv1, ofports, TUNNEL, CABLE, ((EXTERNAL.id, NEXT_HOP, INET_MAC),), geneve_ofport=GENEVE)
        bench.set_flows("\n".join(format_flow(flow) for flow in compile_host(self.world, view)))
        bench.forget_connections()
        self.networks = {network.id: network for network in self.world.networks}

    def sample(self, source: PortIntent, target: PortIntent, family: int) -> Sample:
        return Sample(source, target, family, "tcp", self.chance.choice((81, 84)))  # type: ignore[arg-type]

    def leaves(self, port: PortIntent, family: int) -> None:
        """A guest opens a connection to the server outside: what left by the cable, which must be what the specification says."""
        server = outsider(SERVERS[family])
        sample = self.sample(port, server, family)
        expected = seen_outside_as(self.world, sample)
        own, router_mac = sample.address(port), self.networks[port.network_id].router_mac
        frame = _frame((port.mac, own), (router_mac, SERVERS[family]), (4000, sample.number), SYN)
        outs = self.bench.send(FIRST + port.id, frame)
        got = [out.ends[0] for out in outs if out.port == CABLE]
        assert got == ([str(expected)] if expected else []), (self.world, sample, outs)
        if expected is not None:
            self.is_answered(port, sample, outs[0])

    def is_answered(self, port: PortIntent, sample: Sample, out: Out) -> None:
        """The server's answer gets back to the guest."""
        seen_as, own = ip_address(out.ends[0]), sample.address(port)
        ends = (INET_MAC, SERVERS[sample.family]), (out.get(ethernet.ethernet).src, seen_as)
        back = self.bench.send(CABLE, _frame(*ends, (sample.number, out.get(tcp.tcp).src_port), SYN_ACK))
        assert [(one.port, one.ends[1]) for one in back] == [(FIRST + port.id, str(own))], (self.world, sample, back)

    def arrives(self, router: RouterIntent, address: Address, port: PortIntent) -> bool:
        """The server opens a connection to a floating address."""
        family = address.version
        sample = self.sample(outsider(SERVERS[family]), port, family)
        fixed = next(one.fixed for one in router.floating if one.address == address)
        expected = fixed in port.addresses and gets_from_outside(self.world, self.plugged, router, sample)
        outs = self.bench.send(CABLE, self.opened(router, address, sample.number))
        assert [(out.port, out.ends[1]) for out in outs] == ([(FIRST + port.id, str(fixed))] if expected else []), (self.world, sample, outs)  # fmt: skip
        if expected:
            self.answers(router, address, port, sample)
        return expected

    def answers(self, router: RouterIntent, address: Address, port: PortIntent, sample: Sample) -> None:
        """The guest's answer comes out of the floating address again."""
        own, mac = sample.address(port), self.networks[port.network_id].router_mac
        outs = self.bench.send(FIRST + port.id, _frame((port.mac, own), (mac, SERVERS[own.version]), (sample.number, 4000), SYN_ACK))  # fmt: skip
        assert [(out.port, out.ends[0]) for out in outs] == [(CABLE, str(address))], (self.world, sample, outs)

    def opened(self, router: RouterIntent, address: Address, number: int) -> packet.Packet:
        return _frame((INET_MAC, SERVERS[address.version]), (str(router.external_mac), address), (4000, number), SYN)


def _frame(src: tuple[str, Address], dst: tuple[str, Address], ports: tuple[int, int], bits: int) -> packet.Packet:
    make = ip_frame if src[1].version == 4 else ip6_frame
    return make(src, dst, tcp.tcp(*ports, seq=1, ack=1 if bits == SYN_ACK else 0, bits=bits))


@settings(max_examples=14, deadline=None)
@given(chance=st.randoms(use_true_random=False))
def test_what_leaves_and_comes_in_is_translated_as_the_specification_says(bench: Bench, chance: random.Random) -> None:
    scene = Scene(bench, chance)
    for port in scene.world.ports:
        if port.id in scene.plugged and port.id != 99:
            for family in {address.version for address in port.addresses}:
                scene.leaves(port, family)
    bench.forget_connections()
    by_id = {port.id: port for port in scene.world.ports}
    for router in scene.world.routers:
        for floating in router.floating:
            scene.arrives(router, floating.address, by_id[floating.port_id])


@settings(max_examples=6, deadline=None)
@given(chance=st.randoms(use_true_random=False))
def test_nothing_else_comes_in(bench: Bench, chance: random.Random) -> None:
    """Neither by a router's own address, nor by an address of the pool that is nobody's, nor by a guest's own."""
    scene = Scene(bench, chance)
    for router in scene.world.routers:
        if router.external_mac is None or router.external_address is None:
            continue
        own6 = EXTERNAL.address6_of(router.external_mac)
        inside = [address for port in scene.world.ports for address in port.addresses]
        assert own6 is not None
        for address in (router.external_address, own6, IPv4Address("198.51.100.250"), *inside[:4]):
            assert scene.bench.send(CABLE, scene.opened(router, address, 81)) == [], (scene.world, address)
