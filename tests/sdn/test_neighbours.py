"""Neighbour discovery answered by flows: real solicitations on a real switch, the answers read by another decoder.

[web-1]--11--[br-int@hv1]==vni 4097==[br-int@hv2]--[db-1]
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from os_ken.lib.packet import ethernet, icmpv6, ipv6, packet

from sdn.shadow import Shadow
from tests.sdn.dual_world import DB_1_IP6, DUAL_SNAPSHOT, GATEWAY6, ROUTER_LL, WEB_1_IP6, WEB_2_IP6
from tests.sdn.wire import Bench, checksum6_is_right, datagram6, echo6, ether6, frame_of, ip6, solicitation
from tests.sdn.world import DB_1_MAC, GATEWAY_MAC, TUNNEL, WEB_1, WEB_1_MAC, WEB_2, WEB_2_MAC

ROUTER, HOST = 7, 3  # the three flags: router, solicited, override
TO_CONTROLLER = "CONTROLLER:65535"


@pytest.fixture(scope="module")
def dual() -> Iterator[Bench]:
    with Shadow() as shadow:
        yield Bench(shadow, DUAL_SNAPSHOT)


@pytest.mark.parametrize(
    ("target", "mac", "flags"),
    [
        (WEB_2_IP6, WEB_2_MAC, HOST),
        (DB_1_IP6, DB_1_MAC, HOST),
        (GATEWAY6, GATEWAY_MAC, ROUTER),
        (ROUTER_LL, GATEWAY_MAC, ROUTER),
    ],
)
def test_it_answers_on_the_spot(dual: Bench, target: str, mac: str, flags: int) -> None:
    """[web-1]--11--[br-int@hv1]: who has fd20::12?"""
    out = dual.send(solicitation(WEB_1_MAC, WEB_1_IP6, target))
    assert list(out) == [WEB_1]
    (frame,) = out[WEB_1]
    answer = packet.Packet(frame)
    ends, head, body = (answer.get_protocol(kind) for kind in (ethernet.ethernet, ipv6.ipv6, icmpv6.icmpv6))
    assert (ends.src, ends.dst) == (mac, WEB_1_MAC)
    assert (head.src, head.dst, head.hop_limit) == (target, WEB_1_IP6, 255)
    assert (body.type_, body.data.dst, body.data.res) == (136, target, flags)
    assert isinstance(body.data.option, icmpv6.nd_option_tla) and body.data.option.hw_src == mac
    assert checksum6_is_right(frame)


def test_nobody_has_an_address_that_no_port_has(dual: Bench) -> None:
    assert dual.reason(solicitation(WEB_1_MAC, WEB_1_IP6, "fd20::99")) == "no_neighbour"
    assert dual.reason(solicitation(WEB_1_MAC, WEB_1_IP6, "fd20::14")) == "no_neighbour"  # off-1 is nowhere


def test_a_guest_never_finds_its_own_address_taken(dual: Bench) -> None:
    assert dual.reason(solicitation(WEB_1_MAC, "::", WEB_1_IP6, sll=None)) == "no_neighbour"


def test_link_local_addresses_are_asked_of_the_guests(dual: Bench) -> None:
    assert sorted(dual.send(solicitation(WEB_1_MAC, WEB_1_IP6, "fe80::8c1f:73ff:12ab:9d3e"))) == [TUNNEL, WEB_2]


@pytest.mark.parametrize("address", [GATEWAY6, ROUTER_LL])
def test_the_gateway_answers_ping(dual: Bench, address: str) -> None:
    (frame,) = dual.send(echo6(WEB_1_MAC, WEB_1_IP6, GATEWAY_MAC, address))[WEB_1]
    answer = packet.Packet(frame)
    assert (answer.get_protocol(ipv6.ipv6).src, answer.get_protocol(icmpv6.icmpv6).type_) == (address, 129)
    assert answer.get_protocol(icmpv6.icmpv6).data.data == b"hello"
    assert checksum6_is_right(frame)


def test_it_reaches_a_neighbour_on_another_host(dual: Bench) -> None:
    """[web-1]--11--[br-int@hv1]==vni 4097==[br-int@hv2]"""
    assert list(dual.send(echo6(WEB_1_MAC, WEB_1_IP6, DB_1_MAC, DB_1_IP6))) == [TUNNEL]


def test_what_needs_thought_goes_to_the_controller(dual: Bench) -> None:
    """Router solicitations, DHCPv6, DNS, and questions that leave no room for the answer."""
    trace, own = dual.switch.trace, f"in_port={WEB_1},dl_src={WEB_1_MAC}"
    source = "ipv6_src=fe80::5054:ff:fe00:1"
    packets = (
        f"icmp6,{own},dl_dst=33:33:00:00:00:02,{source},ipv6_dst=ff02::2,nw_ttl=255,icmpv6_type=133",
        f"udp6,{own},dl_dst=33:33:00:01:00:02,{source},ipv6_dst=ff02::1:2,nw_ttl=1,udp_src=546,udp_dst=547",
        f"udp6,{own},dl_dst={GATEWAY_MAC},ipv6_src={WEB_1_IP6},ipv6_dst={GATEWAY6},nw_ttl=64,udp_src=999,udp_dst=53",
        f"udp,{own},dl_dst={GATEWAY_MAC},nw_src=10.20.0.11,nw_dst=10.20.0.1,nw_ttl=64,udp_src=999,udp_dst=53",
        f"icmp6,{own},dl_dst={GATEWAY_MAC},ipv6_src={WEB_1_IP6},ipv6_dst={GATEWAY6},nw_ttl=255,icmpv6_type=135,nd_target={GATEWAY6}",
    )
    for packet_ in packets:
        fate = trace(packet_)
        assert TO_CONTROLLER in fate.text and fate.outputs == [], fate.text


def test_a_probe_ends_at_the_controller_and_not_in_the_guest(dual: Bench) -> None:
    own = f"in_port={WEB_1},dl_src={WEB_1_MAC},dl_dst=33:33:ff:00:00:12,ipv6_src={WEB_1_IP6}"
    asks = f"icmp6,{own},ipv6_dst=ff02::1:ff00:12,nw_ttl=255,icmpv6_type=135,nd_target={WEB_2_IP6},nd_sll={WEB_1_MAC},nd_options_type=1"
    fate = dual.switch.trace(f"reg15=1,{asks}")
    assert fate.outputs == [] and TO_CONTROLLER in fate.text, fate.text


def test_a_fragment_or_short_question_is_not_answered(dual: Bench) -> None:
    short = frame_of(ether6(WEB_1_MAC, "33:33:ff:00:00:12"), ip6(WEB_1_IP6, "ff02::1:ff00:12"), b"\x87\0\0\0\0\0\0\0")
    assert not dual.send(short).get(WEB_1)
    assert dual.reason(datagram6(WEB_1_MAC, WEB_1_IP6, "52:54:00:00:00:77", "fd20::77", (1, 2))) == "unknown_mac"
