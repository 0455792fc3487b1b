"""Writing, reading, thinning and forgetting samples.

The finest step is written by whoever measures (one process for each kind); the coarser ones are made of it by `roll_up`, which
looks at rows alone, so that it may run twice, late, or anywhere.
"""

from __future__ import annotations

import math
import zlib
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import groupby, pairwise
from operator import add
from typing import Any

from django.db.models import Count, Max, Min, QuerySet

from portal.history.models import Samples
from portal.history.series import KINDS, STEPS, Field, Kind, Step

OBJECTS = 64  # of one row
MOST_PAGES = 500  # named in a query; for more, all are read
MOST_WINDOWS = 90  # rolled up in one go: a worker that was away an hour and a half has caught up after one
FINE_S = 600  # a mean over longer than this is taken of minutes
LATE_S = 20  # a sample is written so late at most; what comes later is not in the coarser steps
NOTHING = math.nan
Values = Sequence[float]


@dataclass(frozen=True, slots=True)
class Line:
    """One field over time: a mean and a peak for each time, None where nothing was sampled."""

    field: Field
    mean: tuple[float | None, ...]
    peak: tuple[float | None, ...]

    @property
    def known(self) -> list[float]:
        return [value for value in self.mean if value is not None]

    @property
    def last(self) -> float | None:
        """The newest value that there is."""
        return self.known[-1] if self.known else None

    @property
    def average(self) -> float | None:
        known = self.known
        return sum(known) / len(known) if known else None

    @property
    def highest(self) -> float | None:
        return max((value for value in self.peak if value is not None), default=None)


Ranked = tuple[int, tuple[float, ...]]
_ranked: dict[tuple[int, int], tuple[dict[str, Any], list[Ranked]]] = {}  # kind and how many → which samples, and who


@dataclass(frozen=True, slots=True)
class Series:
    """An object's lines from `start_s` on, one value every `step_s` seconds."""

    kind: Kind
    step_s: int
    start_s: int
    lines: tuple[Line, ...]

    @property
    def times(self) -> range:
        return range(self.start_s, self.start_s + self.step_s * len(self.lines[0].mean), self.step_s)

    def line(self, name: str) -> Line:
        """The field of that name."""
        return next(line for line in self.lines if line.field.name == name)


def write_samples(kind: Kind, at_s: int, values: Mapping[int, Values]) -> None:
    """Keep the objects' values (by id, in the order of the kind's fields; nan: not known). What is kept already stands."""
    step = STEPS[0]
    rows = []
    for page, ids in groupby(sorted(values), lambda one: one // OBJECTS):
        cells = array("f", [NOTHING]) * (len(kind.fields) * OBJECTS)
        for one in ids:
            for place, value in enumerate(values[one]):
                cells[place * OBJECTS + one % OBJECTS] = value
        rows.append(Samples(kind=kind.code, step_s=step.step_s, page=page, at_s=at_s - at_s % step.step_s, packed=_pack(cells)))  # fmt: skip
    Samples.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)


def read_series(kind: Kind, object_id: int, start_s: int, end_s: int, step: Step) -> Series:
    """The object's samples from `start_s` until before `end_s`, at that step; one query."""
    start_s -= start_s % step.step_s
    count = max(0, math.ceil((end_s - start_s) / step.step_s))
    rows = Samples.objects.filter(kind=kind.code, step_s=step.step_s, page=object_id // OBJECTS)
    found = rows.filter(at_s__gte=start_s, at_s__lt=end_s).values_list("at_s", "packed")
    width, slot = len(kind.fields), object_id % OBJECTS
    means: list[list[float | None]] = [[None] * count for _ in kind.fields]
    peaks: list[list[float | None]] = [[None] * count for _ in kind.fields]
    for at_s, packed in found:
        place = (at_s - start_s) // step.step_s
        cells = _unpack(packed)
        peaks_at = width * OBJECTS if len(cells) > width * OBJECTS else 0
        for number in range(min(width, len(cells) // OBJECTS)):
            mean, peak = cells[number * OBJECTS + slot], cells[peaks_at + number * OBJECTS + slot]
            if mean == mean:  # nan is not itself
                means[number][place], peaks[number][place] = _rounded(mean), _rounded(peak)
    lines = (Line(field, tuple(means[at]), tuple(peaks[at])) for at, field in enumerate(kind.fields))
    return Series(kind, step.step_s, start_s, tuple(lines))


def latest_among(kind: Kind, ids: Collection[int], now_s: int) -> dict[int, tuple[float, ...]]:
    """The newest values of those objects of the last half minute; one query, and none for no object."""
    if not ids:
        return {}
    rows = Samples.objects.filter(kind=kind.code, step_s=STEPS[0].step_s, at_s__gt=now_s - 3 * STEPS[0].step_s)
    wanted: dict[int, list[int]] = defaultdict(list)
    for one in ids:
        wanted[one // OBJECTS].append(one)
    if len(wanted) <= MOST_PAGES:
        rows = rows.filter(page__in=wanted)
    found: dict[int, tuple[float, ...]] = {}
    for page, packed in rows.order_by("-at_s").values_list("page", "packed"):
        missing = [one for one in wanted.get(page, ()) if one not in found]
        cells = _unpack(packed) if missing else array("f")
        for one in missing:
            values = tuple(cells[one % OBJECTS :: OBJECTS])
            if any(value == value for value in values):
                found[one] = values
    return found


def busiest_of_all(kind: Kind, most: int, now_s: int) -> list[Ranked]:
    """The objects whose newest values' first two (sent, received) make the largest sums, the largest first. They are ranked
    once for each step's samples, however many boards ask."""
    rows = Samples.objects.filter(kind=kind.code, step_s=STEPS[0].step_s, at_s__gt=now_s - 2 * STEPS[0].step_s)
    stand = rows.aggregate(Max("id"), Max("at_s"), Count("id"))
    known = _ranked.get((kind.code, most))
    if known is None or known[0] != stand:
        known = _ranked[kind.code, most] = (stand, _rank(rows, most))
    return known[1]


def _rank(rows: QuerySet[Samples], most: int) -> list[Ranked]:
    newest = dict(rows.order_by("at_s").values_list("page", "packed"))
    cells_of = {page: _unpack(packed) for page, packed in newest.items()}
    sums = (
        (total, page, place)
        for page, cells in cells_of.items()
        for place, total in enumerate(map(add, cells[:OBJECTS], cells[OBJECTS : 2 * OBJECTS]))
        if total > 0
    )
    return [(page * OBJECTS + place, tuple(cells_of[page][place::OBJECTS])) for _, page, place in nlargest(most, sums)]


def roll_up(now_s: int) -> int:
    """Make the coarser steps of the finer ones, and forget what is too old; how many rows were made."""
    made = sum(_roll_up(kind, fine, coarse, now_s) for fine, coarse in pairwise(STEPS) for kind in KINDS)
    for step in STEPS:
        Samples.objects.filter(step_s=step.step_s, at_s__lt=now_s - step.keep_s - 2 * step.step_s).delete()
    return made


def _roll_up(kind: Kind, fine: Step, coarse: Step, now_s: int) -> int:
    rows = Samples.objects.filter(kind=kind.code)
    done = rows.filter(step_s=coarse.step_s).aggregate(last=Max("at_s"))["last"]
    fresh = rows.filter(step_s=fine.step_s, at_s__gte=0 if done is None else done + coarse.step_s)
    first = fresh.aggregate(first=Min("at_s"))["first"]
    if first is None:
        return 0
    begin = first - first % coarse.step_s
    end = now_s - LATE_S - (now_s - LATE_S) % coarse.step_s
    made = 0
    for at_s in range(begin, min(end, begin + MOST_WINDOWS * coarse.step_s), coarse.step_s):
        inside = rows.filter(step_s=fine.step_s, at_s__gte=at_s, at_s__lt=at_s + coarse.step_s).order_by("page")
        merged = [
            Samples(kind=kind.code, step_s=coarse.step_s, page=page, at_s=at_s, packed=_pack(_merged(kind, (packed for _, packed in group))))
            for page, group in groupby(inside.values_list("page", "packed"), lambda row: row[0])
        ]  # fmt: skip
        Samples.objects.bulk_create(merged, ignore_conflicts=True, batch_size=500)
        made += len(merged)
    return made


def _merged(kind: Kind, packs: Iterable[bytes | memoryview]) -> array[float]:
    """The means of the means and the peaks of the peaks."""
    size = len(kind.fields) * OBJECTS
    sums, counts, peaks = [0.0] * size, [0] * size, [NOTHING] * size
    for packed in packs:
        cells = _unpack(packed)
        peaks_at = size if len(cells) > size else 0
        for place in range(min(size, len(cells))):
            mean = cells[place]
            if mean != mean:
                continue
            sums[place] += mean
            counts[place] += 1
            peak = cells[peaks_at + place]
            if not peaks[place] >= peak:  # nan is less than nothing
                peaks[place] = peak
    means = (total / count if count else NOTHING for total, count in zip(sums, counts, strict=True))
    return array("f", (*means, *peaks))


def _pack(cells: array[float]) -> bytes:
    return zlib.compress(cells.tobytes(), 1)


def _unpack(packed: bytes | memoryview) -> array[float]:
    return array("f", zlib.decompress(packed))


def _rounded(value: float) -> float:
    """Without the digits that 32 bits do not have."""
    return float(f"{value:.6g}")


def means_among(kind: Kind, ids: Collection[int], name: str, start_s: int, end_s: int) -> dict[int, float]:
    """Each object's mean of one field between the two times; one that was never sampled then has none."""
    place = next(at for at, field in enumerate(kind.fields) if field.name == name)
    step = STEPS[0] if end_s - start_s <= FINE_S else STEPS[1]
    rows = Samples.objects.filter(kind=kind.code, step_s=step.step_s, at_s__gte=start_s, at_s__lt=end_s)
    pages = {one // OBJECTS for one in ids}
    if len(pages) <= MOST_PAGES:
        rows = rows.filter(page__in=pages)
    sums: dict[int, tuple[float, int]] = {}
    for page, packed in rows.values_list("page", "packed"):
        cells = _unpack(packed)[place * OBJECTS : (place + 1) * OBJECTS]
        for slot, value in enumerate(cells):
            if value == value:
                total, count = sums.get(page * OBJECTS + slot, (0.0, 0))
                sums[page * OBJECTS + slot] = (total + value, count + 1)
    return {one: sums[one][0] / sums[one][1] for one in ids if one in sums}
