"""Datapath dumps of two hosts (OVS 3.1, userspace), read and joined.

[web-1 10.20.0.11]--t1--[hv1]==vni 5002==[hv2]--t2--[db-1 10.30.0.12]
                           └─under0─[the outside, as 198.51.100.10]
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdn.observe import Glance, connections_of, follow, parse_dump

DUMPS = Path(__file__).parent / "dumps"
PING = {"icmp": "", "dl_type": "0x0800", "nw_proto": "1", "nw_src": "10.20.0.11", "icmp_type": "8"}
WEB = {
    "tcp": "",
    "dl_type": "0x0800",
    "nw_proto": "6",
    "nw_src": "10.20.0.11",
    "nw_dst": "203.0.113.80",
    "tp_dst": "80",
}
FLOWS = (DUMPS / "hv1-flows.txt").read_text()
CONNTRACK = (DUMPS / "hv1-conntrack.txt").read_text()


def glances() -> dict[str, Glance]:
    underlay = {"hv1": "192.0.2.11", "hv2": "192.0.2.12"}
    return {host: Glance.read(host, address, read(host, "flows"), read(host, "conntrack"), {}) for host, address in underlay.items()}  # fmt: skip


def read(host: str, what: str) -> str:
    return (DUMPS / f"{host}-{what}.txt").read_text()


def test_copies_that_mirrors_and_captures_take_are_not_the_packets_way() -> None:
    copied = {
        "actions:ct(zone=2),recirc(0x2)": "actions:t9,userspace(pid=0,controller(reason=1)),ct(zone=2),recirc(0x2)",
        "actions:ct(commit,zone=3),t2": "actions:ct(commit,zone=3),set(tunnel(tun_id=0x600001,dst=192.0.2.13)),9,t2",
    }
    seen = glances()
    for plain in copied:
        assert any(plain in read(host, "flows") for host in seen), plain
    changed = {
        host: Glance.read(host, one.underlay_ip, _replaced(read(host, "flows"), copied), read(host, "conntrack"), {})
        for host, one in seen.items()
    }
    asked = ("hv1", "t1", PING | {"nw_dst": "10.30.0.12"})
    plain_way, copied_way = follow(seen, *asked), follow(changed, *asked)
    assert [(one.end, one.port, one.vni, one.header) for one in copied_way] == [(one.end, one.port, one.vni, one.header) for one in plain_way]  # fmt: skip


def _replaced(text: str, words: dict[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text


def test_every_line_of_a_dump_is_an_entry_with_its_counts() -> None:
    flows = parse_dump(FLOWS)
    assert len(flows) == len(FLOWS.splitlines()) - 1, "all but the heading"
    assert all(flow.ufid and flow.in_port and flow.actions for flow in flows)
    pings = next(flow for flow in flows if flow.ufid.startswith("9f24a94b"))
    assert (pings.packets, pings.bytes, pings.used_s, pings.actions) == (11, 1078, 0.181, ("ct(zone=2)", "recirc(0x2)"))
    assert pings.looks_at("nw_src") and not pings.looks_at("nw_dst")


def test_what_an_entry_does_not_look_at_is_not_shown() -> None:
    """Under a mask of nought -m prints the first packet's own values: addresses, ports, its connection."""
    text = next(flow.text for flow in parse_dump(FLOWS) if flow.ufid.startswith("9f24a94b"))
    assert "dst=10.24.0.0/255.248.0.0" in text, "only the bits that count"
    for hidden in ("10.30.0.12", "52:54:00:ff:00:01", "ct_tuple4", "ttl="):
        assert hidden not in text, text


def test_a_ping_is_followed_through_conntrack_the_tunnel_and_the_other_host() -> None:
    way = follow(glances(), "hv1", "t1", PING | {"nw_dst": "10.30.0.12"})
    assert [(one.host, one.end, one.port) for one in way] == [("hv1", "tunnel", "tunnel"), ("hv2", "port", "t2")]
    assert [len(one.stages) for one in way] == [2, 2]
    assert [one.stages[-1].packets for one in way] == [10, 10], "new and known ones together"
    assert (way[0].tun_dst, way[0].vni) == ("192.0.2.12", "0x138a")
    assert way[1].header["dl_src"] == "52:54:00:ff:00:02", "as the router wrote it"
    assert way[1].arrival is not None and way[1].arrival.packets == 11


@pytest.mark.parametrize("packet", [PING | {"nw_dst": "203.0.113.80"}, WEB], ids=["icmp", "tcp"])
def test_nat_is_followed_by_what_conntrack_says(packet: dict[str, str]) -> None:
    (only,) = follow(glances(), "hv1", "t1", packet)
    assert (only.end, only.port, only.header["nw_src"]) == ("port", "under0", "198.51.100.10")
    assert len(only.stages) == 3 and any(one.is_translated for one in only.connections)


def test_an_answer_through_nat_comes_back_to_the_guests_own_address() -> None:
    answer = {"tcp": "", "dl_type": "0x0800", "nw_proto": "6", "nw_src": "203.0.113.80", "nw_dst": "198.51.100.10", "tp_src": "80"}  # fmt: skip
    (only,) = follow(glances(), "hv1", "under0", answer)
    assert (only.end, only.port, only.header["nw_dst"]) == ("port", "t1", "10.20.0.11")


def test_a_packet_that_no_entry_is_of_has_no_way() -> None:
    assert follow(glances(), "hv1", "t1", PING | {"nw_src": "10.20.0.99", "nw_dst": "10.30.0.12"}) == ()
    assert follow(glances(), "hv1", "t9", PING) == () and follow(glances(), "hv9", "t1", PING) == ()


def test_a_drop_and_the_controller_are_ends() -> None:
    drop = {"icmp6": "", "dl_type": "0x86dd", "nw_proto": "58", "ipv6_src": "::", "icmp_type": "143"}
    assert [one.end for one in follow(glances(), "hv1", "t1", drop)] == ["drop"]
    asked = {"arp": "", "dl_type": "0x0806", "dl_dst": "0a:48:53:00:00:01", "arp_op": "2"}
    assert [one.end for one in follow(glances(), "hv1", "under0", asked)] == ["controller"]


def test_connections_are_of_the_packets_ends_and_of_its_zone() -> None:
    assert {one.zone for one in connections_of(CONNTRACK, WEB)} == {2, 40001}
    assert [one.is_translated for one in connections_of(CONNTRACK, WEB, 40001)] == [True]
    assert connections_of(CONNTRACK, WEB | {"tp_dst": "81"}) == ()


def test_a_wire_with_a_tag_leads_on_to_the_host_that_it_is_given() -> None:
    """[web-1]--t1--[hv1]--under0==VLAN 7==under0--[hv2]--t2--[db-1]"""
    head = (
        "ufid:{0}, recirc_id(0),in_port({1}),packet_type(ns=0,id=0),eth(src=52:54:00:00:00:01,dst=52:54:00:00:00:02),"
    )
    out = (
        head
        + "eth_type(0x0800),ipv4(dst=10.30.0.12,proto=1,frag=no), packets:5, bytes:490, used:0.1s, actions:push_vlan(vid=7,pcp=0),under0"
    )
    back = (
        head
        + "eth_type(0x8100),vlan(vid={2},pcp=0/0x0),encap(eth_type(0x0800),ipv4(dst=10.30.0.12,frag=no)), packets:5, bytes:490, used:0.1s, actions:pop_vlan,t2"
    )
    dumps = {"hv1": out.format("1", "t1"), "hv2": back.format("2", "under0", 8) + "\n" + back.format("3", "under0", 7)}
    seen = {host: Glance.read(host, "", dump, "", {}) for host, dump in dumps.items()}
    way = follow(seen, "hv1", "t1", PING | {"nw_dst": "10.30.0.12"}, "hv2")
    assert [(one.host, one.port, one.stages[0].flow.ufid) for one in way] == [
        ("hv1", "under0", "1"),
        ("hv2", "t2", "3"),
    ]
    assert [one.host for one in follow(seen, "hv1", "t1", PING | {"nw_dst": "10.30.0.12"})] == ["hv1"]


@given(st.text(max_size=400))
def test_no_text_breaks_the_reading(text: str) -> None:
    parse_dump(text)
    connections_of(text, PING)


@given(st.integers(0, len(FLOWS)), st.integers(0, 40), st.text(max_size=12))
def test_a_damaged_dump_is_read_as_far_as_it_goes(at: int, gone: int, put: str) -> None:
    damaged = FLOWS[:at] + put + FLOWS[at + gone :]
    glance = Glance.read("hv1", "192.0.2.11", damaged, CONNTRACK, {})
    follow({"hv1": glance}, "hv1", "t1", PING | {"nw_dst": "10.30.0.12"})
