"""A Linux bridge between a guest and its switch: what it does with a packet ends the trace, doubts it, or is not known.

[web-1]--vnet1--[qbr1]--qvb1=p11--[br-int@hv1]==vni 4097==[br-int@hv2]--p31=qvb1--[qbr1]--vnet1--[db-1]
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdn.linux.bridges import BridgeFacts, BridgePort, BridgeReading
from sdn.linux.ruleset import Ruleset
from sdn.model.addresses import Mac
from sdn.model.device import DeviceChain
from sdn.model.trace import Trace, from_json, to_json
from sdn.trace import LiveWorld, predict
from sdn.trace.probed import Sighting, ends_before_the_switch, first_divergence, probed_trace
from sdn.trace.text import format_trace
from sdn.transport.host_kernel import KernelUnread, namespace_of, run_all
from tests.sdn.linux.rules import ACCEPT, DROP, ct, meta, payload, ruleset_of
from tests.sdn.trace.conftest import ENDS, Hosts

CHAIN = DeviceChain(model="virtio", backend="qemu", bridge="qbr1", tap="vnet1", veth="qvb1", bridge_ports="qvb1, vnet1")
PORTS = {name: BridgePort(name, "forwarding") for name in ("vnet1", "qvb1")}
READ = BridgeReading("qbr1", BridgeFacts("qbr1", True, 0.0, False, False, False, False), PORTS, ruleset=Ruleset())
NO_SSH, NO_SYN_ACK = [payload("tcp", "dport", 22), DROP], [payload("tcp", "sport", 22), DROP]
ESTABLISHED = "tcp,orig=(src=10.20.0.11,dst=10.20.0.21,sport=40000,dport=22),reply=(src=10.20.0.21,dst=10.20.0.11,sport=22,dport=40000),protoinfo=(state=ESTABLISHED)"


class _Bridged(LiveWorld):
    """The shadows, with Linux bridges that were read so."""

    readings: dict[str, BridgeReading]

    def linux_bridge(self, host: str, bridge: str) -> BridgeReading:
        return self.readings[host]


def traced(hosts: Hosts, hv1: BridgeReading = READ, hv2: BridgeReading = READ, **asked: Any) -> Trace:
    """The trace from web-1 to db-1, both behind Linux bridges that were read so."""
    plain = hosts.question("web-1", "db-1", **asked)
    source, target = (replace(ENDS[name], chain=CHAIN) for name in ("web-1", "db-1"))
    there = tuple(replace(host, ports={**host.ports, target.ofport or 0: target}) if host.name == "hv2" else host for host in plain.hosts)  # fmt: skip
    world = _Bridged({name: shadow.rundir for name, shadow in hosts.shadows.items()})
    world.readings = {"hv1": hv1, "hv2": hv2}
    try:
        return predict(replace(plain, source=source, target=target, hosts=there), world, lambda causes: {})
    finally:
        world.close()


def ruled(*rules: list[Any], **more: Any) -> BridgeReading:
    return replace(READ, ruleset=ruleset_of(*rules), **more)


def kinds(trace: Trace) -> list[str]:
    return [hop.kind for hop in trace.hops]


def test_a_packet_that_both_bridges_pass_is_delivered_and_their_steps_are_shown(hosts: Hosts) -> None:
    found = traced(hosts, ruled(NO_SYN_ACK))
    assert found.verdict == "delivered" and not found.findings
    first, last = (hop for hop in found.hops if hop.kind == "linux_bridge")
    assert [step.table_name for step in first.steps] == ["fdb", "bridge t forward"] and first.measured
    assert first.detail.endswith("netfilter: accepted by 1 chain") and last.detail.endswith(
        "no netfilter chain sees it"
    )
    assert from_json(to_json(found)) == found


def test_a_rule_at_the_senders_bridge_ends_the_trace_before_the_switch(hosts: Hosts) -> None:
    found = traced(hosts, ruled(NO_SSH))
    assert (found.verdict, kinds(found)) == ("dropped", ["guest_nic", "backend", "tap", "linux_bridge"])
    assert found.reason.startswith(
        "Dropped on hv1 in the Linux bridge qbr1: rule 2 of chain c, table bridge t, drops it"
    )
    assert found.cause is not None and found.cause.table is None and "operator of hv1" in found.suggestion
    assert "decided by: bridge t forward, priority 0" in format_trace(found)
    assert ends_before_the_switch(found)


def test_a_rule_at_the_receivers_bridge_ends_it_there_and_a_probe_does_not_contradict(hosts: Hosts) -> None:
    found = traced(hosts, READ, ruled(NO_SSH))
    assert found.verdict == "dropped" and kinds(found)[-2:] == ["veth", "linux_bridge"]
    assert not ends_before_the_switch(found)
    seen = (Sighting("hv1", "tunnel", 100, 10, 70), Sighting("hv2", "port", 300, 10, 70, ofport=31, port_name="db-1"))
    probed = probed_trace(found, seen)
    assert probed.verdict == "dropped" and "was not handed on to the Linux bridge" in probed.reason
    assert not probed.hops[-1].measured, "nobody looked there"
    assert first_divergence(found, probed) is None
    elsewhere = probed_trace(found, (seen[0], replace(seen[1], end="drop", drop_reason=1)))
    assert first_divergence(found, elsewhere) is not None


def test_a_rule_that_nobody_can_tell_makes_the_verdict_unknown_and_not_a_drop_that_comes_later(hosts: Hosts) -> None:
    doubt = ruled([meta("mark", 1), DROP])
    for found in (traced(hosts, doubt), traced(hosts, READ, doubt)):
        assert found.verdict == "unknown" and "nobody can evaluate its rule here" in found.reason, found.reason
        assert kinds(found)[-1] == "guest_nic", "the way is shown to its end"
    stopped = traced(hosts, doubt, eth_dst=Mac("52:54:00:66:66:66"))
    assert stopped.verdict == "dropped", "no port has that MAC: it does not arrive either way"


@pytest.mark.parametrize(
    ("moment", "conntrack", "verdict"),
    [("first", None, "dropped"), ("established", None, "delivered"), ("as_is", None, "unknown"), ("as_is", "", "dropped")],
)  # fmt: skip
def test_the_hosts_own_conntrack_tells_the_state_of_its_rules(hosts: Hosts, moment: str, conntrack: str | None, verdict: str) -> None:  # fmt: skip
    stateful = ruled([ct("state", "established"), ACCEPT], [DROP], conntrack=conntrack)
    assert traced(hosts, stateful, moment=moment).verdict == verdict


def test_a_connection_that_the_host_knows_is_let_on(hosts: Hosts) -> None:
    own = ESTABLISHED.replace("10.20.0.11", str(ENDS["web-1"].address)).replace("10.20.0.21", str(ENDS["db-1"].address))
    stateful = ruled([ct("state", "established"), ACCEPT], [DROP], conntrack=own)
    assert traced(hosts, stateful).verdict == "delivered"


def test_a_bridge_that_was_not_read_is_inferred_and_why_is_told(hosts: Hosts) -> None:
    found = traced(hosts, BridgeReading("qbr1", problems=("it is another machine",)))
    assert found.verdict == "delivered"
    assert [hop.measured for hop in found.hops if hop.kind == "linux_bridge"] == [False, True]
    assert len(found.findings) == 1 and "were not read (it is another machine)" in found.findings[0]
    partly = traced(hosts, replace(READ, ruleset=None, problems=("netfilter's rules could not be read: nft is not installed",)))  # fmt: skip
    assert "netfilter was not read" in partly.hops[3].detail and "nft is not installed" in partly.findings[0]


def test_a_tap_that_has_another_name_by_now_is_the_bridges_other_port(hosts: Hosts) -> None:
    renamed = replace(READ, ports={name: BridgePort(name, "forwarding") for name in ("vnet9", "qvb1")})
    assert traced(hosts, renamed).verdict == "delivered"
    found = traced(hosts, replace(READ, ports={"qvb1": PORTS["qvb1"]}))
    assert found.verdict == "dropped" and "vnet1 is no port of qbr1 any more" in found.reason


def test_only_a_switch_of_this_very_machine_leads_to_its_kernel(hosts: Hosts, tmp_path: Path) -> None:
    assert namespace_of(hosts.shadows["hv1"].rundir) == (), "its network namespace is ours"
    with pytest.raises(KernelUnread, match="does not answer here"):
        namespace_of(tmp_path)


def test_what_a_command_could_not_tell_is_in_words() -> None:
    asked = {"no tool": ("hopsight-no-such-tool",), "refused": ("ip", "link", "show", "dev", "hs-none"), "told": ("ip", "-j", "link")}  # fmt: skip
    told = run_all((), asked, 20)
    assert "is not installed" in told["no tool"].problem and "hs-none" in told["refused"].problem
    assert told["told"].text.startswith("[") and not told["told"].problem


@pytest.mark.parametrize(("end", "target", "host"), [("source", "db-1", "hv1"), ("target", "db-1", "hv2"), ("target", "web-2", "hv1")])  # fmt: skip
def test_a_tap_whose_link_is_down_ends_the_packet_and_is_the_first_thing_that_is_said(
    hosts: Hosts, end: str, target: str, host: str
) -> None:
    plain = hosts.question("web-1", target)
    down = replace(ENDS["web-1" if end == "source" else target], chain=DeviceChain(tap_link="down"))
    there = tuple(replace(one, ports={**one.ports, down.ofport or 0: down}) if one.name == host else one for one in plain.hosts)  # fmt: skip
    world = LiveWorld({name: shadow.rundir for name, shadow in hosts.shadows.items()})
    try:
        found = predict(replace(plain, **{end: down}, hosts=there), world, lambda causes: {})
    finally:
        world.close()
    assert found.verdict == "dropped"
    assert (
        found.reason
        == f"Dropped at {down.tap} of {host}: the link of {down.name}'s tap is down, and no frame passes it."
    )
    assert found.suggestion == f"Have an operator of {host} set it up: ip link set {down.tap} up."
    assert found.hops[-1].object == down.tap
    assert ends_before_the_switch(found) == (end == "source")
    if end == "target":  # a probe is not given to the guest: it comes as far as the port, and contradicts nothing
        port = Sighting(host, "port", 300, 10, 70, ofport=down.ofport or 0, port_name=down.name)
        probed = probed_trace(found, (port,) if host == "hv1" else (Sighting("hv1", "tunnel", 100, 10, 70), port))
        assert probed.verdict == "dropped" and "was not given to the guest" in probed.reason
        assert first_divergence(found, probed) is None
