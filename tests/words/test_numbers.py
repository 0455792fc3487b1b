"""Numbers and dates as Russian writes them on pages; what programs read keeps its points."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.template import Context, Template
from django.utils import translation

from portal.compute.bars import QuotaBar
from portal.config.units import with_units
from portal.history.asked import parse_quantity, quantity


@pytest.mark.parametrize(("language", "told"), [
    ("en", ["1.23 Mbit/s", "12.5 %", "0.81 s", "10.20.0.10", "1.5", "27 Nov 2026 06:00"]),
    ("ru", ["1,23 Мбит/с", "12,5 %", "0,81 с", "10.20.0.10", "1,5", "27 ноября 2026 06:00"]),
])  # fmt: skip
def test_a_number_and_a_date_are_of_the_pages_language(language: str, told: list[str]) -> None:
    page = Template('{% load i18n %}{{ at|date:_("j M Y H:i") }}')
    with translation.override(language):
        assert told == [
            quantity(1_234_000, "bit/s"), with_units("12.5 %"), with_units("0.81 s"), with_units("10.20.0.10"),
            QuotaBar("", 1.5, 0, 4, "").now, page.render(Context({"at": datetime(2026, 11, 27, 6, tzinfo=UTC)})),
        ]  # fmt: skip
        assert parse_quantity(quantity(1_230_000, "bit/s"), "bit/s") == 1_230_000
