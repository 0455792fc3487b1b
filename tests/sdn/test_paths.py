"""What packets meet on hv1, told by Open vSwitch itself: ofproto/trace over the compiled flows.

[web-1]--11--[br-int@hv1]==vni 4097==[br-int@hv2]--[db-1]
[web-2]--12--/          \\--21--[dana-1, another network, web-1's address]
"""

from __future__ import annotations

import pytest

from sdn.pipeline import DROP_REASON_BY_NAME, TABLE_BY_NAME
from tests.sdn.switch import Fate, Switch
from tests.sdn.world import DB_1_MAC, GATEWAY_MAC, OFF_MAC, TUNNEL, VNI, WEB_1, WEB_1_MAC, WEB_2, WEB_2_MAC

BROADCAST = "ff:ff:ff:ff:ff:ff"
PROBE = "reg15=1,"
TO_CONTROLLER = "CONTROLLER:65535"


def icmp(to_mac: str, to: str = "10.20.0.12", mac: str = WEB_1_MAC, source: str = "10.20.0.11") -> str:
    return f"icmp,in_port={WEB_1},dl_src={mac},dl_dst={to_mac},nw_src={source},nw_dst={to},nw_ttl=64,icmp_type=8"


def arp(target: str, source: str = "10.20.0.11", sha: str = WEB_1_MAC) -> str:
    ends = f"arp_sha={sha},arp_tha=00:00:00:00:00:00"
    return (
        f"arp,in_port={WEB_1},dl_src={WEB_1_MAC},dl_dst={BROADCAST},arp_op=1,arp_spa={source},arp_tpa={target},{ends}"
    )


def udp(source: str, to: str, ports: tuple[int, int], to_mac: str = BROADCAST) -> str:
    pair = f"udp_src={ports[0]},udp_dst={ports[1]}"
    return f"udp,in_port={WEB_1},dl_src={WEB_1_MAC},dl_dst={to_mac},nw_src={source},nw_dst={to},nw_ttl=64,{pair}"


def assert_dropped(fate: Fate, reason: str, table: str) -> None:
    assert fate.drop_reason == DROP_REASON_BY_NAME[reason].code, fate.text
    assert fate.drop_table == TABLE_BY_NAME[table].table_id, fate.text
    assert fate.outputs == [], fate.text


def test_it_delivers_to_a_neighbour_on_the_same_host(hv1: Switch) -> None:
    """[web-1]--11--[br-int@hv1]--12--[web-2]"""
    fate = hv1.trace(icmp(WEB_2_MAC))
    assert fate.outputs == [WEB_2], fate.text


def test_it_encapsulates_for_a_neighbour_on_another_host(hv1: Switch) -> None:
    """[web-1]--11--[br-int@hv1]==vni 4097==[br-int@hv2]"""
    fate = hv1.trace(icmp(DB_1_MAC, "10.20.0.13"))
    assert fate.outputs == [TUNNEL], fate.text
    assert f"set_field:{VNI:#x}->tun_id" in fate.text
    assert "set_field:192.0.2.12->tun_dst" in fate.text


def test_it_delivers_what_arrives_through_the_tunnel(hv1: Switch) -> None:
    """==vni 4097==[br-int@hv1]--12--[web-2]"""
    packet = icmp(WEB_2_MAC, mac=DB_1_MAC, source="10.20.0.13").replace(f"in_port={WEB_1}", f"in_port={TUNNEL}")
    assert hv1.trace(f"{packet},tun_id={VNI:#x}").outputs == [WEB_2]


def test_it_drops_from_the_tunnel_what_no_network_here_has(hv1: Switch) -> None:
    """==vni 153==[br-int@hv1]"""
    packet = icmp(WEB_2_MAC).replace(f"in_port={WEB_1}", f"in_port={TUNNEL}")
    assert_dropped(hv1.trace(f"{packet},tun_id=0x99"), "unknown_vni", "classify")


def test_it_never_sends_back_into_the_tunnel_what_came_from_it(hv1: Switch) -> None:
    """==vni 4097==[br-int@hv1]==/"""
    tunnel = f"in_port={TUNNEL}"
    unicast = icmp(DB_1_MAC).replace(f"in_port={WEB_1}", tunnel)
    assert_dropped(hv1.trace(f"{unicast},tun_id={VNI:#x}"), "unknown_mac", "l2_lookup")
    broadcast = icmp(BROADCAST).replace(f"in_port={WEB_1}", tunnel)
    assert hv1.trace(f"{broadcast},tun_id={VNI:#x}").outputs == [WEB_1, WEB_2]


def test_it_floods_a_broadcast_to_the_networks_ports_and_hosts_only(hv1: Switch) -> None:
    """[web-1]--11--[br-int@hv1]--12--[web-2], ==vni 4097==[br-int@hv2], not to dana-1"""
    fate = hv1.trace(udp("10.20.0.11", "255.255.255.255", (9, 9)))
    assert sorted(fate.outputs) == [TUNNEL, WEB_2], fate.text


@pytest.mark.parametrize(
    ("packet", "reason", "table"),
    [
        (icmp(WEB_2_MAC, mac="52:54:00:00:00:99"), "spoofed_mac", "port_security"),
        (icmp(WEB_2_MAC, source="10.20.0.12"), "spoofed_ipv4", "port_security"),
        (arp("10.20.0.12", source="10.20.0.1"), "spoofed_arp", "port_security"),
        (arp("10.20.0.12", sha="52:54:00:00:00:99"), "spoofed_arp", "port_security"),
        (udp("10.20.0.11", "255.255.255.255", (67, 68)), "rogue_dhcp", "port_security"),
        (f"ipv6,in_port={WEB_1},dl_src={WEB_1_MAC},dl_dst=33:33:00:00:00:01,ipv6_src=fe80::1", "no_ipv6", "port_security"),
        (f"in_port={WEB_1},dl_src={WEB_1_MAC},dl_dst={WEB_2_MAC},dl_type=0x88cc", "unknown_protocol", "port_security"),
        (f"in_port=99,dl_src={WEB_1_MAC},dl_dst={WEB_2_MAC}", "unknown_port", "classify"),
        (icmp("52:54:00:00:00:77"), "unknown_mac", "l2_lookup"),
        (icmp(OFF_MAC, "10.20.0.14"), "port_down", "l2_lookup"),
        (icmp(GATEWAY_MAC, "198.51.100.1"), "no_route", "router"),
        (arp("10.20.0.99"), "no_neighbour", "responders"),
        (arp("10.20.0.14"), "no_neighbour", "responders"),
        (arp("10.20.0.11", source="0.0.0.0"), "no_neighbour", "responders"),
    ],
)  # fmt: skip
def test_it_drops_with_the_reason_and_the_table(hv1: Switch, packet: str, reason: str, table: str) -> None:
    """[web-1]--11--[br-int@hv1]--x"""
    assert_dropped(hv1.trace(packet), reason, table)


@pytest.mark.parametrize(
    ("target", "mac"), [("10.20.0.12", WEB_2_MAC), ("10.20.0.13", DB_1_MAC), ("10.20.0.1", GATEWAY_MAC)]
)
def test_it_answers_arp_on_the_spot(hv1: Switch, target: str, mac: str) -> None:
    """[web-1]--11--[br-int@hv1]: who has? answered by flow"""
    fate = hv1.trace(arp(target))
    assert fate.outputs == [WEB_1], fate.text
    assert f"set_field:{mac}->arp_sha" in fate.text
    assert f"set_field:{target}->arp_spa" in fate.text


def test_the_gateway_answers_ping(hv1: Switch) -> None:
    """[web-1]--11--[br-int@hv1]: the gateway is a flow"""
    fate = hv1.trace(icmp(GATEWAY_MAC, "10.20.0.1"))
    assert fate.outputs == [WEB_1], fate.text
    assert "set_field:0->icmp_type" in fate.text


def test_dhcp_goes_to_the_controller(hv1: Switch) -> None:
    """[web-1]--11--[br-int@hv1]--controller"""
    for source, to in (("0.0.0.0", "255.255.255.255"), ("10.20.0.11", "10.20.0.1")):
        assert TO_CONTROLLER in hv1.trace(udp(source, to, (68, 67))).text


def test_a_probe_ends_at_the_controller_and_not_in_the_guest(hv1: Switch) -> None:
    """probe at web-1 --[br-int@hv1]--controller, not web-2; nor does an answer by flow reach web-1"""
    for packet in (icmp(WEB_2_MAC), arp("10.20.0.12"), icmp(GATEWAY_MAC, "10.20.0.1")):
        fate = hv1.trace(PROBE + packet)
        assert fate.outputs == [] and TO_CONTROLLER in fate.text, fate.text


def test_a_probe_is_marked_on_the_wire_and_known_again_behind_it(hv1: Switch) -> None:
    """probe at web-1 --[br-int@hv1]==vni 4097 with the top bit==[br-int@hv2]--controller"""
    fate = hv1.trace(PROBE + icmp(DB_1_MAC, "10.20.0.13"))
    assert fate.outputs == [TUNNEL] and "load:0x1->NXM_NX_TUN_ID[23]" in fate.text, fate.text
    packet = icmp(WEB_2_MAC, mac=DB_1_MAC, source="10.20.0.13").replace(f"in_port={WEB_1}", f"in_port={TUNNEL}")
    arrival = hv1.trace(f"{packet},tun_id={VNI | 1 << 23:#x}")
    assert arrival.outputs == [] and TO_CONTROLLER in arrival.text, arrival.text
