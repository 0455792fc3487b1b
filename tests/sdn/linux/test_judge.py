"""netfilter's verdict by its JSON: what is told is sure, and what cannot be told is said to be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sdn.linux.rules import ACCEPT, ARP, DB_MAC, DROP, ECHO6, SYN, WEB_MAC, ct, judged, meta, payload, sub_chain

YES, NO, NOBODY_KNOWS = "drop", "accept", "undecided"
OF_SYN: list[tuple[Any, str]] = [
    (payload("ether", "saddr", WEB_MAC), YES),
    (payload("ether", "saddr", WEB_MAC.upper()), YES),
    (payload("ether", "saddr", {"set": [DB_MAC, WEB_MAC]}), YES),
    (payload("ether", "saddr", {"set": [DB_MAC, WEB_MAC]}, "!="), NO),
    (payload("ether", "type", "ip"), YES),
    (payload("ether", "type", "arp"), NO),
    (payload("ip", "saddr", {"prefix": {"addr": "10.20.0.0", "len": 24}}), YES),
    (payload("ip", "saddr", {"prefix": {"addr": "10.20.1.0", "len": 24}}), NO),
    (payload("ip", "daddr", {"range": ["10.20.0.12", "10.20.0.20"]}), YES),
    (payload("ip", "protocol", "tcp"), YES),
    (payload("ip", "ttl", 64, "<"), NO),
    (payload("ip", "ttl", 64, "<="), YES),
    (payload("ip6", "saddr", "fd00::1", "!="), NO),  # nft looks for the header first
    (payload("tcp", "dport", {"set": [80, {"range": [20, 25]}]}), YES),
    (payload("tcp", "dport", 22, "!="), NO),
    (payload("th", "dport", 22), YES),
    (payload("udp", "dport", 22, "!="), NO),
    (payload("tcp", "flags", "syn", "in"), YES),
    (payload("tcp", "flags", ["syn", "ack"], "in"), YES),
    (payload("tcp", "flags", "syn", "!="), NO),
    ({"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "ack"]]}, "right": "syn"}}, YES),
    ({"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "ether", "field": "daddr"}}, "ff:00:00:00:00:00"]}, "right": "01:00:00:00:00:00"}}, NO),
    ({"match": {"op": "==", "left": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "right": {"set": [{"concat": ["10.20.0.11", 22]}]}}}, YES),
    (meta("iifname", "vnet*"), YES),
    (meta("iifname", {"set": ["vnet2", "vnet3"]}), NO),
    (meta("oifname", "qvb1"), YES),
    (meta("ibrname", "qbr1"), YES),
    (meta("protocol", "ip"), YES),
    (meta("l4proto", {"set": ["tcp", "udp"]}), YES),
    (meta("nfproto", "ipv4"), NO),  # in the bridge family it is the bridge's
    (ct("state", ["established", "related"]), NO),
    (ct("state", "new"), YES),
    (ct("state", {"set": ["new", "invalid"]}, "=="), YES),
    (meta("mark", 1), NOBODY_KNOWS),
    (payload("ip", "dscp", 8), NOBODY_KNOWS),
    (payload("tcp", "dport", "@nowhere"), NOBODY_KNOWS),
    ({"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr"]}}, "right": "local"}}, NOBODY_KNOWS),
    ({"xt": {"type": "match", "name": "physdev"}}, NOBODY_KNOWS),
    ({"xt": {"type": "match", "name": "comment"}}, YES),
    ({"limit": {"rate": 5, "per": "second"}}, NOBODY_KNOWS),
    ({"counter": {"packets": 1, "bytes": 2}}, YES),
    ({"log": {"prefix": "x"}}, YES),
    ({"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}, YES),
    ({"mangle": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "value": "10.0.0.1"}}, NOBODY_KNOWS),
    ({"queue": {"num": 4}}, NOBODY_KNOWS),
    ({"words of a newer nft": {"a": 1}}, NOBODY_KNOWS),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "verdict"), OF_SYN, ids=lambda one: str(one)[:60])
def test_a_statement_before_a_drop_tells_whether_a_syn_is_dropped(statement: Any, verdict: str) -> None:
    assert judged([statement, DROP]).verdict == verdict


@pytest.mark.parametrize(
    ("fields", "statement", "verdict"),
    [
        (ARP, payload("arp", "operation", "request"), YES),
        (ARP, payload("arp", "daddr ip", "10.20.0.12"), YES),
        (ARP, payload("arp", "saddr ether", WEB_MAC), YES),
        (ARP, payload("ip", "saddr", "10.20.0.11", "!="), NO),
        (ARP, payload("tcp", "dport", 22, "!="), NO),
        (ARP, meta("pkttype", "broadcast"), YES),
        (SYN, meta("pkttype", "host"), NOBODY_KNOWS),
        (SYN, meta("pkttype", "broadcast"), NO),
        (SYN, meta("pkttype", "multicast", "!="), YES),
        ({"tcp": ""}, meta("pkttype", "broadcast"), NOBODY_KNOWS),
        (ECHO6, payload("icmpv6", "type", {"set": ["nd-neighbor-solicit", "echo-request"]}), YES),
        (ECHO6, payload("ip6", "daddr", {"prefix": {"addr": "fd00::", "len": 64}}), YES),
        (ECHO6, payload("icmp", "type", "echo-request"), NO),
        ({**SYN, "dl_vlan": "7"}, payload("ether", "type", "8021q"), YES),
        ({**SYN, "dl_vlan": "7"}, payload("tcp", "dport", 22), NOBODY_KNOWS),  # whether it is looked into a tag is not told
        ({"tcp": "", "nw_src": "10.20.0.11"}, payload("tcp", "dport", 22), NOBODY_KNOWS),
    ],
    ids=lambda one: str(one)[:50],
)  # fmt: skip
def test_other_frames_are_told_apart(fields: dict[str, str], statement: Any, verdict: str) -> None:
    assert judged([statement, DROP], fields=fields).verdict == verdict


def test_the_first_rule_that_decides_does_so_and_the_policy_only_after_all() -> None:
    ssh = payload("tcp", "dport", 22)
    assert judged([ssh, ACCEPT], [DROP], policy="drop").verdict == "accept"
    assert judged([payload("tcp", "dport", 80), ACCEPT], policy="drop") == judged([payload("tcp", "dport", 81), ACCEPT], policy="drop")  # fmt: skip
    found = judged([payload("tcp", "dport", 80), ACCEPT], policy="drop")
    assert (found.verdict, found.rule) == ("drop", None)
    said = judged([{"reject": {"type": "tcp reset"}}], policy="accept")
    assert said.verdict == "reject" and said.rule is not None and said.rule.handle == 2


def test_a_connections_state_is_used_and_not_guessed() -> None:
    rules = [[ct("state", ["established", "related"]), ACCEPT], [DROP]]
    assert judged(*rules, state="established").verdict == "accept"
    assert judged(*rules, state="new").verdict == "drop"
    unknown = judged(*rules, state="")
    assert unknown.verdict == "undecided" and unknown.rule is not None and unknown.rule.handle == 2


def test_a_rule_that_nobody_can_tell_matters_only_where_it_decides() -> None:
    doubtful = meta("mark", 1)
    assert judged([doubtful, ACCEPT], [payload("tcp", "dport", 22), ACCEPT]).verdict == "accept"
    assert judged([doubtful, DROP], [DROP]).verdict == "drop"
    assert judged([doubtful, {"reject": None}], [DROP]).verdict == "reject"
    assert judged([payload("tcp", "dport", 80), doubtful, DROP]).verdict == "accept"
    found = judged([doubtful, {"counter": None}], [doubtful, ACCEPT], [DROP])
    assert found.verdict == "undecided" and found.rule is not None and found.rule.handle == 3, (
        "a rule that only counts decides nothing"
    )


@pytest.mark.parametrize(
    ("inner", "verdict"),
    [
        ([[DROP]], "drop"),
        ([[{"return": None}], [DROP]], "accept"),
        ([[payload("tcp", "dport", 80), DROP]], "accept"),
        ([[{"jump": {"target": "sub"}}]], "undecided"),  # the kernel takes no such loop; a hostile report may hold one
        ([[{"jump": {"target": "nowhere"}}]], "undecided"),
    ],
)
def test_chains_that_are_jumped_to_come_back_where_they_decide_nothing(inner: list[Any], verdict: str) -> None:
    more = sub_chain("sub", *inner)
    assert judged([{"jump": {"target": "sub"}}], [ACCEPT], more=more).verdict == verdict


def test_a_goto_does_not_come_back_to_its_own_chain() -> None:
    more = sub_chain("sub", [payload("tcp", "dport", 80), DROP])
    assert judged([{"goto": {"target": "sub"}}], [DROP], more=more).verdict == "accept"
    assert judged([{"goto": {"target": "sub"}}], [ACCEPT], more=more, policy="drop").verdict == "drop"


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        ({"set": [["vnet1", DROP], ["vnet2", ACCEPT]]}, "drop"),
        ({"set": [["vnet2", DROP]]}, "accept"),
        ({"set": [["vnet1", {"jump": {"target": "sub"}}]]}, "reject"),
        ("@m", "drop"),
        ("@nowhere", "undecided"),
        ({"set": [[{"strange": 1}, DROP]]}, "undecided"),
    ],
)
def test_a_verdict_map_decides_by_its_element(data: Any, verdict: str) -> None:
    named = {"map": {"family": "bridge", "table": "t", "name": "m", "type": "ifname", "elem": [["vnet*", DROP]]}}
    more = (named, *sub_chain("sub", [{"reject": None}]))
    assert judged([{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": data}}], more=more).verdict == verdict


def test_a_verdict_map_of_what_the_frame_has_not_decides_nothing() -> None:
    by_port = {"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[22, DROP]]}}}
    assert judged([by_port], fields=ECHO6).verdict == "accept"
    assert judged([by_port], fields=SYN).verdict == "drop"


def test_iptables_targets_are_known_by_their_names() -> None:
    target = {"type": "target"}
    assert judged([{"xt": {**target, "name": "REJECT"}}]).verdict == "reject"
    assert judged([{"xt": {**target, "name": "LOG"}}], [DROP]).verdict == "drop"
    assert judged([{"xt": {**target, "name": "MASQUERADE"}}]).verdict == "undecided"
