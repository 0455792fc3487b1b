"""Units of what is measured, in the page's language: rows, the API and exports have the English ones."""

from __future__ import annotations

import re

from django.utils.formats import get_format
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

UNITS = (
    _("B"), _("KiB"), _("MiB"), _("GiB"), _("TiB"), _("B/s"), _("kB/s"), _("MB/s"), _("GB/s"), _("TB/s"), _("MiB/s"),
    _("bit/s"), _("kbit/s"), _("Mbit/s"), _("Gbit/s"), _("Tbit/s"), _("/s"), _("k/s"), _("M/s"), _("G/s"), _("T/s"),
    _("s"), _("ms"), _("µs"), _("min"), _("bytes/s"), _("packets/s"),
)  # fmt: skip
_MEASURED = re.compile(
    rf"(?<![\d.])(\d+)(?:\.(\d+))? ({'|'.join(sorted(map(re.escape, UNITS), key=len, reverse=True))}|%)(?![\w/])"
)


def with_units(text: str) -> str:
    """Numbers with a unit as the language writes both: `1.23 Mbit/s` → `1,23 Мбит/с`."""
    return _MEASURED.sub(_measured, text)


def decimals(number: str) -> str:
    """A number's digits with the decimal sign of the page's language: `1.23` → `1,23`."""
    return number.replace(".", get_format("DECIMAL_SEPARATOR"))


def _measured(found: re.Match[str]) -> str:
    whole, part, unit = found.groups()
    return f"{decimals(f'{whole}.{part}') if part else whole} {gettext(unit)}"
