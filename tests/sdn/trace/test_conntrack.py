"""A packet's connection, looked up in the zone of each ct(): on a switch that really has the connections.

[web-1, zone 2]--11--[br-int@hv1]--12--[web-2, zone 3]      [dana-1, the same addresses, zone 6]
"""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdn.trace.conntrack import ct_state
from tests.sdn.trace.conftest import Hosts
from tests.sdn.world import DANA, WEB_1, WEB_1_MAC, WEB_2, WEB_2_MAC

PACKET = {"tcp": "", "nw_src": "10.20.0.11", "nw_dst": "10.20.0.12", "tp_src": "40000", "tp_dst": "22"}
BACK = {"tcp": "", "nw_src": "10.20.0.12", "nw_dst": "10.20.0.11", "tp_src": "22", "tp_dst": "40000"}
ENTRY = (
    "tcp,orig=(src=10.20.0.11,dst=10.20.0.12,sport=40000,dport=22),"
    "reply=(src=10.20.0.12,dst=10.20.0.11,sport=22,dport=40000),zone=103,protoinfo=(state=ESTABLISHED)\n"
)


def _udp(source: str, target: str, ports: tuple[int, int], macs: tuple[str, str]) -> str:
    pair = f"udp(src={ports[0]},dst={ports[1]})"
    return (
        f"in_port(1),eth(src={macs[0]},dst={macs[1]}),eth_type(0x0800),"
        f"ipv4(src={source},dst={target},proto=17,tos=0,ttl=64,frag=no),{pair}"
    )


def _states(hosts: Hosts, **asked: object) -> str:
    trace = hosts.trace("web-1", "web-2", "udp", **asked)
    assert trace.verdict == "delivered"
    return next(hop.commands[0] for hop in trace.hops if hop.kind == "bridge")


def test_a_connection_of_another_network_with_the_same_addresses_is_not_this_one(hosts: Hosts) -> None:
    macs = ("52:54:00:00:00:05", WEB_2_MAC)
    hosts.send("hv1", DANA, _udp("10.20.0.11", "10.20.0.12", (40000, 22), macs))
    world = hosts.world()
    assert "10.20.0.12" in world.conntrack("hv1", 6), "dana-1's packet opened a connection in her zone"
    assert "10.20.0.12" not in world.conntrack("hv1", 2) + world.conntrack("hv1", 3)
    assert _states(hosts).endswith("--ct-next trk,new --ct-next trk,new")


def test_each_ct_is_given_the_state_of_its_own_zone(hosts: Hosts) -> None:
    hosts.send("hv1", WEB_1, _udp("10.20.0.11", "10.20.0.12", (40001, 53), (WEB_1_MAC, WEB_2_MAC)))
    hosts.send("hv1", WEB_2, _udp("10.20.0.12", "10.20.0.11", (53, 40001), (WEB_2_MAC, WEB_1_MAC)))
    assert _states(hosts, port_dst=53).endswith("--ct-next trk,est --ct-next trk,est")
    assert _states(hosts, port_dst=54).endswith("--ct-next trk,new --ct-next trk,new")
    back = hosts.trace("web-2", "web-1", "udp", port_src=53, port_dst=40009)
    assert "--ct-next trk,est,rpl --ct-next trk,est,rpl" in next(hop for hop in back.hops if hop.kind == "bridge").commands[0]  # fmt: skip


def test_the_asker_may_choose_the_first_packet_or_one_of_an_established_connection(hosts: Hosts) -> None:
    assert "trk,est" in _states(hosts, port_dst=77, moment="established")
    assert "trk,new" in _states(hosts, port_dst=53, moment="first")
    trace = hosts.trace("web-1", "web-2", "udp", port_dst=77, moment="established")
    notes = [step.note for hop in trace.hops for step in hop.steps]
    assert notes.count("a known connection") == 2


def test_a_connection_that_only_its_syn_was_seen_of_is_still_new() -> None:
    opening = ENTRY.replace("ESTABLISHED", "SYN_SENT")
    assert ct_state(opening, PACKET, 103) == "trk,new"
    assert ct_state(opening, BACK, 103) == "trk,est,rpl"
    assert ct_state(ENTRY, PACKET, 103) == "trk,est"
    assert ct_state(ENTRY, PACKET, 104) == "trk,new"
    assert ct_state(ENTRY.replace(",zone=103", ""), PACKET, 0) == "trk,est"
    assert ct_state(ENTRY.replace("zone=103,", "zone=103,status=CONFIRMED,"), PACKET, 103) == "trk,new"


@given(st.text(max_size=200), st.integers(0, len(ENTRY)), st.integers(0, 40))
def test_any_dump_is_read_without_an_exception(junk: str, at: int, size: int) -> None:
    for dump in (junk, ENTRY[:at] + junk + ENTRY[at + size :]):
        assert ct_state(dump, PACKET, 103, any_source_port=True) in ("trk,new", "trk,est", "trk,est,rpl")


def test_sctp_is_tracked_by_its_ends_alone() -> None:
    """As OVS's userspace conntrack does: the entry has ports 0, and is of every association between the two."""
    entry = "sctp,orig=(src=10.20.0.11,dst=10.20.0.12,sport=0,dport=0),reply=(src=10.20.0.12,dst=10.20.0.11,sport=0,dport=0),zone=3"
    there = {"sctp": "", **{name: value for name, value in PACKET.items() if name != "tcp"}}
    back = {"sctp": "", **{name: value for name, value in BACK.items() if name != "tcp"}}
    assert (ct_state(entry, there, 3), ct_state(entry, back, 3)) == ("trk,est", "trk,est,rpl")
    assert ct_state(entry, {**there, "nw_dst": "10.20.0.13"}, 3) == "trk,new"


def test_a_packet_with_a_port_of_its_own_is_of_no_other_connection(hosts: Hosts) -> None:
    hosts.send("hv1", WEB_1, _udp("10.20.0.11", "10.20.0.12", (40001, 23), (WEB_1_MAC, WEB_2_MAC)))
    asked = {"port_src": 40002, "port_dst": 23}
    assert "est" in _states(hosts, **asked), "any client of that service"
    assert "est" not in _states(hosts, **asked, is_exact=True)
    assert "est" in _states(hosts, port_src=40001, port_dst=23, is_exact=True)


def test_a_syn_that_meets_one_from_the_other_side_is_new_to_userspace_and_a_reply_to_linux() -> None:
    opening = ENTRY.replace("ESTABLISHED", "SYN_SENT")
    crossing = {**BACK, "tcp_flags": "syn"}
    assert ct_state(opening, crossing, 103) == "trk,new"
    assert ct_state(opening, {**BACK, "tcp_flags": "syn|ack"}, 103) == "trk,est,rpl"
    assert ct_state(opening.replace("zone", "status=CONFIRMED,zone"), crossing, 103) == "trk,est,rpl"


def _called_invalid(hosts: Hosts) -> int:
    """Packets that the switch dropped for their connection's state, as its revalidators have counted them."""
    appctl = ["ovs-appctl", "-t", str(hosts.shadows["hv1"].unixctl), "revalidator/purge"]
    subprocess.run(appctl, check=True, capture_output=True, timeout=20)
    argv = [
        "ovs-ofctl",
        "-O",
        "OpenFlow14",
        "dump-flows",
        f"unix:{hosts.shadows['hv1'].rundir}/br-int.mgmt",
        "ct_state=+inv+trk",
    ]
    text = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout
    return sum(int(number) for number in re.findall(r"n_packets=(\d+)", text))


@pytest.mark.parametrize("moment", ["as_is", "first"])
@pytest.mark.parametrize(
    ("flags", "number"), [("syn", 0x02), ("syn|ack", 0x12), ("ack", 0x10), ("syn|fin", 0x03), ("fin", 0x01)]
)
def test_what_opens_no_connection_is_foreseen_to_be_invalid_as_the_switch_finds_it(hosts: Hosts, flags: str, number: int, moment: str) -> None:  # fmt: skip
    """(web-2's SYN went another way) [web-1]-- SYN|ACK --[br-int@hv1: invalid ✘"""
    port = 50000 + number + (100 if moment == "first" else 0)
    trace = hosts.trace("web-1", "web-2", port_src=port, port_dst=port, tcp_flags=flags, moment=moment)
    before = _called_invalid(hosts)
    flow = _udp("10.20.0.11", "10.20.0.12", (port, port), (WEB_1_MAC, WEB_2_MAC)).replace("proto=17", "proto=6")
    hosts.send("hv1", WEB_1, flow.replace("udp(", "tcp(") + f",tcp_flags({number:#x})")
    is_invalid = _called_invalid(hosts) > before
    assert is_invalid == (flags not in ("syn", "ack"))
    assert ("connection tracking calls it invalid" in trace.reason) == is_invalid, trace.reason


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        *((text, "trk,new") for text in ("", "0", "syn", "+syn-ack", "0x2", "2", "ack", "psh|ack", "0x010", "rst")),
        *((text, "trk,inv") for text in ("syn|ack", "+syn+ack", "0x12", "18", "fin", "0x29")),
    ],
)
def test_the_first_state_is_that_of_the_flags_however_they_are_written(flags: str, state: str) -> None:
    assert ct_state("", {**PACKET, "tcp_flags": flags}, 103) == state
