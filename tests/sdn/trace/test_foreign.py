"""Pipelines that are not ours: patch ports, groups, clones, NORMAL and NAT, told by the switch's own trace.

[a]--1--[br-int]--3--patch--3--[br-tun]--9--[c]
[b]--2--/
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdn.model.addresses import Mac
from sdn.model.packet import Packet
from sdn.model.trace import Trace
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.trace import Endpoint, LiveWorld, Question, TraceHost, predict
from sdn.trace.fields import flow_text, packet_fields
from sdn.trace.near import nearest, parse_flows
from sdn.trace.parser import parse_trace
from sdn.trace.walk import walk_passes
from sdn.transport.unixctl import UnixctlClient

A_MAC, B_MAC = Mac("52:54:00:00:00:0a"), Mac("52:54:00:00:00:0b")
INT_FLOWS = """
table=0,priority=10,tcp,tp_dst=80,in_port=1 actions=output:3
table=0,priority=9,tcp,tp_dst=81,in_port=1 actions=group:7,clone(set_field:10.9.9.9->ip_dst,output:2),resubmit(,5)
table=0,priority=8,tcp,tp_dst=82,in_port=1 actions=resubmit(,6)
table=0,priority=7,tcp,tp_dst=83,in_port=1 actions=ct(commit,table=4,zone=6,nat(src=10.0.0.99))
table=0,priority=6,udp,in_port=1 actions=NORMAL
table=0,priority=5,tcp,tp_dst=84,in_port=1 actions=dec_ttl,output:2
table=4,priority=1 actions=output:2
table=5,priority=1 actions=drop
table=6,priority=20,tcp,nw_src=10.0.0.77 actions=output:2
table=6,priority=19,tcp,nw_src=10.0.0.77,tp_dst=9 actions=output:2
table=6,priority=1 actions=drop
"""
TUN_FLOWS = "table=0,priority=3,in_port=3 actions=set_field:02:00:00:00:00:01->dl_src,resubmit(,2)\ntable=2,priority=3 actions=output:9"  # fmt: skip
GROUPS = "group_id=7,type=all,bucket=set_field:02:00:00:00:00:07->eth_dst,output:2,bucket=output:1"


@pytest.fixture(scope="module")
def foreign() -> Iterator[Shadow]:
    with Shadow() as shadow:
        ports = (ShadowPort("a", 1), ShadowPort("b", 2), ShadowPort("to-tun", 3, "patch", {"peer": "to-int"}))
        inside = (ShadowPort("to-int", 3, "patch", {"peer": "to-tun"}), ShadowPort("c", 9))
        shadow.load([ShadowBridge("br-int", ports, INT_FLOWS, GROUPS), ShadowBridge("br-tun", inside, TUN_FLOWS)])
        yield shadow


def _end(name: str, mac: Mac, ofport: int) -> Endpoint:
    return Endpoint(
        name, "eth0", mac, IPv4Address(f"10.0.0.{ofport}"), "hv1", name, ofport, "virtio", "qemu", f"hs-{name}"
    )


A, B = _end("a", A_MAC, 1), _end("b", B_MAC, 2)


def _trace(shadow: Shadow, port_dst: int, protocol: str = "tcp", ttl: int = 64, target: Endpoint | None = B) -> Trace:
    packet = Packet(protocol, A_MAC, B_MAC, A.address, B.address, ttl, 40000, port_dst)  # type: ignore[arg-type]
    host = TraceHost("hv1", "192.0.2.11", 77, {1: A, 2: B})
    world = LiveWorld({"hv1": shadow.rundir})
    try:
        return predict(Question("1", A, target, packet, (host,), 1, "2026-01-01T00:00:00Z"), world, lambda causes: {})
    finally:
        world.close()


def test_a_patched_bridge_is_a_hop_of_its_own_and_the_port_beyond_is_named(foreign: Shadow) -> None:
    trace = _trace(foreign, 80, target=None)
    assert [(hop.kind, hop.object) for hop in trace.hops[-4:]] == [
        ("bridge", "br-int"), ("patch", "br-int ↔ br-tun"), ("bridge", "br-tun"), ("external", "c"),
    ]  # fmt: skip
    assert trace.reason == "It leaves hv1 by c of br-tun, towards 10.0.0.2."
    assert trace.hops[-1].header_after["dl_src"] == "02:00:00:00:00:01"
    assert trace.hops[-2].steps[0].note == "foreign flow"


def test_each_bucket_and_clone_is_a_copy_with_its_own_header_and_the_rest_is_shown(foreign: Shadow) -> None:
    trace = _trace(foreign, 81)
    assert trace.verdict == "flooded"
    assert [(branch.where, branch.verdict) for branch in trace.branches] == [
        ("b", "delivered"), ("b", "delivered"), ("dropped", "dropped"),
    ]  # fmt: skip
    client = UnixctlClient(foreign.unixctl)
    text = client.run("ofproto/trace", "br-int", f"tcp,in_port=1,dl_dst={B_MAC},nw_dst=10.0.0.2,nw_ttl=64,tcp_dst=81")
    client.close()
    walk = walk_passes(parse_trace(text), "br-int")
    assert walk.outputs == [2, 2], "the bucket that leads back to the in-port does not count"
    heads = [(exit_.fields["dl_dst"], exit_.fields["nw_dst"]) for exit_ in walk.leaving]
    assert heads == [("02:00:00:00:00:07", "10.0.0.2"), (B_MAC, "10.9.9.9")]


def test_a_foreign_drop_is_named_by_table_priority_and_match_with_what_almost_matched(foreign: Shadow) -> None:
    trace = _trace(foreign, 82)
    assert trace.reason == "Dropped in table 6 of br-int on hv1: the flow priority 1, any packet says so."
    assert [near.differs for near in trace.nearest] == [(("nw_src", "10.0.0.77", "10.0.0.1"),)]
    missed = _trace(foreign, 99)
    assert missed.reason == "Dropped in table 0 of br-int on hv1: no flow of the table matches it."
    assert {near.differs[0][:2] for near in missed.nearest} == {("tp_dst", "80"), ("tp_dst", "81"), ("tp_dst", "82")}


def test_nat_shows_in_the_header_past_it(foreign: Shadow) -> None:
    trace = _trace(foreign, 83)
    assert trace.reason == "a reaches b."
    assert trace.hops[-1].header_after["nw_src"] == "10.0.0.99"


def test_a_ttl_that_runs_out_is_said_so(foreign: Shadow) -> None:
    assert _trace(foreign, 84, ttl=2).verdict == "delivered"
    assert "its time to live ran out" in _trace(foreign, 84, ttl=1).reason


def test_normal_is_followed_by_the_mac_table(foreign: Shadow) -> None:
    flooded = _trace(foreign, 9, "udp")
    assert flooded.verdict == "flooded"
    assert any("does not know the MAC" in branch.reason for branch in flooded.branches)
    client = UnixctlClient(foreign.unixctl)
    client.run("fdb/add", "br-int", "b", "0", B_MAC)
    client.close()
    assert _trace(foreign, 9, "udp").reason == "a reaches b."


@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp", "sctp", "arp", "nd"])
@pytest.mark.parametrize("family", [4, 6])
def test_the_switch_takes_every_packet_as_it_is_written(foreign: Shadow, protocol: str, family: int) -> None:
    if (protocol, family) in (("arp", 6), ("nd", 4)):
        return
    ends = (IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")) if family == 4 else (IPv6Address("fd00::1"), IPv6Address("fd00::2"))  # fmt: skip
    packet = Packet(protocol, A_MAC, B_MAC, *ends, port_src=40000 if protocol != "icmp" else 0, port_dst=128 if protocol == "icmp" else 53)  # type: ignore[arg-type]  # fmt: skip
    client = UnixctlClient(foreign.unixctl)
    text = client.run("ofproto/trace", "br-int", flow_text({"in_port": "2", **packet_fields(packet)}))
    client.close()
    flow = text.partition("\n")[0]
    assert "dl_src=52:54:00:00:00:0a" in flow
    if protocol not in ("arp", "nd"):
        assert "nw_ttl=64" in flow and str(ends[1]) in flow
    if protocol == "nd":
        assert "nd_target=fd00::2" in flow and "ipv6_dst=ff02::1:ff00:2" in flow and "dl_dst=33:33:ff:00:00:02" in flow


DUMP = " cookie=0x4853020000000001, duration=0.1s, table=10, n_packets=0, n_bytes=0, priority=100,ip,reg0=0x1,nw_src=10.0.0.0/24,ct_state=+new-inv+trk,tp_dst=0x50/0xfff0 actions=goto_table:20\n"  # fmt: skip


@given(st.text(max_size=80), st.integers(0, len(DUMP)), st.integers(0, 30), st.dictionaries(st.sampled_from(["ip", "nw_src", "reg0", "ct_state", "tp_dst"]), st.text(max_size=12)))  # fmt: skip
def test_any_dump_of_flows_is_compared_without_an_exception(junk: str, at: int, size: int, packet: dict[str, str]) -> None:  # fmt: skip
    for dump in (DUMP[:at] + junk + DUMP[at + size :], junk):
        nearest(parse_flows(dump), packet, lambda flow: True)


def test_masks_ranges_and_states_are_compared_as_open_vswitch_does() -> None:
    packet = {"tcp": "", "reg0": "0x1", "nw_src": "10.0.0.7", "ct_state": "new|trk", "tp_dst": "81"}
    assert nearest(parse_flows(DUMP), packet, lambda flow: True) == ()
    off = nearest(parse_flows(DUMP), {**packet, "tp_dst": "96"}, lambda flow: True)
    assert off[0].differs == (("tp_dst", "0x50/0xfff0", "96"),)
    old = nearest(parse_flows(DUMP), {**packet, "ct_state": "est|trk"}, lambda flow: True)
    assert old[0].differs == (("ct_state", "+new-inv+trk", "est|trk"),)
