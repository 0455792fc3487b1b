"""Which stretch of time is asked for, and what a page shows of it: pages and the API share it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from portal.config.units import decimals
from portal.history.series import DAY, RANGE_BY_NAME, RANGES, SAMPLE_S, Kind, step_for
from portal.history.store import Line, Series, read_series

DEFAULT = "1h"
MOST_S = 31 * DAY


class HistoryProblem(Exception):
    """No such stretch. `errors` holds field → sentences, all at once."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__("; ".join(line for lines in errors.values() for line in lines))
        self.errors = errors


@dataclass(frozen=True)
class Chart:
    """Fields of one unit in one picture."""

    title: str
    fields: tuple[str, ...]


CHARTS: dict[str, tuple[Chart, ...]] = {
    "vm": (
        Chart(_("CPU"), ("cpu_percent",)),
        Chart(_("Memory"), ("memory_bytes",)),
        Chart(_("Disk"), ("disk_read_bytes_s", "disk_write_bytes_s")),
        Chart(_("Network"), ("sent_bps", "received_bps")),
    ),
    "host": (
        Chart(_("CPU"), ("cpu_percent",)),
        Chart(_("Memory"), ("memory_bytes",)),
        Chart(_("Guests' traffic"), ("sent_bps", "received_bps")),
        Chart(_("Running VMs"), ("running_vms",)),
    ),
    "port": (
        Chart(_("Traffic"), ("sent_bps", "received_bps")),
        Chart(_("Packets"), ("sent_pps", "received_pps")),
        Chart(_("Not delivered"), ("dropped_pps", "lost_pps")),
    ),
}


def series_asked(kind: Kind, object_id: int, range_name: str, start_s: int | None = None, end_s: int | None = None, now_s: int | None = None) -> Series:  # fmt: skip
    """The object's samples of a named range up to now, or from `start_s` to `end_s`. Raises HistoryProblem."""
    now = int(time.time()) if now_s is None else now_s
    errors: dict[str, list[str]] = {}
    known = RANGE_BY_NAME.get(range_name)
    if known is None:
        errors["range"] = [
            gettext("“%(range_name)s” was given; %(range_by_name)s are allowed")
            % {"range_name": range_name[:40], "range_by_name": ", ".join(RANGE_BY_NAME)}
        ]
    end = now if end_s is None else end_s
    start = start_s if start_s is not None else end - (known.span_s if known else 0)
    if not now - MOST_S <= start < end <= now + DAY:
        errors["start"] = [gettext("start must be before end, and not longer than 30 days ago")]
    if errors:
        raise HistoryProblem(errors)
    return read_series(kind, object_id, start, end, step_for(start, now))


def range_of(asked: Mapping[str, str]) -> str:
    """The range that a page's URL names, or the default."""
    wanted = asked.get("range", "")
    return wanted if wanted in RANGE_BY_NAME else DEFAULT


def charts_of(kind: Kind, object_id: int, range_name: str, source: str) -> dict[str, Any]:
    """What `history/_charts.html` shows: each chart with its lines in numbers, and where the picture gets them."""
    series = series_asked(kind, object_id, range_name)
    return {
        "history": {
            "charts": [(chart, [shown(series.line(name)) for name in chart.fields]) for chart in CHARTS[kind.name]],
            "ranges": RANGES,
            "range": range_name,
            "source": f"{source}?range={range_name}",
            "every_s": max(series.step_s, SAMPLE_S),
        }
    }


def shown(line: Line) -> dict[str, str]:
    """A line in numbers: now, on average, at most."""
    unit = line.field.unit
    return {
        "name": line.field.name,
        "words": line.field.words,
        "last": quantity(line.last, unit),
        "average": quantity(line.average, unit),
        "highest": quantity(line.highest, unit),
    }


_LARGE: dict[str, tuple[float, tuple[str, ...]]] = {
    "bytes": (1024, ("B", "KiB", "MiB", "GiB", "TiB")),
    "bytes/s": (1000, ("B/s", "kB/s", "MB/s", "GB/s", "TB/s")),
    "bit/s": (1000, ("bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s")),
    "packets/s": (1000, ("/s", "k/s", "M/s", "G/s", "T/s")),
}


_TYPED = re.compile(r"(\d+(?:[.,]\d+)?(?:e\d{1,2})?)\s*(\D*)", re.IGNORECASE)


def parse_quantity(text: str, unit: str) -> float | None:
    """What a person typed, in the unit: `2 GiB` or `2,5 ГиБ` of bytes, `80 %`, `100 Mbit/s`, or the number alone; None for
    what is no such. The reverse of `quantity`; large and small letters are the same."""
    found = _TYPED.fullmatch(text.strip())
    if found is None:
        return None
    base, names = _LARGE.get(unit, (1, ("%",) if unit == "percent" else ()))
    factors = {"": 1.0}
    for at, name in enumerate(names):
        factors |= dict.fromkeys((name.casefold(), gettext(name).casefold()), float(base) ** at)
    factor = factors.get(found[2].strip().casefold())
    return float(found[1].replace(",", ".")) * factor if factor is not None else None


def quantity(value: float | None, unit: str) -> str:
    """1234567.0 bit/s → `1.23 Mbit/s`, in the page's language."""
    if value is None:
        return "–"
    if unit == "percent":
        return decimals(f"{value:.3g} %")
    if unit not in _LARGE:
        return decimals(f"{value:.3g}")
    base, names = _LARGE[unit]
    at = 0
    while abs(value) >= base and at < len(names) - 1:
        value, at = value / base, at + 1
    unit_words = gettext(names[at])
    return f"{decimals(f'{value:.3g}')} {unit_words}" if abs(value) < 1000 else f"{value:.0f} {unit_words}"
