"""A trace from a VM that is off: its switch takes packets in its name, by the same rules as if it ran.

(web-2, off)  [br-int@hv1]--[web-1], and ==vni 4097==[br-int@hv2]--[db-1]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from sdn.compiler import compile_host
from sdn.model.addresses import IfaceId
from sdn.model.flow import format_flow
from sdn.model.trace import Trace
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.trace import predict
from tests.sdn.trace.conftest import DB_1, ENDS, VIEW_2, Hosts
from tests.sdn.world import DANA, SNAPSHOT, TUNNEL, VIEW, WEB_1, WEB_2

OFF = IfaceId("iface-web-2")
STANDING = replace(VIEW, ofports=tuple(one for one in VIEW.ofports if one[0] != OFF), stand_ins=(OFF,))


@pytest.fixture(scope="module")
def standing() -> Iterator[Hosts]:
    with Shadow() as first, Shadow() as second:
        for shadow, view, ofports in ((first, STANDING, (TUNNEL, WEB_1, DANA)), (second, VIEW_2, (TUNNEL, DB_1))):
            lines = "\n".join(format_flow(flow) for flow in compile_host(SNAPSHOT, view))
            shadow.load([ShadowBridge("br-int", tuple(ShadowPort(f"p{number}", number) for number in ofports), lines)])
        yield Hosts({"hv1": first, "hv2": second})


def from_off(hosts: Hosts, target: str, protocol: str = "tcp", **asked: object) -> Trace:
    question = hosts.question("web-2", target, protocol, **asked)
    off = replace(ENDS["web-2"], ofport=None, stood_in_as=2)
    here = tuple(
        replace(host, ports={n: end for n, end in host.ports.items() if n != WEB_2}) for host in question.hosts
    )
    world = hosts.world()
    try:
        return predict(replace(question, source=off, hosts=here), world, lambda causes: {})
    finally:
        world.close()


def test_a_packet_in_its_name_goes_over_two_hosts(standing: Hosts) -> None:
    trace = from_off(standing, "db-1")
    assert (trace.verdict, trace.reason) == ("delivered", "web-2 reaches db-1.")
    assert {hop.host for hop in trace.hops if hop.kind == "bridge"} == {"hv1", "hv2"}
    assert any("web-2 is off" in found for found in trace.findings)


def test_what_the_switch_answers_itself_comes_back_to_it(standing: Hosts) -> None:
    trace = from_off(standing, "10.20.0.1", "icmp")
    assert trace.verdict == "delivered", trace.reason
    assert "answers web-2 itself" in trace.reason


def test_it_is_held_to_its_own_address(standing: Hosts) -> None:
    trace = from_off(standing, "db-1", ip_src=ENDS["web-1"].address)
    assert trace.verdict == "dropped" and "its source IPv4 address is not the port's own" in trace.reason


def test_without_a_stand_in_nothing_is_guessed(standing: Hosts) -> None:
    question = standing.question("web-2", "db-1")
    world = standing.world()
    try:
        trace = predict(replace(question, source=replace(ENDS["web-2"], ofport=None)), world, lambda causes: {})
    finally:
        world.close()
    assert trace.verdict == "unknown" and "web-2 is not running" in trace.reason
