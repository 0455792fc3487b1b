"""A probe's reports laid over a prediction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdn.model.trace import Branch, Hop, Step, Trace
from sdn.pipeline import DROP_REASON_BY_NAME, TABLE_BY_NAME
from sdn.trace.moments import Moment, Took, durations
from sdn.trace.probed import Sighting, first_divergence, is_lost, probed_trace, told_lost, told_narrow

OUTPUT, DROP = TABLE_BY_NAME["output"].table_id, TABLE_BY_NAME["drop"].table_id


def step(table: int) -> Step:
    return Step(table, "", 1, "", "", None, None, "")


def hop(kind: str, host: str, *tables: int) -> Hop:
    layer = "guest" if kind in ("guest_nic",) else "host"
    return Hop(kind, layer, host, f"{kind}-{host}", "", steps=tuple(map(step, tables)))  # type: ignore[arg-type]


TWO_HOSTS = (
    hop("guest_nic", "hv1"), hop("backend", "hv1"), hop("tap", "hv1"), hop("bridge", "hv1", 0, 10, 50, 70),
    hop("tunnel_encap", "hv1"), hop("underlay", ""), hop("tunnel_decap", "hv2"), hop("bridge", "hv2", 0, 50, 65, 70),
    hop("tap", "hv2"), hop("backend", "hv2"), hop("guest_nic", "hv2"),
)  # fmt: skip
PREDICTED = Trace("1", "predicted", "forward", {}, TWO_HOSTS, "delivered", "web-1 reaches db-1.", "", 1)
AWAY = Sighting("hv1", "tunnel", 900.0, 100.0, OUTPUT, ofport=1)
ARRIVED = Sighting("hv2", "port", 1500.0, 200.0, OUTPUT, ofport=7, port_name="db-1")


def test_both_switches_reported_it_so_the_two_agree() -> None:
    """[web-1]--tap--[br-int@hv1]==[br-int@hv2]--tap--[db-1]"""
    probed = probed_trace(PREDICTED, (AWAY, ARRIVED))
    assert (probed.verdict, len(probed.hops)) == ("delivered", len(TWO_HOSTS))
    assert [one.kind for one in probed.hops if not one.measured] == ["guest_nic", "backend", "backend", "guest_nic"]
    took = [(one.latency_us, one.latency_error_us) for one in probed.hops if one.kind == "bridge"]
    assert took == [(800.0, 200.0), (600.0, 300.0)]
    assert first_divergence(PREDICTED, probed) is None


def test_a_drop_on_the_second_host_ends_it_there_and_is_the_divergence() -> None:
    """[web-1]--tap--[br-int@hv1]==[br-int@hv2] ✘"""
    code = DROP_REASON_BY_NAME["ingress_denied"].code
    dropped = Sighting("hv2", "drop", 1500.0, 200.0, DROP, drop_reason=code, drop_table=65)
    probed = probed_trace(PREDICTED, (AWAY, dropped))
    assert probed.verdict == "dropped"
    assert "table 65 (ingress_rules) of hv2" in probed.reason
    assert [one.table for one in probed.hops[-1].steps] == [0, 50, 65, DROP]
    parted = first_divergence(PREDICTED, probed)
    assert parted is not None and parted.hop == 8


def test_a_packet_that_the_underlay_lost_is_said_to_be_lost_there() -> None:
    """[web-1]--tap--[br-int@hv1]== ?"""
    probed = probed_trace(PREDICTED, (AWAY,))
    assert probed.verdict == "unknown"
    assert "left hv1 through the tunnel" in probed.reason
    assert probed.hops[-1].kind == "tunnel_decap"
    assert first_divergence(PREDICTED, probed) is not None


def _carried(kind: str) -> Trace:
    header = {"outer_src": "192.0.2.1", "outer_dst": "192.0.2.2"}
    stack = ("eth", "ipv4", "udp", f"{kind} 4097", "eth", "ipv4", "tcp")
    hops = [
        replace(one, header_after=header, header_stack=stack) if one.kind == "tunnel_encap" else one
        for one in TWO_HOSTS
    ]
    return replace(PREDICTED, hops=tuple(hops))


@pytest.mark.parametrize(("kind", "port"), [("vxlan", 4789), ("geneve", 6081)])
def test_where_nothing_crosses_it_names_the_port_and_the_way_that_must_be_open(kind: str, port: int) -> None:
    """[web-1]--tap--[br-int@hv1]== ✘ udp/4789, or udp/6081"""
    predicted = _carried(kind)
    assert is_lost((AWAY,)) and not is_lost((AWAY, ARRIVED)) and not is_lost(())
    told = told_lost(probed_trace(predicted, (AWAY,)), predicted, AWAY, 84, ())
    assert f"(udp/{port} to 192.0.2.2)" in told.reason and "no switch reported it there" in told.reason
    assert f"let udp/{port} through from hv1 to hv2" in told.suggestion


def test_where_a_small_packet_crosses_a_large_one_is_said_to_be_too_big() -> None:
    """[web-1]--tap--[br-int@hv1]== 1500 of 1400 ✘"""
    predicted = _carried("vxlan")
    told = told_lost(probed_trace(predicted, (AWAY,)), predicted, AWAY, 1450, (AWAY, ARRIVED))
    assert "One of 1450 bytes left hv1" in told.reason and "one of 84 bytes did" in told.reason
    assert (
        "raise the MTU between hv1 and hv2 to 1500" in told.suggestion
        and "ping -M do -s 1472 192.0.2.2" in told.suggestion
    )


def test_a_small_packet_that_arrives_tells_of_the_large_one_that_did_not() -> None:
    predicted = _carried("vxlan")
    told = told_narrow(probed_trace(predicted, (AWAY, ARRIVED)), predicted, AWAY, 1500, 84)
    assert told.verdict == "delivered" and "One of 1500 bytes left hv1" in told.findings[-1]
    assert "to 1550" in told.suggestion


def test_a_packet_that_was_handed_over_is_said_to_be() -> None:
    kept, given = (probed_trace(PREDICTED, (AWAY, replace(ARRIVED, is_handed_over=over))) for over in (False, True))
    assert "it was not given to the guest" in kept.reason and "it was given to the guest" in given.reason


def test_a_packet_that_would_go_back_where_it_came_from_is_dropped_there() -> None:
    predicted = replace(PREDICTED, hops=TWO_HOSTS[:4], verdict="dropped")
    probed = probed_trace(predicted, (Sighting("hv1", "back", 900.0, 100.0, OUTPUT, ofport=7),))
    assert probed.verdict == "dropped" and "in table 70 (output) of hv1: it would go back" in probed.reason
    assert first_divergence(predicted, probed) is None


def test_no_report_at_all_is_said_and_never_called_a_timeout() -> None:
    probed = probed_trace(PREDICTED, ())
    assert probed.verdict == "unknown"
    assert "timeout" not in probed.reason


def test_what_the_switch_answers_itself_agrees_with_the_prediction() -> None:
    """[web-1]--tap--[br-int@hv1: the gateway] and back"""
    back = (*TWO_HOSTS[:4], hop("tap", "hv1"), hop("backend", "hv1"), hop("guest_nic", "hv1"))
    predicted = replace(PREDICTED, hops=back, reason="The switch of hv1 answers web-1 itself, as 10.20.0.1.")
    probed = probed_trace(predicted, (Sighting("hv1", "answer", 700.0, 100.0, OUTPUT, ofport=0xFFF8),))
    assert probed.verdict == "delivered" and "answered a real packet itself" in probed.reason
    assert first_divergence(predicted, probed) is None


def test_each_copy_of_a_broadcast_is_a_branch_that_was_foreseen() -> None:
    """[web-1]--[br-int@hv1]--[web-2] and ==[br-int@hv2]--[db-1]"""
    near = (*TWO_HOSTS[:4], hop("tap", "hv1"), hop("backend", "hv1"), hop("guest_nic", "hv1"))
    copies = (Branch("hv1", "web-2", "delivered", "", True), Branch("hv2", "db-1", "delivered", "", False))
    predicted = replace(PREDICTED, hops=near, verdict="flooded", branches=copies)
    local = Sighting("hv1", "port", 950.0, 100.0, OUTPUT, ofport=12, port_name="web-2")
    probed = probed_trace(predicted, (AWAY, local, ARRIVED))
    assert (probed.verdict, len(probed.hops)) == ("flooded", len(near))
    assert first_divergence(predicted, probed) is None


def test_a_packet_that_leaves_for_the_outside_is_taken_off_at_the_cable() -> None:
    """[web-1]--tap--[br-int@hv1]--patch--[br-ex] …: nothing of ours is sent where others may see it"""
    start = TWO_HOSTS[:4]
    way_out = (*start, hop("patch", "hv1"), hop("bridge", "hv1", 0), hop("external", "hv1"))
    predicted = Trace("1", "predicted", "forward", {}, way_out, "delivered", "It leaves hv1 by eth0.", "", 1)
    probed = probed_trace(predicted, (Sighting("hv1", "port", 900.0, 100.0, OUTPUT, ofport=2, port_name="port 2"),))
    assert first_divergence(predicted, probed) is None
    assert [one.measured for one in probed.hops[4:]] == [False, False, False]
    assert "it was not let out" in probed.reason


def test_reports_that_change_places_still_tell_a_time_that_is_more_than_nothing() -> None:
    """The far switch's report is read 0.5 ms before the near one's: the packet was at the near one before both."""
    late = replace(AWAY, at_us=2000.0, error_us=400.0)
    probed = probed_trace(PREDICTED, (late, replace(ARRIVED, at_us=1300.0, error_us=200.0)))
    near, far = [one for one in probed.hops if one.kind == "bridge"]
    assert (near.latency_us, near.latency_error_us) == (750.0, 750.0)  # from 0 to 1.5 ms: it was there before 1.5 ms
    assert far.latency_us == far.latency_error_us == 750.0


def test_a_round_trip_that_was_shorter_than_a_reports_way_is_not_believed() -> None:
    assert durations((Moment(0, 50), Moment(900, 1000), Moment(700, 800))) == (Took(400, 400), Took(400, 400))


@given(st.lists(st.tuples(*(st.floats(0.001, 1e4) for _ in range(3))), min_size=2, max_size=5))
def test_a_duration_is_never_nothing_and_its_range_holds_the_truth(steps: list[tuple[float, float, float]]) -> None:
    """Each place is so long after the one before; its report is so long on its way, within a trip that is longer still."""
    at, truth, moments = 0.0, [], []
    for took, way, longer in steps:
        at += took
        truth.append(took)
        moments.append(Moment(max(0.0, at + way - (way + longer)), at + way))
    for took, found in zip(truth[1:], durations(moments), strict=True):
        assert found.us > 0 and 0 < found.error_us <= found.us * (1 + 1e-9)
        assert found.us - found.error_us <= took + 1e-6 and took - 1e-6 <= found.us + found.error_us


@given(st.lists(st.tuples(st.floats(0.001, 1e4), st.floats(0.001, 1e4)), min_size=2, max_size=5))
def test_whatever_is_reported_no_duration_is_nothing(reports: list[tuple[float, float]]) -> None:
    """Arrivals and round trips that have nothing to do with each other."""
    sent = Moment(0.0, reports[0][1])
    for found in durations((sent, *(Moment(max(0.0, at - trip), at) for at, trip in reports))):
        assert found.us > 0 and found.us - found.error_us >= -1e-6


def test_a_switch_that_did_not_report_is_named_where_the_end_is_the_same() -> None:
    probed = probed_trace(PREDICTED, [ARRIVED])
    parted = first_divergence(PREDICTED, probed)
    assert parted is not None and "hv1" in parted.words.rsplit(". ", 1)[1], parted
    assert "did not report" in parted.words and "Predicted:" not in parted.words
