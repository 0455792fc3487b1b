"""A port whose cable ends in a network namespace: the trace says into which, and what is not known of what comes then.

[a]--1--[br-int@hv1]--2=p2====eth0 [namespace blue]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from sdn.linux.bridges import BridgeFacts, BridgePort, BridgeReading, FdbEntry
from sdn.linux.frame import Frame
from sdn.linux.namespaces import FarEnd, Namespace, SpaceInterface
from sdn.linux.passage import pass_bridge
from sdn.model.addresses import Mac
from sdn.model.packet import Packet
from sdn.model.trace import Trace
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.trace import Endpoint, LiveWorld, Question, TraceHost, predict
from sdn.trace.question import PortFacts

MAC, OTHER = Mac("02:00:00:00:00:05"), Mac("02:00:00:00:00:09")
ETH0 = SpaceInterface("eth0", "veth", str(MAC), ("10.0.0.5/24",), "UP", port="p2")
A = Endpoint("a", "eth0", "52:54:00:00:00:0a", IPv4Address("10.0.0.1"), "hv1", "a", 1, "virtio", "qemu", "hs-a")


class _Cabled(LiveWorld):
    """The switch, with a cable of its port p2."""

    far: SpaceInterface

    def behind(self, host: str, port: PortFacts) -> FarEnd | None:
        return FarEnd(Namespace("blue", "dnsmasq", (self.far,)), self.far) if port.name == "p2" else None


@pytest.fixture(scope="module")
def switch() -> Iterator[Shadow]:
    with Shadow() as shadow:
        shadow.load([ShadowBridge("br-int", (ShadowPort("a", 1), ShadowPort("p2", 2)), "in_port=1 actions=output:2")])
        yield shadow


def traced(switch: Shadow, far: SpaceInterface = ETH0, mac: Mac = MAC, address: str = "10.0.0.5") -> Trace:
    world = _Cabled({"hv1": switch.rundir})
    world.far = far
    packet = Packet("tcp", Mac(A.mac), mac, IPv4Address("10.0.0.1"), IPv4Address(address), 64, 40000, 80)
    host = TraceHost("hv1", "192.0.2.11", 77, {1: A})
    try:
        return predict(Question("1", A, None, packet, (host,), 1, "2026-01-01T00:00:00Z"), world, lambda causes: {})
    finally:
        world.close()


def test_it_is_delivered_into_the_namespace_by_name_interface_and_address(switch: Shadow) -> None:
    found = traced(switch)
    assert found.verdict == "delivered"
    assert found.reason == "It leaves hv1 by p2 of br-int into namespace blue, interface eth0 10.0.0.5/24."
    assert [(hop.kind, hop.object) for hop in found.hops[-2:]] == [("veth", "p2"), ("guest_nic", "blue eth0")]
    assert found.hops[-1].detail == f"namespace blue, dnsmasq, 10.0.0.5/24, {MAC}"
    assert found.hops[-1].commands == ("ip netns exec blue ip address show dev eth0",)


def test_what_comes_after_the_interface_is_not_made_up(switch: Shadow) -> None:
    routed = traced(switch, address="10.0.0.77")
    assert routed.verdict == "delivered" and "The address 10.0.0.77 is none of that interface's" in routed.reason
    for far in (ETH0, replace(ETH0, bridge="br0")):
        bridged = traced(switch, far, OTHER)
        assert [hop.kind for hop in bridged.hops][-1] == "external" and "into namespace blue" in bridged.hops[-1].detail
        assert bridged.reason == "It leaves hv1 by p2 of br-int, towards 10.0.0.5."
    assert bridged.hops[-1].detail.endswith("interface eth0 10.0.0.5/24, in br0 there")


def test_an_interface_that_is_down_there_takes_nothing(switch: Shadow) -> None:
    found = traced(switch, replace(ETH0, state="DOWN"))
    assert (found.verdict, found.hops[-1].kind) == ("dropped", "veth")
    assert (
        "namespace blue, interface eth0 10.0.0.5/24, is down" in found.reason and "operator of hv1" in found.suggestion
    )


def test_an_internal_port_that_was_moved_is_its_own_end(switch: Shadow) -> None:
    found = traced(switch, replace(ETH0, name="p2", kind="openvswitch"))
    assert [(hop.kind, hop.object) for hop in found.hops[-2:]] == [("ovs_port", "p2"), ("guest_nic", "blue p2")]
    assert "moved into namespace blue" in found.hops[-2].detail


def test_a_command_with_a_name_from_inside_is_quoted(switch: Shadow) -> None:
    found = traced(switch, replace(ETH0, name="a;rm$x"))
    assert found.hops[-1].commands == ("ip netns exec blue ip address show dev 'a;rm$x'",)


def test_a_linux_bridge_that_sends_it_into_a_namespace_says_so() -> None:
    ports = {name: BridgePort(name, "forwarding") for name in ("vnet1", "qvb1", "veth7")}
    facts = BridgeFacts("qbr1", True, 300.0, False, False, False, False)
    into = {"veth7": "namespace blue, interface eth0 10.0.0.5/24"}
    reading = BridgeReading("qbr1", facts, ports, (FdbEntry(str(MAC), "veth7", "learned"),), into=into)
    frame = Frame({"dl_src": A.mac, "dl_dst": str(MAC)}, "vnet1", "qvb1", "qbr1", "", False)
    assert "at veth7 (into namespace blue, interface eth0 10.0.0.5/24): it is sent there" in pass_bridge(reading, frame).words  # fmt: skip
    flooded = pass_bridge(replace(reading, fdb=()), frame)
    assert flooded.stations[-1].done == "to qvb1, and to veth7 (into namespace blue, interface eth0 10.0.0.5/24)"
