"""Translation on a gateway host: real frames through a real switch's conntrack, caught as they leave.

[web-1 10.20.0.11, floating 198.51.100.20]--11--[br-int@hv1]--9--[br-ex]--[inet]
[app-1 10.30.0.12]------------------------12--/   router payments, 198.51.100.10
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from os_ken.lib.packet import arp, ethernet, icmp, ipv4, tcp, vlan

from sdn.compiler import compile_host
from sdn.model.flow import format_flow
from sdn.model.intent import IntentSnapshot
from sdn.shadow import Shadow
from tests.sdn.frames import Bench, Out, arp_frame, echo, ip_frame
from tests.sdn.routed import (
    APP_1,
    APP_1_ADDRESS,
    APP_1_MAC,
    BACK_MAC,
    CABLE,
    DANA,
    DANA_MAC,
    DB_1_ADDRESS,
    DB_1_MAC,
    EXTERNAL_ADDRESS,
    EXTERNAL_MAC,
    FLOATING,
    FRONT_MAC,
    HV1_VIEW,
    INET,
    INET_MAC,
    SNAPSHOT,
    TUNNEL,
    WEB_1,
    WEB_1_ADDRESS,
    WEB_1_MAC,
)

PORTS = (TUNNEL, CABLE, WEB_1, APP_1, DANA)
WEB, APP = (WEB_1_MAC, WEB_1_ADDRESS), (APP_1_MAC, APP_1_ADDRESS)
MARKER = (DANA, arp_frame(1, (DANA_MAC, "10.20.0.11"), ("00:00:00:00:00:00", "10.20.0.1")))
SERVER = "203.0.113.80"
SYN, SYN_ACK, ACK = 0x02, 0x12, 0x10


def lines_of(snapshot: IntentSnapshot) -> str:
    return "\n".join(format_flow(flow) for flow in compile_host(snapshot, HV1_VIEW))


@pytest.fixture
def hv1() -> Iterator[Bench]:
    with Shadow() as shadow:
        yield Bench(shadow, PORTS, lines_of(SNAPSHOT), MARKER)


def segment(source: int, target: int, bits: int) -> tcp.tcp:
    return tcp.tcp(source, target, seq=1, ack=1 if bits & ACK else 0, bits=bits)


def one(outs: list[Out], port: int) -> Out:
    assert [out.port for out in outs] == [port], outs
    return outs[0]


def from_outside(to: object, *layers: object, source: object = SERVER) -> object:
    return ip_frame((INET_MAC, source), (EXTERNAL_MAC, to), *layers)


def test_a_guest_reaches_outside_as_its_routers_address_and_is_answered(hv1: Bench) -> None:
    """[app-1]--12--[br-int@hv1: 10.30.0.12 → 198.51.100.10]--9--[inet], and back"""
    out = one(hv1.send(APP_1, ip_frame(APP, (BACK_MAC, SERVER), segment(4000, 80, SYN))), CABLE)
    assert out.ends == (str(EXTERNAL_ADDRESS), SERVER)
    assert out.get(ethernet.ethernet).dst == INET_MAC and out.get(ipv4.ipv4).ttl == 63
    back = one(hv1.send(CABLE, from_outside(EXTERNAL_ADDRESS, segment(80, 4000, SYN_ACK))), APP_1)
    assert back.ends == (SERVER, str(APP_1_ADDRESS))
    assert back.get(ethernet.ethernet).src == BACK_MAC


def test_a_floating_address_reaches_its_port_and_answers_as_itself(hv1: Bench) -> None:
    """[inet]--9--[br-int@hv1: 198.51.100.20 → 10.20.0.11]--11--[web-1], and back"""
    arrived = one(hv1.send(CABLE, from_outside(FLOATING, segment(4000, 22, SYN))), WEB_1)
    assert arrived.ends == (SERVER, str(WEB_1_ADDRESS))
    back = one(hv1.send(WEB_1, ip_frame(WEB, (FRONT_MAC, SERVER), segment(22, 4000, SYN_ACK))), CABLE)
    assert back.ends == (str(FLOATING), SERVER)


def test_its_owner_leaves_with_the_floating_address(hv1: Bench) -> None:
    """[web-1]--11--[br-int@hv1: 10.20.0.11 → 198.51.100.20]--9--[inet]"""
    out = one(hv1.send(WEB_1, ip_frame(WEB, (FRONT_MAC, SERVER), segment(4000, 80, SYN))), CABLE)
    assert out.ends == (str(FLOATING), SERVER)


def test_a_neighbour_reaches_it_by_the_floating_address_too(hv1: Bench) -> None:
    """[app-1]--12--[br-int@hv1, turned round before the cable]--11--[web-1], and back"""
    arrived = one(hv1.send(APP_1, ip_frame(APP, (BACK_MAC, FLOATING), segment(4001, 22, SYN))), WEB_1)
    assert arrived.ends == (str(EXTERNAL_ADDRESS), str(WEB_1_ADDRESS))
    back = one(hv1.send(WEB_1, ip_frame(WEB, (FRONT_MAC, EXTERNAL_ADDRESS), segment(22, 4001, SYN_ACK))), APP_1)
    assert back.ends == (str(FLOATING), str(APP_1_ADDRESS))


def test_it_reaches_itself_by_its_floating_address(hv1: Bench) -> None:
    """[web-1]--11--[br-int@hv1]--11--[web-1]"""
    arrived = one(hv1.send(WEB_1, ip_frame(WEB, (FRONT_MAC, FLOATING), segment(4002, 22, SYN))), WEB_1)
    assert arrived.ends == (str(FLOATING), str(WEB_1_ADDRESS))


def test_a_floating_address_that_is_taken_away_stops_its_connections_at_once(hv1: Bench) -> None:
    """[inet]--9--[br-int@hv1] ✘ [web-1]: neither way, though conntrack still knows the connection"""
    one(hv1.send(CABLE, from_outside(FLOATING, segment(4000, 22, SYN))), WEB_1)
    one(hv1.send(WEB_1, ip_frame(WEB, (FRONT_MAC, SERVER), segment(22, 4000, SYN_ACK))), CABLE)
    without = replace(SNAPSHOT, routers=(replace(SNAPSHOT.routers[0], floating=()),))
    hv1.set_flows(lines_of(without))
    assert hv1.send(CABLE, from_outside(FLOATING, segment(4000, 22, ACK))) == []
    assert hv1.send(WEB_1, ip_frame(WEB, (FRONT_MAC, SERVER), segment(22, 4000, ACK))) == []


def test_nobody_comes_in_unasked_by_the_routers_own_address(hv1: Bench) -> None:
    """[inet]--9--[br-int@hv1] ✘"""
    assert hv1.send(CABLE, from_outside(EXTERNAL_ADDRESS, segment(4000, 22, SYN))) == []
    assert hv1.send(CABLE, from_outside(WEB_1_ADDRESS, segment(4000, 22, SYN))) == []
    assert hv1.send(CABLE, from_outside("198.51.100.99", segment(4000, 22, SYN))) == []


def test_an_icmp_error_about_a_translated_packet_finds_its_sender(hv1: Bench) -> None:
    """[app-1]--12--[br-int@hv1]--9--[inet]: port unreachable, quoted with app-1's own address again"""
    sent = one(hv1.send(APP_1, ip_frame(APP, (BACK_MAC, SERVER), segment(4003, 80, SYN))), CABLE)
    quoted = bytes(sent.frame.data[14:42])
    error = icmp.icmp(icmp.ICMP_DEST_UNREACH, 3, 0, icmp.dest_unreach(data=quoted))
    back = one(hv1.send(CABLE, from_outside(EXTERNAL_ADDRESS, error)), APP_1)
    assert back.ends == (SERVER, str(APP_1_ADDRESS))
    assert back.get(icmp.icmp).data.data[12:16] == APP_1_ADDRESS.packed


def test_what_another_host_routed_is_translated_here(hv1: Bench) -> None:
    """[db-1@hv2]==vni of the router==[br-int@hv1]: dummies carry no VNI, so the packet is told where it came from"""
    flows = lines_of(SNAPSHOT)
    hv1.set_flows(flows.replace("tun_id=0x400001,in_port=1", "in_port=1"))  # fmt: skip
    out = one(hv1.send(TUNNEL, ip_frame((BACK_MAC, DB_1_ADDRESS), (EXTERNAL_MAC, SERVER), segment(5, 80, SYN))), CABLE)
    assert out.ends == (str(EXTERNAL_ADDRESS), SERVER)
    hv1.set_flows(flows)
    back = one(hv1.send(CABLE, from_outside(EXTERNAL_ADDRESS, segment(80, 5, SYN_ACK))), TUNNEL)
    assert back.ends == (SERVER, str(DB_1_ADDRESS)) and back.get(ethernet.ethernet).dst == DB_1_MAC


@pytest.mark.parametrize("address", [EXTERNAL_ADDRESS, FLOATING])
def test_it_answers_arp_for_what_it_owns(hv1: Bench, address: object) -> None:
    """[inet: who has?]--9--[br-int@hv1]"""
    answer = one(hv1.send(CABLE, arp_frame(1, (INET_MAC, INET), ("00:00:00:00:00:00", address))), CABLE)
    assert answer.get(arp.arp).src_mac == EXTERNAL_MAC and answer.get(arp.arp).src_ip == str(address)
    assert hv1.send(CABLE, arp_frame(1, (INET_MAC, INET), ("00:00:00:00:00:00", "198.51.100.77"))) == []


def test_the_routers_external_address_answers_ping_from_outside(hv1: Bench) -> None:
    """[inet]--9--[br-int@hv1]"""
    answer = one(hv1.send(CABLE, from_outside(EXTERNAL_ADDRESS, echo(5), source=INET)), CABLE)
    assert answer.ends == (str(EXTERNAL_ADDRESS), str(INET)) and answer.get(icmp.icmp).type == 0


def test_an_external_network_in_a_vlan_is_tagged_both_ways() -> None:
    """[app-1]--12--[br-int@hv1]--9, vid 100--[inet]"""
    tagged = replace(SNAPSHOT, externals=(replace(SNAPSHOT.externals[0], vid=100),))
    with Shadow() as shadow:
        hv1 = Bench(shadow, PORTS, lines_of(tagged), MARKER)
        out = one(hv1.send(APP_1, ip_frame(APP, (BACK_MAC, SERVER), segment(4000, 80, SYN))), CABLE)
        assert out.get(vlan.vlan).vid == 100 and out.ends == (str(EXTERNAL_ADDRESS), SERVER)
        flat = from_outside(EXTERNAL_ADDRESS, segment(80, 4000, SYN_ACK))
        assert hv1.send(CABLE, flat) == [], "untagged is another network"
        back = from_outside(EXTERNAL_ADDRESS, segment(80, 4000, SYN_ACK))
        back.protocols[0].ethertype = 0x8100  # type: ignore[attr-defined]
        back.protocols.insert(1, vlan.vlan(vid=100, ethertype=0x0800))  # type: ignore[attr-defined]
        assert one(hv1.send(CABLE, back), APP_1).ends == (SERVER, str(APP_1_ADDRESS))  # type: ignore[arg-type]
