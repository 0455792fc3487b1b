"""Predicted traces on two real switches: each protocol, what comes out of a tunnel, copies, answers, hosts that hang.

[web-1]--11--[br-int@hv1]==vni 4097==[br-int@hv2]--31--[db-1]
[web-2]--12--/          \\--21--[dana-1, another network, web-1's address]
"""

from __future__ import annotations

import os
import signal
import time
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from sdn.model.addresses import Mac
from sdn.model.trace import Hop, Trace, from_json, to_json
from sdn.trace import LiveWorld, TraceWorld, predict
from sdn.transport.unixctl import UnixctlClient
from tests.sdn.trace.conftest import BROADCAST, Hosts
from tests.sdn.world import DB_1_MAC, GATEWAY_MAC, WEB_1_MAC
from tests.waiting import at_this_load


def bridges(trace: Trace) -> list[Hop]:
    return [hop for hop in trace.hops if hop.kind == "bridge"]


@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
@pytest.mark.parametrize("target", ["web-2", "db-1"])
def test_every_protocol_reaches_its_target(hosts: Hosts, protocol: str, target: str) -> None:
    """[web-1]--[br-int@hv1]--[web-2], and over the tunnel to [db-1]"""
    trace = hosts.trace("web-1", target, protocol)
    assert (trace.verdict, trace.reason) == ("delivered", f"web-1 reaches {target}.")
    assert [hop.host for hop in bridges(trace)] == (["hv1"] if target == "web-2" else ["hv1", "hv2"])
    assert trace.hops[-1].object == f"{target} eth0"
    assert from_json(to_json(trace)) == trace


def test_an_arp_question_is_answered_by_the_switch_itself(hosts: Hosts) -> None:
    """[web-1]--[br-int@hv1]: who has 10.20.0.13? and back to web-1"""
    trace = hosts.trace("web-1", "db-1", "arp", eth_dst=BROADCAST)
    assert trace.verdict == "delivered"
    assert trace.reason == f"The switch of hv1 answers web-1 itself: 10.20.0.13 is at {DB_1_MAC}."
    assert trace.hops[-1].object == "web-1 eth0"
    assert trace.hops[-1].header_after["dl_dst"] == WEB_1_MAC
    assert trace.hops[-1].header_after["arp_op"] == "2"


def test_the_gateways_echo_comes_back_to_the_sender(hosts: Hosts) -> None:
    """[web-1]--[br-int@hv1]: the gateway is a flow"""
    trace = hosts.trace("web-1", "10.20.0.1", "icmp", eth_dst=GATEWAY_MAC)
    assert trace.reason == "The switch of hv1 answers web-1 itself, as 10.20.0.1."
    assert trace.hops[-1].header_after["icmp_type"] == "0"


def test_what_goes_on_past_a_tunnel_is_what_came_out_of_it(hosts: Hosts) -> None:
    """[web-1]--[br-int@hv1: ttl 64→63, source MAC rewritten]==[br-int@hv2]--[db-1]"""
    hv1 = hosts.shadows["hv1"]
    before = hv1.dump_flows("br-int")
    rewritten = before.replace(
        "nw_dst=10.20.0.0/24 actions=goto_table:50",
        "nw_dst=10.20.0.0/24 actions=dec_ttl,set_field:02:00:00:00:00:77->eth_src,goto_table:50",
    )  # fmt: skip
    assert rewritten != before
    hv1.set_flows("br-int", _bare(rewritten))
    try:
        trace = hosts.trace("web-1", "db-1", "udp")
    finally:
        hv1.set_flows("br-int", _bare(before))
    assert trace.verdict == "delivered", trace.reason
    arrival = bridges(trace)[1].header_before
    assert (arrival["dl_src"], arrival["nw_ttl"]) == ("02:00:00:00:00:77", "63")
    assert "nw_ttl=63" in bridges(trace)[1].commands[0]


def _bare(dump: str) -> str:
    lines = [line.strip() for line in dump.splitlines() if "actions=" in line]
    return "\n".join(", ".join(part for part in line.split(", ") if not part.startswith(("duration=", "n_packets=", "n_bytes=", "idle_age="))) for line in lines)  # fmt: skip


def test_a_broadcast_is_copied_and_what_is_not_sent_back_does_not_count(hosts: Hosts) -> None:
    """[web-1]--[br-int@hv1]--[web-2], ==[br-int@hv2]--[db-1]; not back to web-1, not to dana-1"""
    trace = hosts.trace(
        "web-1", "255.255.255.255", "udp", eth_dst=BROADCAST, ip_dst=IPv4Address("255.255.255.255"), port_dst=9
    )
    assert trace.verdict == "flooded"
    assert sorted((branch.host, branch.where, branch.verdict) for branch in trace.branches) == [
        ("hv1", "web-2", "delivered"), ("hv2", "db-1", "delivered"),
    ]  # fmt: skip
    assert sum(branch.is_main for branch in trace.branches) == 1
    assert trace.reason == "hv1 copies the packet to 2 ports. It reaches db-1, web-2."
    assert from_json(to_json(trace)) == trace


def test_dhcp_goes_to_the_controller_and_says_so(hosts: Hosts) -> None:
    trace = hosts.trace("web-1", "255.255.255.255", "udp", eth_dst=BROADCAST, ip_src=IPv4Address("0.0.0.0"), port_src=68, port_dst=67)  # fmt: skip
    assert (trace.verdict, trace.reason) == ("to_controller", "The controller of hv1 answers it: this is how DHCP works here.")  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "table", "words"),
    [
        ({"eth_src": Mac("52:54:00:66:66:66")}, "port_security", "its source MAC is not the port's own"),
        ({"ip_src": IPv4Address("10.20.0.99")}, "port_security", "its source IPv4 address is not the port's own"),
        ({"eth_dst": Mac("52:54:00:66:66:66")}, "l2_lookup", "no port of the network has its destination MAC"),
        ({"eth_dst": GATEWAY_MAC, "ip_dst": IPv4Address("198.51.100.7")}, "router", "there is no route to its destination"),
    ],
)  # fmt: skip
def test_a_drop_is_in_words_with_its_cause_and_what_to_do(hosts: Hosts, asked: dict[str, object], table: str, words: str) -> None:  # fmt: skip
    trace = hosts.trace("web-1", "db-1", "tcp", **asked)
    assert trace.verdict == "dropped"
    assert f"({table}) of hv1: {words}." in trace.reason
    assert trace.cause is not None and trace.cause.table_name == table
    assert trace.suggestion


def test_a_drop_names_the_flows_that_almost_matched_and_the_field_that_differed(hosts: Hosts) -> None:
    """[web-1 with an address that is not its own]--[br-int@hv1] ✘"""
    trace = hosts.trace("web-1", "db-1", "tcp", ip_src=IPv4Address("10.20.0.99"))
    best = trace.nearest[0]
    assert best.differs == (("nw_src", "10.20.0.11", "10.20.0.99"),)
    assert best.step.table_name == "port_security"
    assert from_json(to_json(trace)) == trace


def test_a_machine_that_is_off_is_said_to_be_off(hosts: Hosts) -> None:
    trace = hosts.trace("off-1", "web-1")
    assert (trace.verdict, trace.suggestion) == ("unknown", "Start off-1.")
    there = hosts.trace("web-1", "off-1")
    assert there.verdict == "dropped" and there.suggestion.startswith("Start off-1")
    assert (
        there.reason
        == "off-1 is not running: its NIC is plugged into no switch, so table 50 (l2_lookup) of hv1 drops it."
    )


def test_an_address_that_nobody_has_is_traced_too(hosts: Hosts) -> None:
    trace = hosts.trace("web-1", "10.20.0.77", "arp", eth_dst=BROADCAST)
    assert "nobody has the address that it asks for" in trace.reason
    assert "10.20.0.77" in trace.suggestion


def test_a_host_that_hangs_costs_its_deadline_once_and_the_path_is_unknown_past_it(hosts: Hosts) -> None:
    """[web-1]--[br-int@hv1]==[br-int@hv2, stopped]"""
    pid = int((hosts.shadows["hv2"].rundir / "ovs-vswitchd.pid").read_text())
    world: TraceWorld = hosts.world(deadline_s=1.0)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        there = predict(hosts.question("web-1", "db-1"), world, lambda causes: {})
        back = predict(hosts.question("db-1", "web-1", direction="return"), world, lambda causes: {})
        took_s = time.monotonic() - began
    finally:
        os.kill(pid, signal.SIGCONT)
    for trace in (there, back):
        assert (trace.verdict, trace.reason) == ("unknown", "Unknown past here: the switch of hv2 did not answer within 1 s.")  # fmt: skip
    assert bridges(there)[0].host == "hv1"
    assert took_s < at_this_load(2.0)
    assert hosts.trace("web-1", "db-1").verdict == "delivered"


def test_the_next_trace_of_a_thread_finds_the_connections_open_and_a_new_daemon_is_connected_anew(hosts: Hosts) -> None:
    lent: dict[str, UnixctlClient] = {}
    rundirs = {name: Path(shadow.rundir) for name, shadow in hosts.shadows.items()}
    kept = []
    for _ in range(2):
        world = LiveWorld(rundirs, lent=lent)
        assert predict(hosts.question("web-1", "db-1"), world, lambda causes: {}).verdict == "delivered"
        world.close()
        kept.append(dict(lent))
    assert kept[0] == kept[1]
    assert set(kept[0]) == {"hv1", "hv2"}
    lent["hv1"] = UnixctlClient(rundirs["hv1"] / "ovs-vswitchd.1.ctl")
    world = LiveWorld(rundirs, lent=lent)
    assert predict(hosts.question("web-1", "db-1"), world, lambda causes: {}).verdict == "delivered"
    world.close()


def test_the_way_back_of_a_connection_is_asked_of_each_switch_once(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    asked: list[str] = []
    world = hosts.world()
    ask = world.ofproto_trace

    def counted(host: str, bridge: str, flow: str, ct_next: tuple[str, ...]) -> str:
        asked.append(host)
        return ask(host, bridge, flow, ct_next)

    monkeypatch.setattr(world, "ofproto_trace", counted)
    back = predict(hosts.question("db-1", "web-1", direction="return"), world, lambda causes: {})
    world.close()
    assert (back.verdict, asked) == ("delivered", ["hv2", "hv1"])
    shown = [command for hop in back.hops for command in hop.commands if "ofproto/trace" in command]
    states = {command.count("--ct-next trk,est,rpl") for command in shown}
    assert states == {1}, f"a state for each ct() that it meets, and no more: {shown}"
