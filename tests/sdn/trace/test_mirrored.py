"""A mirrored packet's trace: the verdict is the packet's own, the mirror is a step in words, and the copy's end is told.

[web-1]--11--[br-int@hv1]==vni 4097==[br-int@hv2]--31--[db-1]
[web-2]--12--/          \\--21--[dana-1]
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdn.capture import CaptureOrder, CapturePoint, capture_flows
from sdn.model.flow import format_flow
from sdn.model.trace import Trace
from tests.sdn.switch import Switch
from tests.sdn.test_mirrors import DB_1_ID, HERE, WEB_2_ID, mirrored
from tests.sdn.trace.conftest import Hosts, load_hosts
from tests.sdn.world import SNAPSHOT, WEB_1, WEB_2


@pytest.fixture
def mirrors(hosts: Hosts) -> Iterator[Hosts]:
    """web-1 is watched by db-1, and web-2 by web-1."""
    load_hosts(hosts, mirrored((HERE, DB_1_ID), (WEB_2_ID, HERE)))
    yield hosts
    load_hosts(hosts, SNAPSHOT)


def notes(trace: Trace) -> list[str]:
    return [step.note for hop in trace.hops for step in hop.steps]


def test_a_mirrored_packets_trace_is_its_own_and_says_where_the_copies_go(mirrors: Hosts) -> None:
    trace = mirrors.trace("web-1", "web-2")
    assert (trace.verdict, trace.reason, trace.branches) == ("delivered", "web-1 reaches web-2.", ())
    assert [hop.kind for hop in trace.hops].count("bridge") == 1 and trace.hops[-1].object == "web-2 eth0"
    assert sum("a mirror's copy is sent" in note for note in notes(trace)) == 2, "of what web-1 sends, web-2 receives"
    assert any("the copy goes through the tunnel, by the mirror's own number" in note for note in notes(trace))
    told = [finding for finding in trace.findings if "a mirror watches the port" in finding]
    assert told == [
        "hv1 sends a copy of it to db-1 on hv2: a mirror watches the port.",
        "hv1 sends a copy of it to web-1: a mirror watches the port.",
    ]


def test_a_packet_that_is_dropped_is_still_dropped_in_its_trace(mirrors: Hosts) -> None:
    trace = mirrors.trace("web-1", "web-2", eth_dst="52:54:00:00:00:99")
    assert trace.verdict == "dropped" and "no port of the network has its destination MAC" in trace.reason
    assert any("sends a copy of it to db-1" in finding for finding in trace.findings)


def test_a_packet_that_goes_by_the_tunnel_too_is_followed_past_its_copy(mirrors: Hosts) -> None:
    trace = mirrors.trace("web-1", "db-1")
    assert (trace.verdict, trace.reason) == ("delivered", "web-1 reaches db-1.")
    assert [hop.host for hop in trace.hops if hop.kind == "bridge"] == ["hv1", "hv2"]
    assert next(hop for hop in trace.hops if hop.kind == "tunnel_encap").detail.startswith("VNI 4097,")


def test_a_copy_that_does_not_arrive_is_said_to_be_lost(mirrors: Hosts) -> None:
    Switch(mirrors.shadows["hv2"]).ofctl("del-flows", "cookie=0x48530a0000000000/0xffffff0000000000")
    trace = mirrors.trace("web-1", "web-2")
    assert trace.verdict == "delivered"
    lost = next(finding for finding in trace.findings if "does not arrive" in finding)
    assert "Dropped in table 0 (classify) of hv2" in lost, lost


def test_a_capture_under_way_is_a_step_and_no_flood(mirrors: Hosts) -> None:
    point = CapturePoint("web-1", "hv1", WEB_1, ((),), ((),))
    order = CaptureOrder(1, (point, CapturePoint("web-2", "hv1", WEB_2, ((),), ((),))), 10, 10)
    lines = "\n".join(format_flow(flow) for flow in capture_flows(order)["hv1"])
    Switch(mirrors.shadows["hv1"]).ofctl("add-flows", "-", given=lines)
    trace = mirrors.trace("web-1", "web-2")
    assert (trace.verdict, trace.reason) == ("delivered", "web-1 reaches web-2.")
    assert sum("a capture takes its copy here" in note for note in notes(trace)) == 2
