"""A flow has one text and one encoding, and Open vSwitch has the same ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdn.compiler import compile_host
from sdn.model.flow import Flow, FlowKey, canonical_match, format_flow
from sdn.reconcile import diff_flows, wire_flow
from sdn.shadow import ShadowBridge
from sdn.transport.codec import CodecError, encode_flow
from sdn.transport.decode import decode_flow_stats, decode_flow_updates
from sdn.transport.flowprint import FlowPrinter, parse_flow_line
from sdn.transport.flowtext import action_text, decode_flow, format_wire_flow
from tests.sdn import routed
from tests.sdn.channels import connected
from tests.sdn.switch import Switch
from tests.sdn.world import SNAPSHOT, VIEW
from tests.sdn.worlds import view_of, worlds

FLOWS = compile_host(SNAPSHOT, VIEW)


def test_the_text_is_what_ovs_ofctl_prints(hv1: Switch) -> None:
    assert sorted(map(format_flow, FLOWS)) == hv1.flows()


@given(worlds())
def test_decoding_gives_back_what_was_encoded(world) -> None:  # type: ignore[no-untyped-def]
    for flow in compile_host(world, view_of(world, "hv1")):
        assert decode_flow(encode_flow(flow)) == flow


@pytest.mark.parametrize("vid", [None, 100])
async def test_routers_flows_have_one_text_too_and_a_switch_reports_what_was_sent(dummy_ovs: Switch, vid: int | None) -> None:  # fmt: skip
    external = replace(routed.SNAPSHOT.externals[0], vid=vid, cidr6=IPv6Network("2001:db8:51::/64"))
    front, *others = routed.SNAPSHOT.networks  # packets into front are measured; danas' is a provider network
    wire = ("vlan", 200) if vid is None else ("flat", None)
    networks = (replace(front, mtu=1400), *(replace(one, kind=wire[0], vid=wire[1]) if one is routed.DANAS else one for one in others))  # fmt: skip
    flows = compile_host(replace(routed.SNAPSHOT, networks=networks, externals=(external,)), routed.HV1_VIEW)
    dummy_ovs.shadow.load([ShadowBridge("br-int", (), "\n".join(map(format_flow, flows)))])
    assert sorted(map(format_flow, flows)) == dummy_ovs.flows()
    desired = [encode_flow(flow) for flow in flows]
    assert [decode_flow(wire) for wire in desired] == list(flows)
    async with connected(dummy_ovs) as channel:
        observed = {flow.key: flow for flow in await channel.dump_flows()}
        assert diff_flows(observed, desired).is_empty


async def test_what_we_install_is_what_the_switch_reports_and_a_second_diff_is_empty(hv1: Switch) -> None:
    desired = [encode_flow(flow) for flow in FLOWS]
    async with connected(hv1) as channel:
        await channel.apply(diff_flows({}, desired))
        observed = {flow.key: flow for flow in await channel.dump_flows()}
        assert diff_flows(observed, desired).is_empty
    assert sorted(map(format_wire_flow, desired)) == await asyncio.to_thread(hv1.flows)


async def test_a_timeout_that_somebody_gave_a_flow_of_ours_is_taken_away(hv1: Switch) -> None:
    desired = [encode_flow(flow) for flow in FLOWS]
    line = format_flow(FLOWS[0]).replace(" actions", ",idle_timeout=600 actions")
    await asyncio.to_thread(hv1.ofctl, "add-flow", line)
    async with connected(hv1) as channel:
        plan = diff_flows({flow.key: flow for flow in await channel.dump_flows()}, desired)
        assert [decode_flow(flow) for flow in plan.replace] == [FLOWS[0]] and not plan.add and not plan.delete
        await channel.apply(plan)
        assert diff_flows({flow.key: flow for flow in await channel.dump_flows()}, desired).is_empty


STRANGE = (
    "table=99,priority=4,ip,nw_ttl=1,nw_tos=32 actions=dec_ttl,output:1",
    "table=99,priority=5,ipv6,ipv6_src=fe80::1 actions=learn(table=98,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])",
    "table=99,priority=6,vlan_tci=0x1005/0x1fff actions=strip_vlan,NORMAL",
    "table=99,priority=6,vlan_tci=0x0004/0x0004 actions=drop",
    "table=99,priority=7,udp,tp_src=0x100/0xff00 actions=ct(commit,zone=5,nat(src=10.0.0.1),exec(set_field:7->ct_mark))",
    "table=99,priority=8,tcp6 actions=note:00.01.02,write_actions(output:3)",
    "table=99,priority=9,conj_id=3,ip,ct_mark=1/1,metadata=5 actions=resubmit(1,2),push_vlan:0x8100",
    "table=99,priority=10,icmp6,icmp_type=135,nd_target=fe80::1 actions=multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[])",
)


async def test_foreign_flows_of_any_shape_are_shown_as_ovs_ofctl_prints_them_and_left_alone(hv1: Switch) -> None:
    await asyncio.to_thread(hv1.ofctl, "add-flows", "-", given="\n".join(STRANGE))
    async with connected(hv1) as channel:
        observed = await channel.dump_flows()
    foreign = sorted((flow for flow in observed if flow.table_id == 99), key=lambda flow: flow.priority)
    assert len(foreign) == len(STRANGE)
    printer = FlowPrinter()
    lines = (parse_flow_line(line) for line in await asyncio.to_thread(hv1.flows))
    told = sorted((line for line in lines if line and line.table_id == 99), key=lambda line: line.priority)
    for _ in range(2):  # asked for, then remembered
        assert await printer.words(foreign) == [line.words for line in told]
    assert all("actions=" in format_wire_flow(flow) for flow in foreign)
    plan = diff_flows({flow.key: flow for flow in observed}, [encode_flow(flow) for flow in FLOWS])
    assert plan.is_empty, plan


async def test_bytes_that_even_ovs_ofctl_cannot_print_are_shown_as_hex() -> None:
    broken = wire_flow(9, 5, b"\x80\x00\xf0\x02\x12\x34", 7, b"\x00\x04\x00\x10\0\0\0\0\xff\xf0\x00\x08\0\0\0\0")
    (words,) = await FlowPrinter().words([broken])
    assert "0x1234" in words.match and "action_65520" in words.actions


@pytest.mark.parametrize(
    ("match", "action", "named"),
    [
        ((("reg1", "0x1"),), "learn(table=1)", "learn(table=1)"),
        ((("no_such_field", "1"),), "IN_PORT", "no_such_field"),
        ((("reg1", "many"),), "IN_PORT", "reg1=many"),
        ((("tp_src", "1"),), "IN_PORT", "tp_src"),
        ((("reg1", "0x1"),), "move:NOWHERE[]->NXM_NX_REG1[]", "NOWHERE"),
    ],
)
def test_what_cannot_be_encoded_is_refused_by_name(match: tuple[tuple[str, str], ...], action: str, named: str) -> None:
    with pytest.raises(CodecError) as refused:
        encode_flow(Flow(FlowKey(0, 1, canonical_match(match)), 0, (action,)))
    assert named in str(refused.value)


@given(st.binary(max_size=300), st.binary(max_size=80), st.integers(0, 0xFFFF))
def test_decoding_junk_raises_nothing(body: bytes, part: bytes, type_: int) -> None:
    list(decode_flow_stats(body))
    list(decode_flow_updates(body))
    format_wire_flow(wire_flow(0, 1, part, 2, body))
    format_wire_flow(wire_flow(0, 1, body, 2, part))
    assert action_text(type_, part)
    assert action_text(0xFFFF, b"\x00\x00\x23\x20" + part)
