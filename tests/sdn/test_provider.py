"""Provider networks, told by Open vSwitch itself: a VLAN behind br-ex, and the untagged segment there.

[web-1]--11--[br-int@hv1]--9, VLAN 200--[br-ex]--wire--[a machine outside 10.60.0.77, its router 10.60.0.1]
[app-1]--12--/                                     \\--[br-ex]--9--[br-int@hv2]--21--[db-1]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Network, ip_address

import pytest

from sdn.compiler import compile_host
from sdn.controller import dhcp, ra
from sdn.model.addresses import Vni
from sdn.model.flow import format_flow
from sdn.model.intent import AddressPair, HostView, IntentSnapshot, SubnetIntent
from sdn.pipeline import DROP_REASON_BY_NAME
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.transport.codec import encode_flow
from tests.sdn.routed import APP_1, APP_1_MAC, CABLE, DB_1, DB_1_MAC, HV1_VIEW, HV2_VIEW, TUNNEL, WEB_1, WEB_1_MAC
from tests.sdn.switch import Fate, Switch
from tests.sdn.test_dhcp import _question
from tests.sdn.world import EVERY_RULE, HOSTS, HV1, HV2, OPEN, network, port

VID = 200
SIX = SubnetIntent(60, IPv6Network("2001:db8:60::/64"), ip_address("2001:db8:60::1"), (ip_address("2001:db8::53"),), is_slaac=True)  # fmt: skip
VLAN = replace(network(6, "office", Vni(0x1006), "10.60.0.0/24"), kind="vlan", vid=VID, mtu=1500)
VLAN = replace(VLAN, subnets=(*VLAN.subnets, SIX))
FLAT = replace(VLAN, kind="flat", vid=None)
OUTSIDE_MAC = "02:00:00:00:00:77"
PAIR = AddressPair(IPv6Network("2001:db8:60::99/128"))


def world(kind=VLAN) -> IntentSnapshot:  # type: ignore[no-untyped-def]
    ports = (
        port(1, 6, HV1, WEB_1_MAC, "10.60.0.11", "web-1"),
        port(2, 6, HV1, APP_1_MAC, "10.60.0.12", "app-1"),
        port(3, 6, HV2, DB_1_MAC, "10.60.0.13", "db-1"),
    )
    return IntentSnapshot(7, HOSTS, (kind,), ports, (OPEN, EVERY_RULE))


def switch_of(shadow: Shadow, view: HostView, snapshot: IntentSnapshot) -> Switch:
    flows = "\n".join(format_flow(flow) for flow in compile_host(snapshot, view))
    numbers = sorted({TUNNEL, CABLE, *(ofport for _, ofport in view.ofports)})
    shadow.load([ShadowBridge("br-int", tuple(ShadowPort(f"p{number}", number) for number in numbers), flows)])
    return Switch(shadow)


@pytest.fixture(scope="module")
def hv1() -> Iterator[Switch]:
    with Shadow() as shadow:
        yield switch_of(shadow, HV1_VIEW, world())


@pytest.fixture(scope="module")
def hv2() -> Iterator[Switch]:
    with Shadow() as shadow:
        yield switch_of(shadow, HV2_VIEW, world())


@pytest.fixture(scope="module")
def flat() -> Iterator[Switch]:
    with Shadow() as shadow:
        yield switch_of(shadow, HV1_VIEW, world(FLAT))


def ping(to: str, to_mac: str, in_port: int = WEB_1, source: str = "10.60.0.11", mac: str = WEB_1_MAC, tag: str = "") -> str:  # fmt: skip
    return f"icmp,in_port={in_port},{tag}dl_src={mac},dl_dst={to_mac},nw_src={source},nw_dst={to},nw_ttl=64,icmp_type=8"


def from_outside(to: str, to_mac: str, vid: int = VID) -> str:
    return ping(to, to_mac, CABLE, "10.60.0.77", OUTSIDE_MAC, f"dl_vlan={vid},dl_vlan_pcp=0,")


def is_tagged(fate: Fate, vid: int = VID) -> bool:
    return f"push_vlan(vid={vid},pcp=0)" in fate.text


def assert_dropped(fate: Fate, reason: str) -> None:
    assert fate.outputs == [] and fate.drop_reason == DROP_REASON_BY_NAME[reason].code, fate.text


def test_neighbours_on_one_host_need_no_wire(hv1: Switch) -> None:
    """[web-1]--[br-int@hv1]--[app-1]"""
    fate = hv1.trace(ping("10.60.0.12", APP_1_MAC))
    assert fate.outputs == [APP_1] and not is_tagged(fate), fate.text


def test_a_port_of_another_host_is_reached_through_the_vlan_and_no_tunnel(hv1: Switch, hv2: Switch) -> None:
    """[web-1]--[br-int@hv1]--VLAN 200--[br-int@hv2]--[db-1]"""
    fate = hv1.trace(ping("10.60.0.13", DB_1_MAC))
    assert fate.outputs == [CABLE] and is_tagged(fate), fate.text
    arrival = ping("10.60.0.13", DB_1_MAC, CABLE, tag=f"dl_vlan={VID},dl_vlan_pcp=0,")
    arrived = hv2.trace(arrival)
    assert arrived.outputs == [DB_1] and "pop_vlan" in arrived.text, arrived.text


def test_a_machine_outside_is_reached_and_reaches_in_both_by_the_vlan(hv1: Switch) -> None:
    """[web-1]--[br-int@hv1]--VLAN 200--[10.60.0.77]"""
    fate = hv1.trace(ping("10.60.0.77", OUTSIDE_MAC))
    assert fate.outputs == [CABLE] and is_tagged(fate), fate.text
    assert hv1.trace(from_outside("10.60.0.11", WEB_1_MAC)).outputs == [WEB_1]


def test_what_is_beyond_the_segment_goes_to_its_own_router(hv1: Switch) -> None:
    """[web-1]--[br-int@hv1]--VLAN 200--[10.60.0.1, a machine outside]--203.0.113.80"""
    fate = hv1.trace(ping("203.0.113.80", "02:00:00:00:00:01"))
    assert fate.outputs == [CABLE] and is_tagged(fate), fate.text


@pytest.mark.parametrize("vid", [201, 1])
def test_another_vlan_is_nothing_to_it(hv1: Switch, vid: int) -> None:
    """[a machine in VLAN 201]--[br-int@hv1] ✘ [web-1]"""
    assert_dropped(hv1.trace(from_outside("10.60.0.11", WEB_1_MAC, vid)), "unknown_port")


def test_the_gateways_arp_is_left_to_the_machine_outside(hv1: Switch) -> None:
    """[web-1]: who has 10.60.0.1?--[br-int@hv1]--VLAN 200--the machine outside answers"""
    asks = f"arp,in_port={WEB_1},dl_src={WEB_1_MAC},dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_spa=10.60.0.11,arp_sha={WEB_1_MAC},arp_tpa="
    fate = hv1.trace(asks + "10.60.0.1")
    assert fate.outputs == [APP_1, CABLE] and is_tagged(fate), fate.text
    known = hv1.trace(asks + "10.60.0.13")
    assert known.outputs == [WEB_1], "a port of ours is answered for on the spot"
    announced = hv1.trace(asks + "10.60.0.11")
    assert announced.outputs == [APP_1, CABLE], "its own announcement goes out"
    spoofed = hv1.trace(asks.replace("arp_spa=10.60.0.11", "arp_spa=10.60.0.1") + "10.60.0.11")
    assert_dropped(spoofed, "spoofed_arp")


def test_a_question_from_outside_comes_to_the_guests_and_their_answer_goes_out(hv1: Switch) -> None:
    """[10.60.0.77]: who has 10.60.0.11?--VLAN 200--[br-int@hv1]--[web-1] answers"""
    asks = f"arp,in_port={CABLE},dl_vlan={VID},dl_vlan_pcp=0,dl_src={OUTSIDE_MAC},dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_spa=10.60.0.77,arp_sha={OUTSIDE_MAC},arp_tpa=10.60.0.11"
    assert sorted(hv1.trace(asks).outputs) == [WEB_1, APP_1]
    answers = f"arp,in_port={WEB_1},dl_src={WEB_1_MAC},dl_dst={OUTSIDE_MAC},arp_op=2,arp_spa=10.60.0.11,arp_sha={WEB_1_MAC},arp_tpa=10.60.0.77,arp_tha={OUTSIDE_MAC}"
    assert hv1.trace(answers).outputs == [CABLE]


def test_what_came_by_the_wire_never_goes_back_to_it(hv1: Switch) -> None:
    """[10.60.0.77]--VLAN 200--[br-int@hv1] ✘ [db-1, on hv2]: br-ex flooded it, and hv2 has its own copy"""
    assert_dropped(hv1.trace(from_outside("10.60.0.13", DB_1_MAC)), "unknown_mac")


def test_groups_and_port_security_hold_as_on_an_overlay() -> None:
    """[10.60.0.77]--VLAN 200--[br-int@hv1] ✘ [web-1], which is in no group; nor may it lie"""
    closed = replace(world(), ports=tuple(replace(one, groups=()) for one in world().ports))
    with Shadow() as shadow:
        switch = switch_of(shadow, HV1_VIEW, closed)
        assert_dropped(switch.trace(from_outside("10.60.0.11", WEB_1_MAC)), "ingress_denied")
        assert_dropped(switch.trace(ping("10.60.0.77", OUTSIDE_MAC, source="10.60.0.66")), "spoofed_ipv4")
        assert_dropped(switch.trace(ping("10.60.0.77", OUTSIDE_MAC, mac="52:54:00:00:00:66")), "spoofed_mac")


def test_router_advertisements_from_outside_come_in_and_none_goes_out(hv1: Switch) -> None:
    """[the router outside, 2001:db8:60::1]--VLAN 200--[br-int@hv1]--[web-1, app-1]"""
    tells = f"icmp6,in_port={CABLE},dl_vlan={VID},dl_vlan_pcp=0,dl_src={OUTSIDE_MAC},dl_dst=33:33:00:00:00:01,ipv6_src=fe80::1,ipv6_dst=ff02::1,nw_ttl=255,icmpv6_type=134"
    assert sorted(hv1.trace(tells).outputs) == [WEB_1, APP_1]
    rogue = f"icmp6,in_port={WEB_1},dl_src={WEB_1_MAC},dl_dst=33:33:00:00:00:01,ipv6_src=fe80::5054:ff:fe00:1,ipv6_dst=ff02::1,nw_ttl=255,icmpv6_type=134"
    assert_dropped(hv1.trace(rogue), "rogue_dhcp")


def test_a_guest_reaches_no_vlan_by_a_tag_of_its_own(hv1: Switch, flat: Switch) -> None:
    """[web-1, tagging]--[br-int@hv1] ✘ [another VLAN]"""
    for switch in (hv1, flat):
        assert_dropped(switch.trace(ping("10.60.0.77", OUTSIDE_MAC, tag="dl_vlan=300,dl_vlan_pcp=0,")), "tagged")


def test_a_flat_network_is_untagged_and_keeps_guests_off_the_hosts(flat: Switch) -> None:
    """[web-1]--[br-int@hv1]--untagged--[10.60.0.77], and ✘ [hv2 192.0.2.12, where tunnels end]"""
    fate = flat.trace(ping("10.60.0.77", OUTSIDE_MAC))
    assert fate.outputs == [CABLE] and "push_vlan" not in fate.text, fate.text
    assert flat.trace(ping("10.60.0.11", WEB_1_MAC, CABLE, "10.60.0.77", OUTSIDE_MAC)).outputs == [WEB_1]
    assert_dropped(flat.trace(from_outside("10.60.0.11", WEB_1_MAC)), "unknown_port")
    forged = f"udp,in_port={WEB_1},dl_src={WEB_1_MAC},dl_dst={OUTSIDE_MAC},nw_src=10.60.0.11,nw_dst=192.0.2.12,nw_ttl=64,udp_src=9,udp_dst=4789"
    assert_dropped(flat.trace(forged), "hosts_own")


def test_without_a_cable_it_says_so() -> None:
    """[web-1]--[br-int@hv1] ✘ br-ex"""
    with Shadow() as shadow:
        switch = switch_of(shadow, replace(HV1_VIEW, external_ofport=None), world())
        assert_dropped(switch.trace(ping("10.60.0.77", OUTSIDE_MAC)), "external_down")
        assert switch.trace(ping("10.60.0.12", APP_1_MAC)).outputs == [APP_1]


@pytest.mark.parametrize("kind", [VLAN, FLAT])
def test_its_flows_can_be_encoded_and_do_not_depend_on_the_rows_order(kind) -> None:  # type: ignore[no-untyped-def]
    """pairs among them, and what the wire brings to a pair's MAC"""
    snapshot = world(kind)
    paired = replace(snapshot.ports[0], pairs=(replace(PAIR, mac="00:00:5e:00:01:01"),))
    snapshot = replace(snapshot, ports=(paired, *snapshot.ports[1:]))
    for view in (HV1_VIEW, HV2_VIEW):
        flows = compile_host(snapshot, view)
        assert flows == compile_host(replace(snapshot, ports=snapshot.ports[::-1]), view)
        assert len({encode_flow(flow).key for flow in flows}) == len(flows)


def test_dhcp_names_the_router_outside_and_the_name_servers_that_were_given() -> None:
    """[web-1]: DISCOVER--controller: 10.60.0.11, router 10.60.0.1, MTU 1500, DNS 1.1.1.1 and 9.9.9.9"""
    guest = world().ports[0]
    offer = dhcp.answer(_question(dhcp.DISCOVER, mac=guest.mac), guest, VLAN)
    assert offer is not None
    assert b"\x03\x04" + IPv4Address("10.60.0.1").packed in offer, "option 3, the router"
    assert b"\x06\x08\x01\x01\x01\x01\x09\x09\x09\x09" in offer, "option 6, without the gateway"
    assert b"\x1a\x02" + (1500).to_bytes(2) in offer, "option 26, the MTU"


def test_the_advertisement_says_that_the_router_is_somebody_else() -> None:
    """RFC 4861, 4.2: a lifetime of 0 is no default router; prefix, MTU and name servers hold"""
    told = ra.advertisement(world().ports[0], VLAN)
    assert told is not None
    body = told[54:]
    assert body[0] == 134 and body[6:8] == b"\0\0"
    assert SIX.cidr.network_address.packed in body and b"\x05\x01\0\0" + (1500).to_bytes(4) in body
    assert ip_address("2001:db8::53").packed in body and SIX.gateway.packed not in body
