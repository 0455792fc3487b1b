"""Layouts: what is allowed, and what one step changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.dashboards.layout import (
    DEFAULT,
    KIND_BY_NAME,
    KINDS,
    WIDTHS,
    BoardProblem,
    Widget,
    as_rows,
    moved,
    ordered,
    parse_widgets,
)
from portal.dashboards.widgets import LOADERS

ABC = (Widget("a", "quota", 12), Widget("b", "note", 4, "x"), Widget("c", "drops", 6))
STEPS = ("up", "down", "wider", "narrower", "remove")


def ids(widgets: tuple[Widget, ...]) -> str:
    return "".join(widget.id for widget in widgets)


def test_every_kind_has_a_loader_and_every_loader_a_kind() -> None:
    assert set(LOADERS) == set(KIND_BY_NAME) and len(KINDS) == len(KIND_BY_NAME)


def test_what_a_board_begins_with_is_a_layout() -> None:
    assert parse_widgets(as_rows(DEFAULT)) == DEFAULT


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(BoardProblem) as told:
        parse_widgets([{"kind": "clock"}, {"kind": "quota", "width": 5}, {"kind": "note", "text": "x" * 2001}])
    lines = told.value.errors["widgets"]
    assert [line.split(":")[0] for line in lines] == ["widget 1", "widget 2", "widget 3"]
    assert "clock" in lines[0] and "3, 4, 6, 8, 12" in lines[1] and "2000" in lines[2]


def test_thirty_widgets_are_the_most() -> None:
    with pytest.raises(BoardProblem, match="at most 30"):
        parse_widgets([{"kind": "note"}] * 31)


def test_ids_that_are_missing_or_doubled_are_made_and_text_is_kept_of_written_ones_alone() -> None:
    found = parse_widgets([{"kind": "note", "id": "a", "text": "hi"}, {"kind": "quota", "id": "a", "text": "hi"}, {"kind": "quota", "id": "<b>"}])  # fmt: skip
    assert found[0].id == "a" and len({one.id for one in found}) == 3
    assert [one.text for one in found] == ["hi", "", ""]


@pytest.mark.parametrize(
    ("id_", "act", "wanted"),
    [("b", "up", "bac"), ("b", "down", "acb"), ("a", "up", "abc"), ("c", "down", "abc"), ("b", "remove", "ac"), ("z", "up", "abc")],
)  # fmt: skip
def test_one_step_moves_one_widget(id_: str, act: str, wanted: str) -> None:
    assert ids(moved(ABC, id_, act)) == wanted


def test_widths_go_by_steps_and_stop_at_the_ends() -> None:
    assert moved(ABC, "b", "wider")[1].width == 6
    assert moved(ABC, "b", "narrower")[1].width == 3
    assert moved(ABC, "a", "wider")[0].width == 12


def test_an_order_keeps_what_it_does_not_name_and_passes_over_what_is_not_there() -> None:
    found = ordered(ABC, "c:12 zz:3 a:nonsense")
    assert ids(found) == "cab" and [one.width for one in found] == [12, 12, 4]


@given(st.lists(st.tuples(st.sampled_from("abcz"), st.sampled_from(STEPS)), max_size=20))
def test_no_row_of_steps_leads_out_of_what_is_allowed(steps: list[tuple[str, str]]) -> None:
    widgets = ABC
    for id_, act in steps:
        widgets = moved(widgets, id_, act)
    assert parse_widgets(as_rows(widgets)) == widgets
    assert all(widget.width in WIDTHS for widget in widgets)
