"""Routing on the sender's own host, told by Open vSwitch itself.

[web-1]--11--[br-int@hv1]==vni 4097, 4099==[br-int@hv2]--21--[db-1]
[app-1]--12--/     router payments: front 10.20.0.0/24, back 10.30.0.0/24, outside by hv1
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdn.compiler import compile_host
from sdn.model.cookie import parse_cookie
from sdn.model.flow import format_flow
from sdn.model.intent import HostView, IntentSnapshot
from sdn.pipeline import DROP_REASON_BY_NAME, TABLE_BY_ID, TABLE_BY_NAME
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.transport.codec import encode_flow
from tests.sdn.routed import (
    APP_1,
    APP_1_ADDRESS,
    BACK_MAC,
    BACK_VNI,
    CABLE,
    DANA,
    DANA_MAC,
    DB_1,
    DB_1_ADDRESS,
    DB_1_MAC,
    FRONT_MAC,
    HV1_VIEW,
    HV2_VIEW,
    ROUTER_VNI,
    SNAPSHOT,
    TUNNEL,
    WEB_1,
    WEB_1_ADDRESS,
    WEB_1_MAC,
)
from tests.sdn.switch import Fate, Switch


def switch_of(shadow: Shadow, view: HostView, snapshot: IntentSnapshot = SNAPSHOT) -> Switch:
    flows = "\n".join(format_flow(flow) for flow in compile_host(snapshot, view))
    numbers = sorted({TUNNEL, CABLE, *(ofport for _, ofport in view.ofports)})
    shadow.load([ShadowBridge("br-int", tuple(ShadowPort(f"p{number}", number) for number in numbers), flows)])
    return Switch(shadow)


@pytest.fixture(scope="module")
def routed_hv1() -> Iterator[Switch]:
    with Shadow() as shadow:
        yield switch_of(shadow, HV1_VIEW)


@pytest.fixture(scope="module")
def routed_hv2() -> Iterator[Switch]:
    with Shadow() as shadow:
        yield switch_of(shadow, HV2_VIEW)


def ping(to: object, ttl: int = 64, kind: int = 8, port: int = WEB_1, mac: str = WEB_1_MAC, to_mac: str = FRONT_MAC, source: object = WEB_1_ADDRESS) -> str:  # fmt: skip
    return f"icmp,in_port={port},dl_src={mac},dl_dst={to_mac},nw_src={source},nw_dst={to},nw_ttl={ttl},icmp_type={kind}"


def assert_dropped(fate: Fate, reason: str, table: str) -> None:
    assert fate.drop_reason == DROP_REASON_BY_NAME[reason].code, fate.text
    assert fate.drop_table == TABLE_BY_NAME[table].table_id, fate.text
    assert fate.outputs == [], fate.text


def test_it_routes_to_another_network_on_the_same_host_without_a_tunnel(routed_hv1: Switch) -> None:
    """[web-1 on front]--11--[br-int@hv1]--12--[app-1 on back]"""
    fate = routed_hv1.trace(ping(APP_1_ADDRESS))
    assert fate.outputs == [APP_1], fate.text
    assert f"set_field:{BACK_MAC}->eth_src" in fate.text and "dec_ttl" in fate.text


def test_it_routes_at_the_sender_and_sends_through_the_targets_network(routed_hv1: Switch, routed_hv2: Switch) -> None:
    """[web-1 on front]--11--[br-int@hv1]==vni of back==[br-int@hv2]--21--[db-1 on back]"""
    fate = routed_hv1.trace(ping(DB_1_ADDRESS))
    assert fate.outputs == [TUNNEL], fate.text
    assert f"set_field:{BACK_VNI:#x}->tun_id" in fate.text and f"set_field:{DB_1_MAC}->eth_dst" in fate.text
    arrival = ping(DB_1_ADDRESS, 63, port=TUNNEL, mac=BACK_MAC, to_mac=DB_1_MAC)
    assert routed_hv2.trace(f"{arrival},tun_id={BACK_VNI:#x}").outputs == [DB_1]


def test_it_routes_back_from_a_host_that_has_no_port_on_the_other_network(routed_hv2: Switch) -> None:
    """[web-1]==vni of front==[br-int@hv2]--21--[db-1]"""
    back = ping(WEB_1_ADDRESS, kind=0, port=DB_1, mac=DB_1_MAC, to_mac=BACK_MAC, source=DB_1_ADDRESS)
    fate = routed_hv2.trace(back)
    assert fate.outputs == [TUNNEL] and "set_field:0x1001->tun_id" in fate.text, fate.text


def test_a_static_route_hands_to_its_next_hop(routed_hv1: Switch) -> None:
    """[web-1]--[br-int@hv1]==vni of back==[db-1, router to 172.16.0.0/16]"""
    fate = routed_hv1.trace(ping("172.16.5.5"))
    assert fate.outputs == [TUNNEL] and f"set_field:{DB_1_MAC}->eth_dst" in fate.text, fate.text


@pytest.mark.parametrize(
    ("packet", "reason", "table"),
    [
        (ping("10.30.0.77"), "no_neighbour", "next_hop"),
        (ping("172.17.0.1"), "no_neighbour", "route"),
        (ping(APP_1_ADDRESS, ttl=1), "ttl_exceeded", "route"),
        (ping("10.30.0.12", port=DANA, mac=DANA_MAC, source="10.20.0.11"), "no_route", "router"),
    ],
)
def test_it_drops_with_the_reason_and_the_table(routed_hv1: Switch, packet: str, reason: str, table: str) -> None:
    """[web-1, or dana-1 of another team]--[br-int@hv1]--x"""
    assert_dropped(routed_hv1.trace(packet), reason, table)


def test_a_packet_whose_ttl_ran_out_is_shown_to_the_controller(routed_hv1: Switch) -> None:
    """traceroute: [web-1]--[br-int@hv1]--controller"""
    assert "CONTROLLER:128" in routed_hv1.trace(ping(APP_1_ADDRESS, ttl=1)).text


@pytest.mark.parametrize("address", ["10.30.0.1", "198.51.100.10"])
def test_every_address_of_the_router_answers_ping_from_every_network(routed_hv1: Switch, address: str) -> None:
    """[web-1 on front]--11--[br-int@hv1]: back's gateway and the external address are flows too"""
    fate = routed_hv1.trace(ping(address))
    assert fate.outputs == [WEB_1] and "set_field:0->icmp_type" in fate.text, fate.text


def test_what_leaves_goes_to_the_gateway_host_with_the_routers_own_vni(routed_hv2: Switch) -> None:
    """[db-1]--21--[br-int@hv2]==vni of the router==[br-int@hv1]"""
    out = ping("203.0.113.80", port=DB_1, mac=DB_1_MAC, to_mac=BACK_MAC, source=DB_1_ADDRESS)
    fate = routed_hv2.trace(out)
    assert fate.outputs == [TUNNEL], fate.text
    assert f"set_field:{ROUTER_VNI:#x}->tun_id" in fate.text and "set_field:192.0.2.11->tun_dst" in fate.text


def test_without_a_gateway_host_it_says_so(routed_hv2: Switch) -> None:
    """[db-1]--21--[br-int@hv2]--x"""
    lost = replace(SNAPSHOT, routers=(replace(SNAPSHOT.routers[0], gateway_host=None),))
    with Shadow() as shadow:
        out = ping("203.0.113.80", port=DB_1, mac=DB_1_MAC, to_mac=BACK_MAC, source=DB_1_ADDRESS)
        assert_dropped(switch_of(shadow, HV2_VIEW, lost).trace(out), "external_down", "nat")


def test_a_router_without_an_external_network_has_no_way_out(routed_hv1: Switch) -> None:
    """[web-1]--11--[br-int@hv1]--x"""
    inside = replace(SNAPSHOT.routers[0], external_id=None, external_address=None, gateway_host=None, floating=())
    with Shadow() as shadow:
        switch = switch_of(shadow, HV1_VIEW, replace(SNAPSHOT, routers=(inside,)))
        assert_dropped(switch.trace(ping("203.0.113.80")), "no_route", "route")


@given(st.randoms(), st.sampled_from([HV1_VIEW, HV2_VIEW]), st.booleans(), st.sampled_from([None, 100]))
def test_laws_of_the_compiler_hold_with_routers(chance: random.Random, view: HostView, cabled: bool, vid: int | None) -> None:  # fmt: skip
    view = view if cabled else replace(view, external_ofport=None, neighbours=())
    world = replace(SNAPSHOT, externals=(replace(SNAPSHOT.externals[0], vid=vid),))
    router = world.routers[0]
    shuffled = replace(
        world,
        ports=tuple(chance.sample(world.ports, len(world.ports))),
        networks=tuple(chance.sample(world.networks, len(world.networks))),
        routers=(replace(router, ports=tuple(reversed(router.ports)), routes=tuple(reversed(router.routes))),),
    )
    flows = compile_host(world, view)
    assert compile_host(shuffled, view) == flows
    assert len({flow.key for flow in flows}) == len(flows), "two flows with one key"
    for flow in flows:
        assert parse_cookie(flow.cookie) is not None
        jumps = [int(action[11:]) for action in flow.actions if action.startswith("goto_table:")]
        assert {TABLE_BY_ID[number].name for number in jumps} <= set(TABLE_BY_ID[flow.key.table_id].next)
        assert encode_flow(flow).key


def test_a_network_that_no_router_joins_is_not_compiled_on_hosts_without_its_ports() -> None:
    text = "\n".join(format_flow(flow) for flow in compile_host(SNAPSHOT, HV2_VIEW))
    assert "reg1=0x1002" not in text and "reg1=0x1001" in text
