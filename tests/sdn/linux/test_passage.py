"""A frame's way through a Linux bridge: [tap vnet1]--[qbr1]--[qvb1], by ports, MAC table and netfilter."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sdn.linux.bridges import (  # fmt: skip
    BridgeFacts,
    BridgePort,
    BridgeReading,
    FdbEntry,
    parse_bridge,
    parse_bridge_ports,
    parse_fdb,
    parse_links,
)
from sdn.linux.passage import Passage, pass_bridge
from sdn.linux.ruleset import parse_ruleset
from tests.sdn.linux.rules import ARP, DB_MAC, DROP, ECHO6, SYN, WEB_MAC, frame, meta, payload, ruleset_of

FACTS = BridgeFacts("qbr1", True, 0.0, False, False, False, False)
TAP, CABLE = BridgePort("vnet1", "forwarding"), BridgePort("qvb1", "forwarding")
BRIDGE = BridgeReading("qbr1", FACTS, {"vnet1": TAP, "qvb1": CABLE})
LISTING = """\
table bridge own {
	chain out {
		type filter hook forward priority filter; policy accept;
		ether daddr 52:54:00:00:00:02 counter packets 3 bytes 252 drop comment "no # handle 9" # handle 4
	}
}
table netdev n {
	chain i {
		type filter hook ingress devices = { "vnet1", "vnet2" } priority filter; policy accept;
		ip saddr 10.20.0.11 drop # handle 2
	}
}
"""


def at_fdb(passage: Passage) -> tuple[str, str]:
    found = next(one for one in passage.stations if one.place == "fdb")
    return found.done, found.note


def test_a_bridge_that_keeps_nothing_hands_a_frame_to_its_other_port() -> None:
    passage = pass_bridge(BRIDGE, frame())
    assert passage.outcome == "passed"
    assert at_fdb(passage) == ("to qvb1", "no entry is kept (ageing 0): it goes to every other port")


@pytest.mark.parametrize(
    ("entry", "outcome", "said"),
    [
        (FdbEntry(DB_MAC, "qvb1", "learned"), "passed", ""),
        (FdbEntry(DB_MAC, "qvb1", "static"), "passed", ""),
        (FdbEntry(DB_MAC, "vnet1", "static"), "dropped", "at vnet1, where the frame comes from"),
        (FdbEntry(DB_MAC, "vnet7", "static"), "dropped", "at vnet7: it is sent there, and not to qvb1"),
        (FdbEntry(DB_MAC, "qvb1", "local"), "dropped", "the host takes the frame itself"),
        (FdbEntry(WEB_MAC, "vnet1", "learned"), "passed", ""),
        (FdbEntry(DB_MAC, "vnet1", "static", vid=5), "passed", ""),  # of a VLAN, and the bridge knows none
    ],
)
def test_the_mac_table_says_by_which_port_it_leaves(entry: FdbEntry, outcome: str, said: str) -> None:
    passage = pass_bridge(replace(BRIDGE, fdb=(entry,)), frame())
    assert passage.outcome == outcome and said in passage.words, passage


@pytest.mark.parametrize(
    ("changed", "outcome", "said"),
    [
        (replace(BRIDGE, ports={"qvb1": CABLE}), "dropped", "vnet1 is no port of qbr1 any more"),
        (replace(BRIDGE, ports={"vnet1": TAP, "qvb1": replace(CABLE, state="disabled")}), "dropped", "its link is down"),
        (replace(BRIDGE, ports={"vnet1": replace(TAP, state="blocking"), "qvb1": CABLE}), "dropped", "spanning tree"),
        (replace(BRIDGE, facts=replace(FACTS, is_up=False)), "dropped", "the bridge qbr1 is down"),
        (replace(BRIDGE, facts=replace(FACTS, vlan_filtering=True)), "undecided", "filters VLANs"),
        (replace(BRIDGE, ports={"vnet1": TAP, "qvb1": replace(CABLE, floods=False)}), "dropped", "flooding is off"),
        (replace(BRIDGE, ports={"vnet1": replace(TAP, isolated=True), "qvb1": replace(CABLE, isolated=True)}), "dropped", "isolated"),
        (replace(BRIDGE, ports={"vnet1": replace(TAP, isolated=True), "qvb1": CABLE}), "passed", ""),
        (replace(BRIDGE, ports={"vnet1": replace(TAP, locked=True), "qvb1": CABLE}), "dropped", "is locked"),
        (BridgeReading("qbr1"), "passed", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_port_stops_it(changed: BridgeReading, outcome: str, said: str) -> None:
    passage = pass_bridge(changed, frame())
    assert passage.outcome == outcome and said in passage.words, passage


def test_a_broadcast_asks_for_the_flag_of_broadcasts() -> None:
    quiet = replace(BRIDGE, ports={"vnet1": TAP, "qvb1": replace(CABLE, floods_broadcast=False)})
    assert pass_bridge(quiet, frame()).outcome == "passed"
    assert pass_bridge(quiet, frame(ARP)).outcome == "dropped"
    assert pass_bridge(replace(BRIDGE, ports={"vnet1": TAP, "qvb1": replace(CABLE, floods=False)}), frame(ARP)).outcome == "passed"  # fmt: skip


def test_ips_chains_count_only_where_they_see_bridged_frames() -> None:
    for family, fields, flag in (("ip", SYN, "sees_ip"), ("inet", SYN, "sees_ip"), ("ip6", ECHO6, "sees_ip6"), ("inet", ECHO6, "sees_ip6")):  # fmt: skip
        reading = replace(BRIDGE, ruleset=ruleset_of([DROP], family=family))
        assert pass_bridge(reading, frame(fields)).outcome == "passed"
        seeing = replace(reading, **{flag: True})
        assert pass_bridge(seeing, frame(fields)).outcome == "dropped"
        assert pass_bridge(seeing, frame(ARP)).outcome == "passed"
    own = replace(BRIDGE, facts=replace(FACTS, calls_iptables=True), ruleset=ruleset_of([DROP], family="ip"))
    assert pass_bridge(own, frame()).outcome == "dropped", "the bridge's own flag does the same"


def test_to_ips_chains_a_frame_comes_from_the_bridge_and_goes_to_it() -> None:
    reading = replace(BRIDGE, sees_ip=True)
    seen = replace(reading, ruleset=ruleset_of([meta("iifname", "qbr1"), meta("oifname", "qbr1"), DROP], family="ip"))
    port = replace(reading, ruleset=ruleset_of([meta("iifname", "vnet1"), DROP], family="ip"))
    assert [pass_bridge(one, frame()).outcome for one in (seen, port)] == ["dropped", "passed"]


@pytest.mark.parametrize("hook", ["prerouting", "forward", "postrouting"])
def test_each_hook_of_the_bridge_counts_and_those_of_the_host_itself_do_not(hook: str) -> None:
    assert pass_bridge(replace(BRIDGE, ruleset=ruleset_of([DROP], hook=hook)), frame()).outcome == "dropped"
    assert pass_bridge(replace(BRIDGE, ruleset=ruleset_of([DROP], hook="input")), frame()).outcome == "passed"


@pytest.mark.parametrize(
    ("hook", "key", "outcome"),
    [
        ("prerouting", "iifname", "dropped"), ("prerouting", "oifname", "passed"), ("forward", "iifname", "dropped"),
        ("forward", "oifname", "dropped"), ("postrouting", "iifname", "passed"), ("postrouting", "oifname", "dropped"),
    ],
)  # fmt: skip
def test_a_hook_knows_the_device_of_its_own_side_only(hook: str, key: str, outcome: str) -> None:
    """As the kernel has it: on the way in there is no device out yet, on the way out none in any more."""
    port = {"iifname": "vnet1", "oifname": "qvb1"}[key]
    assert pass_bridge(replace(BRIDGE, ruleset=ruleset_of([meta(key, port), DROP], hook=hook)), frame()).outcome == outcome  # fmt: skip
    own = replace(BRIDGE, sees_ip=True, ruleset=ruleset_of([meta(key, "qbr1"), DROP], hook=hook, family="ip"))
    assert pass_bridge(own, frame()).outcome == outcome


def test_a_drop_counts_past_a_rule_that_nobody_can_tell() -> None:
    doubt = [meta("mark", 1), DROP]
    assert pass_bridge(replace(BRIDGE, ruleset=ruleset_of(doubt)), frame()).outcome == "undecided"
    stopped = replace(BRIDGE, ruleset=ruleset_of(doubt), fdb=(FdbEntry(DB_MAC, "vnet1", "static"),))
    assert pass_bridge(stopped, frame()).outcome == "dropped"


def _listed() -> str:
    out = {"family": "bridge", "table": "own", "name": "out", "type": "filter", "hook": "forward", "prio": -200, "policy": "accept"}  # fmt: skip
    dropping = [payload("ether", "daddr", DB_MAC), {"counter": {"packets": 3, "bytes": 252}}, DROP]
    ingress = {"family": "netdev", "table": "n", "name": "i", "type": "filter", "hook": "ingress", "prio": 0, "policy": "accept"}  # fmt: skip
    rules = [
        {"family": "bridge", "table": "own", "chain": "out", "handle": 4, "expr": dropping},
        {"family": "netdev", "table": "n", "chain": "i", "handle": 2, "expr": [payload("ip", "saddr", "10.20.0.11"), DROP]},
    ]  # fmt: skip
    return json.dumps({"nftables": [{"chain": out}, {"chain": ingress}, *({"rule": rule} for rule in rules)]})


def test_a_drop_is_told_in_the_words_of_the_rules_writer() -> None:
    reading = replace(BRIDGE, ruleset=parse_ruleset(_listed(), LISTING))
    passage = pass_bridge(reading, replace(frame(), came_in="qvb1", goes_out="vnet1"))
    assert passage.words == (
        'rule 4 of chain out, table bridge own, drops it: ether daddr 52:54:00:00:00:02 counter drop comment "no # handle 9"'
        " (it has counted 3 packets, 252 B so far)"
    )
    ingress = pass_bridge(reading, frame())
    assert ingress.outcome == "dropped" and "table netdev n" in ingress.words, "its device is told by the listing alone"


def test_an_ingress_chain_of_an_untold_device_is_doubtful_only_where_it_would_drop() -> None:
    ruleset = parse_ruleset(_listed())
    assert pass_bridge(replace(BRIDGE, ruleset=ruleset), frame(ARP)).outcome == "passed"
    other = {**SYN, "dl_dst": WEB_MAC}
    assert pass_bridge(replace(BRIDGE, ruleset=ruleset), frame(other)).outcome == "undecided"


LINKS = """[{"ifname":"qbr1","flags":["BROADCAST","UP"],"linkinfo":{"info_kind":"bridge","info_data":{"ageing_time":30000,
"stp_state":1,"vlan_filtering":0,"nf_call_iptables":1,"nf_call_ip6tables":0}}},{},
{"ifname":"vnet1","master":"qbr1","linkinfo":{"info_kind":"tun","info_slave_kind":"bridge","info_slave_data":
{"state":"forwarding","flood":true,"mcast_flood":false,"bcast_flood":true,"hairpin":true,"isolated":true,"locked":false}}}]"""
FDB = """[{"mac":"33:33:00:00:00:01","ifname":"qbr1","flags":["self"],"state":"permanent"},
{"mac":"fe:54:00:00:00:01","ifname":"vnet1","flags":[],"master":"qbr1","state":"permanent"},
{"mac":"52:54:00:00:00:02","ifname":"vnet1","flags":[],"master":"qbr1","state":"static"},
{"mac":"52:54:00:00:00:03","ifname":"vnet1","vlan":5,"flags":[],"master":"qbr1","state":""}]"""


def test_what_ip_and_bridge_print_is_read() -> None:
    links = parse_links(LINKS)
    assert parse_bridge(links, "qbr1") == BridgeFacts("qbr1", True, 300.0, True, False, True, False)
    assert parse_bridge_ports(links, "qbr1") == {"vnet1": BridgePort("vnet1", "forwarding", True, False, True, True, True, False)}  # fmt: skip
    assert parse_fdb(FDB) == (
        FdbEntry("fe:54:00:00:00:01", "vnet1", "local"), FdbEntry("52:54:00:00:00:02", "vnet1", "static"),
        FdbEntry("52:54:00:00:00:03", "vnet1", "learned", 5),
    )  # fmt: skip
