"""What a guest may claim in IPv6, and in both families with allowed-address pairs: real frames on a real switch.

[web-1]--11--[br-int@hv1]==vni 4097==[br-int@hv2]--[db-1]
[web-2]--12--/          \\--21--[dana-1, a network without IPv6]
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdn.compiler import compile_host
from sdn.model.flow import format_flow
from sdn.shadow import Shadow
from sdn.transport.codec import encode_flow
from tests.sdn.dual_world import (
    DUAL_SNAPSHOT,
    GATEWAY6,
    ROUTER_LL,
    SHARED4,
    SHARED6,
    VIRTUAL_MAC,
    WEB_1_IP6,
    WEB_2_IP6,
    unsecured,
    with_pairs,
)  # fmt: skip
from tests.sdn.wire import Bench, advertisement, datagram6, echo6, ether6, frame_of, ip6, solicitation
from tests.sdn.world import DANA, GATEWAY_MAC, TUNNEL, VIEW, WEB_1, WEB_1_MAC, WEB_2, WEB_2_MAC

WEB_1_LL, WEB_2_LL, OPAQUE_LL = "fe80::5054:ff:fe00:1", "fe80::5054:ff:fe00:2", "fe80::8c1f:73ff:12ab:9d3e"
ALL_NODES_MAC = "33:33:00:00:00:01"


@pytest.fixture(scope="module")
def dual() -> Iterator[Bench]:
    with Shadow() as shadow:
        yield Bench(shadow, DUAL_SNAPSHOT)


@pytest.fixture(scope="module")
def sharing() -> Iterator[Bench]:
    with Shadow() as shadow:
        yield Bench(shadow, with_pairs("web-1", "web-2"))


def test_every_flow_is_spelled_as_the_switch_spells_it_and_encoded_as_it_encodes() -> None:
    for world in (DUAL_SNAPSHOT, with_pairs("web-1", "db-1"), unsecured("web-1")):
        flows = compile_host(world, VIEW)
        with Shadow() as shadow:
            switch = Bench(shadow, world).switch
            assert switch.flows() == sorted(format_flow(flow) for flow in flows)
        assert all(encode_flow(flow).key for flow in flows)


@pytest.mark.parametrize("source", [WEB_1_IP6, WEB_1_LL, OPAQUE_LL])
def test_a_guest_speaks_from_its_own_addresses(dual: Bench, source: str) -> None:
    """[web-1]--11--[br-int@hv1]--12--[web-2]"""
    assert list(dual.send(echo6(WEB_1_MAC, source, WEB_2_MAC, WEB_2_IP6))) == [WEB_2]


@pytest.mark.parametrize("source", [WEB_2_IP6, GATEWAY6, WEB_2_LL, ROUTER_LL, "2001:db8::1", "::"])
def test_a_guest_speaks_from_nobody_elses_address(dual: Bench, source: str) -> None:
    """[web-1 as somebody else]--11--[br-int@hv1]--x"""
    assert dual.reason(datagram6(WEB_1_MAC, source, WEB_2_MAC, WEB_2_IP6, (1, 2))) == "spoofed_ipv6"


def test_another_mac_is_refused_in_ipv6_too(dual: Bench) -> None:
    assert dual.reason(echo6(WEB_2_MAC, WEB_1_IP6, GATEWAY_MAC, GATEWAY6)) == "spoofed_mac"


@pytest.mark.parametrize("target", [WEB_2_IP6, GATEWAY6, WEB_2_LL, ROUTER_LL, "fd20::99"])
def test_an_advertisement_of_anothers_address_is_refused(dual: Bench, target: str) -> None:
    told = advertisement(WEB_1_MAC, WEB_1_IP6, target, "ff02::1", ALL_NODES_MAC)
    assert dual.reason(told) == "spoofed_nd"


@pytest.mark.parametrize("target", [WEB_1_IP6, WEB_1_LL, OPAQUE_LL])
def test_an_advertisement_of_its_own_address_passes_but_not_for_another_mac(dual: Bench, target: str) -> None:
    mine = advertisement(WEB_1_MAC, target, target, WEB_2_IP6, WEB_2_MAC)
    assert list(dual.send(mine)) == [WEB_2]
    other = advertisement(WEB_1_MAC, target, target, WEB_2_IP6, WEB_2_MAC, tll=WEB_2_MAC)
    assert dual.reason(other) == "spoofed_nd"


def test_a_question_that_names_anothers_mac_is_refused(dual: Bench) -> None:
    assert dual.reason(solicitation(WEB_1_MAC, WEB_1_IP6, WEB_2_IP6, sll=WEB_2_MAC)) == "spoofed_nd"


def test_duplicate_detection_is_for_ones_own_addresses(dual: Bench) -> None:
    for mine in (WEB_1_LL, OPAQUE_LL):
        assert sorted(dual.send(solicitation(WEB_1_MAC, "::", mine, sll=None))) == [TUNNEL, WEB_2]
    assert dual.reason(solicitation(WEB_1_MAC, "::", WEB_1_IP6, sll=None)) == "no_neighbour"  # it is free for it
    for other in (WEB_2_IP6, WEB_2_LL, ROUTER_LL, "fd20::99"):
        assert dual.reason(solicitation(WEB_1_MAC, "::", other, sll=None)) == "spoofed_nd"


def test_only_the_network_itself_advertises_routers_redirects_and_serves_dhcp(dual: Bench) -> None:
    for kind in (134, 137):
        body = bytes([kind, 0]) + b"\0" * 38
        frame = frame_of(ether6(WEB_1_MAC, ALL_NODES_MAC), ip6(WEB_1_LL, "ff02::1"), body)
        assert dual.reason(frame) == "rogue_dhcp"
    assert dual.reason(datagram6(WEB_1_MAC, WEB_1_LL, WEB_2_MAC, WEB_2_LL, (547, 546))) == "rogue_dhcp"


def test_listener_reports_pass_as_on_a_wire(dual: Bench) -> None:
    body = bytes([143, 0]) + b"\0" * 26
    frame = frame_of(ether6(WEB_1_MAC, "33:33:00:00:00:16"), ip6("::", "ff02::16", hop_limit=1), body)
    assert sorted(dual.send(frame)) == [TUNNEL, WEB_2]


def test_a_network_without_an_ipv6_subnet_carries_none(dual: Bench) -> None:
    mac = "52:54:00:00:00:05"
    for frame in (solicitation(mac, "::", "fe80::5054:ff:fe00:5", sll=None), echo6(mac, "fe80::1", mac, "fe80::2")):
        assert dual.reason(frame, DANA) == "no_ipv6"


def test_a_shared_address_is_spoken_from_with_either_mac(sharing: Bench) -> None:
    """[web-1, fd20::200]--11--[br-int@hv1]--12--[web-2]"""
    for mac in (WEB_1_MAC, VIRTUAL_MAC):
        assert list(sharing.send(echo6(mac, SHARED6, WEB_2_MAC, WEB_2_IP6))) == [WEB_2]
        packet = f"icmp,in_port={WEB_1},dl_src={mac},dl_dst={WEB_2_MAC},nw_src={SHARED4},nw_dst=10.20.0.12,nw_ttl=64,icmp_type=8"
        assert sharing.switch.trace(packet).outputs == [WEB_2]
    assert sharing.reason(echo6(VIRTUAL_MAC, WEB_1_IP6, WEB_2_MAC, WEB_2_IP6)) == "spoofed_ipv6"
    assert sharing.reason(echo6(WEB_1_MAC, "fd20::201", WEB_2_MAC, WEB_2_IP6)) == "spoofed_ipv6"


def test_who_has_a_shared_address_is_asked_of_the_guests(sharing: Bench) -> None:
    assert sorted(sharing.send(solicitation(WEB_1_MAC, WEB_1_IP6, SHARED6))) == [TUNNEL, WEB_2]
    ends = f"arp_spa=10.20.0.11,arp_tpa={SHARED4},arp_sha={WEB_1_MAC},arp_tha=00:00:00:00:00:00"
    asks = f"arp,in_port={WEB_1},dl_src={WEB_1_MAC},dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,{ends}"
    assert sharing.switch.trace(asks).outputs == [WEB_2, TUNNEL]
    ends = f"arp_spa={SHARED4},arp_tpa=10.20.0.11,arp_sha={VIRTUAL_MAC},arp_tha={WEB_1_MAC}"
    answer = f"arp,in_port={WEB_2},dl_src={VIRTUAL_MAC},dl_dst={WEB_1_MAC},arp_op=2,{ends}"
    assert sharing.switch.trace(answer).outputs == [WEB_1]


def test_a_frame_to_a_shared_mac_goes_to_those_that_may_have_it(sharing: Bench) -> None:
    assert list(sharing.send(echo6(WEB_1_MAC, WEB_1_IP6, VIRTUAL_MAC, SHARED6))) == [WEB_2]


def test_a_port_without_security_is_held_to_nothing() -> None:
    with Shadow() as shadow:
        bench = Bench(shadow, unsecured("web-1"))
        assert list(bench.send(echo6("52:54:00:99:99:99", "2001:db8::1", WEB_2_MAC, WEB_2_IP6))) == [WEB_2]
        assert list(bench.send(datagram6(WEB_1_MAC, WEB_1_LL, WEB_2_MAC, WEB_2_LL, (547, 546)))) == [WEB_2]
        assert bench.reason(echo6(WEB_2_MAC, WEB_1_IP6, GATEWAY_MAC, GATEWAY6), WEB_2) == "spoofed_ipv6"
