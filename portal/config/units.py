"""Units of what is measured, in the page's language: rows, the API and exports have the English ones."""

from __future__ import annotations

import re

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

UNITS = (
    _("B"), _("KiB"), _("MiB"), _("GiB"), _("TiB"), _("B/s"), _("kB/s"), _("MB/s"), _("GB/s"), _("TB/s"), _("MiB/s"),
    _("bit/s"), _("kbit/s"), _("Mbit/s"), _("Gbit/s"), _("Tbit/s"), _("/s"), _("k/s"), _("M/s"), _("G/s"), _("T/s"),
    _("s"), _("ms"), _("µs"), _("min"), _("bytes/s"), _("packets/s"),
)  # fmt: skip
_AFTER_NUMBER = re.compile(rf"(?<=\d )({'|'.join(sorted(map(re.escape, UNITS), key=len, reverse=True))})(?![\w/])")


def with_units(text: str) -> str:
    """The units that stand after numbers: `1.23 Mbit/s` → `1.23 Мбит/с`."""
    return _AFTER_NUMBER.sub(lambda found: gettext(found[1]), text)
