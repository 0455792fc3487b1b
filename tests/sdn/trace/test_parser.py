"""Reading ofproto/trace's text: real ones whole, and anything without an exception."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sdn.trace.parser import parse_flow, parse_trace
from sdn.trace.walk import walk_passes

FIXTURES = Path(__file__).parent / "fixtures"
REAL = (FIXTURES / "native-tunnel.txt").read_text()


def test_each_look_up_keeps_its_place_in_the_text() -> None:
    lookups = [lookup for one in parse_trace(REAL) for visit in one.bridges for lookup in visit.lookups]
    assert lookups
    for lookup in lookups:
        line = REAL[lookup.start : lookup.end or None].splitlines()[0]
        assert f"{lookup.table}. " in line
        assert f"priority {lookup.priority}" in line


def test_a_native_tunnel_is_seen_with_its_far_end() -> None:
    passes = parse_trace(REAL)
    assert any("tnl_push" in one.datapath_actions for one in passes)
    assert walk_passes(passes, passes[0].bridges[0].name, None).outputs


@given(st.text(max_size=400))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    walk_passes(parse_trace(text), "br-int", 1)
    parse_flow(text)


@given(st.integers(0, len(REAL)), st.integers(0, 60), st.text(max_size=20))
def test_a_real_trace_cut_anywhere_and_mended_with_anything_is_read(at: int, size: int, text: str) -> None:
    walk_passes(parse_trace(REAL[:at] + text + REAL[at + size :]), "br-int", 1)
