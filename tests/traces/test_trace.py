"""The trace page's data: [web-1]--tap--[br-int@hv1]==vni 4097==[br-int@hv2]--tap--[db-1]."""

from __future__ import annotations

from portal.traces.presentation import read_trace, rows_of
from sdn.model.trace import from_json, to_json
from tests.traces.factory import delivered, dropped


def test_every_hop_and_step_gets_one_number_in_the_order_of_the_packet() -> None:
    rows = rows_of(delivered())
    assert [row.number for row in rows] == list(range(1, 23))
    assert rows[0].hop.object == "web-1 eth0"
    assert rows[-1].hop.object == "db-1 eth0"
    assert [row.step.table_name for row in rows[3:9] if row.step][-1] == "l2_lookup"


def test_a_step_joins_its_live_counter_by_host_and_flow() -> None:
    assert rows_of(dropped())[-1].counter == "hv1|table=250,priority=10,reg4=0x4"


def test_an_answer_of_another_version_is_no_answer_and_no_crash() -> None:
    assert read_trace({"hops": [{"steps": 3}]}) is None
    assert read_trace(None) is None


def test_a_stored_trace_reads_back_as_it_was() -> None:
    assert from_json(to_json(delivered())) == delivered()
