"""Samples: what is written is read back, thinned by steps, and forgotten in time."""

from __future__ import annotations

import math

import pytest

from portal.history.models import Samples
from portal.history.series import DAY, HOUR, KINDS, PORT, STEPS, VM, step_for
from portal.history.store import latest_among, read_series, roll_up, write_samples

NOW = 1_800_000_000
TEN, MINUTE, TEN_MINUTES = STEPS
pytestmark = pytest.mark.django_db


def line(value: float) -> tuple[float, ...]:
    return (value, *(math.nan,) * 5)


def write(start_s: int, values: list[float], object_id: int = 5) -> None:
    for number, value in enumerate(values):
        write_samples(VM, start_s + 10 * number, {object_id: line(value)})


def cpu(start_s: int, end_s: int, step, object_id: int = 5):  # type: ignore[no-untyped-def]
    return read_series(VM, object_id, start_s, end_s, step).line("cpu_percent")


def test_it_reads_back_what_was_written_and_none_where_nothing_was() -> None:
    write(NOW, [10, 20])
    write(NOW + 40, [30])
    assert cpu(NOW, NOW + 60, TEN).mean == (10, 20, None, None, 30, None)
    assert read_series(VM, 5, NOW, NOW + 20, TEN).line("memory_bytes").mean == (None, None)


def test_objects_of_one_row_and_of_other_kinds_are_not_mixed_up() -> None:
    write_samples(VM, NOW, {5: line(1), 6: line(2), 64 + 5: line(3)})
    write_samples(PORT, NOW, {5: line(4)})
    assert [cpu(NOW, NOW + 10, TEN, one).mean for one in (5, 6, 69, 7)] == [(1,), (2,), (3,), (None,)]
    assert Samples.objects.count() == 3
    assert {one: values[0] for one, values in latest_among(VM, [5, 6, 69, 7], NOW + 10).items()} == {5: 1, 6: 2, 69: 3}
    assert latest_among(VM, [5], NOW + 60) == {}  # half a minute old is not now


def test_a_sample_that_is_written_twice_is_kept_once() -> None:
    write(NOW, [10])
    write(NOW, [99])
    assert cpu(NOW, NOW + 10, TEN).mean == (10,)


def test_minutes_hold_the_mean_and_the_peak_of_their_tens_of_seconds() -> None:
    write(NOW, [10, 10, 10, 70, 10, 10])
    roll_up(NOW + 100)
    minute = cpu(NOW, NOW + 60, MINUTE)
    assert (minute.mean, minute.peak) == ((20,), (70,))


def test_a_peak_of_ten_seconds_is_still_seen_after_weeks() -> None:
    for number in range(60):
        write(NOW + 10 * number, [100 if number == 33 else 0])
    roll_up(NOW + 700)
    coarse = cpu(NOW, NOW + 600, TEN_MINUTES)
    assert coarse.peak == (100,)
    assert coarse.mean[0] == pytest.approx(100 / 60, rel=1e-3)


def test_a_minute_that_is_not_over_is_not_made_yet_and_one_that_is_there_stands() -> None:
    write(NOW, [10, 10, 10])
    assert roll_up(NOW + 50) == 0
    write(NOW + 30, [10, 10, 10])
    assert roll_up(NOW + 100) == 1
    assert roll_up(NOW + 100) == 0


def test_after_a_day_of_silence_it_goes_on_where_samples_begin_again() -> None:
    write(NOW, [10] * 6)
    roll_up(NOW + 100)
    write(NOW + 2 * DAY, [30] * 6)
    roll_up(NOW + 2 * DAY + 100)
    assert cpu(NOW + 2 * DAY, NOW + 2 * DAY + 60, MINUTE).mean == (30,)


def test_nothing_is_kept_longer_than_it_should_be() -> None:
    write(NOW - HOUR - 120, [1] * 6)
    roll_up(NOW - HOUR)
    roll_up(NOW)
    assert not Samples.objects.filter(step_s=10).exists()
    assert Samples.objects.filter(step_s=60).count() == 1
    roll_up(NOW + DAY)
    assert not Samples.objects.filter(step_s=60).exists()
    assert Samples.objects.filter(step_s=600).count() == 1
    roll_up(NOW + 31 * DAY)
    assert not Samples.objects.exists()


def test_a_stretch_is_read_at_the_finest_step_that_still_has_its_beginning() -> None:
    asked = {span_s: step_for(NOW - span_s, NOW).step_s for span_s in (60, HOUR, HOUR + 60, DAY, DAY + 60, 30 * DAY)}
    assert asked == {60: 10, HOUR: 10, HOUR + 60: 60, DAY: 60, DAY + 60: 600, 30 * DAY: 600}


def test_kinds_and_their_fields_have_names_of_their_own() -> None:
    assert len({kind.code for kind in KINDS}) == len({kind.name for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        assert len({field.name for field in kind.fields}) == len(kind.fields)
