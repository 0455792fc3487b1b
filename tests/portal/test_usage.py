"""Use is counted by time, once, over midnights and pauses; a month is hours × prices, on the page, as CSV and over the API."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from portal.accounts.models import AuditRow, Team
from portal.networks.floating_requests import allocate_floating
from portal.usage.metering import by_day, count_use
from portal.usage.models import UsageDay
from portal.usage.showback import accounts, change_prices, month_of
from tests.cast import Cast
from tests.portal.clients import client_of, made_snapshot, made_vm, made_volume

START = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
TODAY = START.date()
JSON: dict[str, Any] = {"content_type": "application/json"}


def hours(team: Team, day: date = TODAY) -> dict[str, float]:
    row = UsageDay.objects.filter(team=team, day=day).first()
    return {} if row is None else {name: round(value, 6) for name, value in row.hours.items()}


@given(
    since=st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2030, 1, 1), timezones=st.just(UTC)),
    length=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3)),
)
def test_a_stretch_of_time_is_split_at_midnights_and_nothing_is_lost(since: datetime, length: timedelta) -> None:
    pieces = list(by_day(since, since + length))
    assert sum(part for _, part in pieces) == pytest.approx(length.total_seconds() / 3600)
    assert all(0 < part <= 24 for _, part in pieces)
    assert [day for day, _ in pieces] == sorted({day for day, _ in pieces})


def test_what_is_held_is_counted_for_as_long_as_it_is_held(cast: Cast) -> None:
    count_use(START)
    vm = made_vm(cast)
    made_volume(cast)
    count_use(START + timedelta(minutes=30))
    expected = {"max_vms": 0.5, "max_vcpus": 0.5, "max_ram_mib": 64.0, "max_disk_gib": 0.5, "max_volumes": 0.5, "max_volume_gib": 1.0}  # fmt: skip
    assert hours(cast.payments) == expected
    count_use(START + timedelta(minutes=30))
    count_use(START)
    assert hours(cast.payments) == expected, "twice at once, or backwards, counts once"
    vm.delete()
    count_use(START + timedelta(minutes=45))
    assert hours(cast.payments)["max_vcpus"] == 0.5 and hours(cast.payments)["max_volume_gib"] == 1.5
    assert hours(cast.search) == {}


def test_snapshots_and_floating_addresses_are_counted_and_priced(cast: Cast) -> None:
    count_use(START)
    vm = made_vm(cast)
    made_snapshot(vm), made_snapshot(vm, "later")
    allocate_floating(cast.payments, cast.external)
    count_use(START + timedelta(hours=1))
    held = hours(cast.payments)
    assert (held["snapshot_gib"], held["floating_addresses"], held["max_disk_gib"]) == (2.0, 1.0, 1.0)
    form = {"currency": "EUR", "snapshot_gib": "0.5", "floating_addresses": "0.25"}
    assert client_of(cast.olga).post(reverse("all_usage"), form).status_code == 302
    page = client_of(cast.charlie).get(reverse("team_usage") + "?month=2026-11").content.decode()
    assert "1.25 EUR" in page and "Snapshots, GiB × hours" in page and "Floating addresses × hours" in page
    file = client_of(cast.charlie).get(reverse("team_usage") + "?month=2026-11&form=csv").content.decode()
    rows = {row["resource"]: row for row in csv.DictReader(io.StringIO(file))}
    assert (rows["snapshot_gib"]["cost"], rows["floating_addresses"]["cost"]) == ("1.00", "0.25")
    assert hours(cast.search) == {}


def test_a_midnight_makes_two_days_and_a_long_pause_an_hour(cast: Cast) -> None:
    made_vm(cast)
    late = START.replace(hour=23, minute=50)
    count_use(late)
    count_use(late + timedelta(minutes=30))
    assert hours(cast.payments)["max_vms"] == pytest.approx(1 / 6, abs=1e-6)
    assert hours(cast.payments, date(2026, 11, 27))["max_vms"] == pytest.approx(1 / 3, abs=1e-6)
    count_use(late + timedelta(days=3))
    assert sum(row.hours["max_vms"] for row in UsageDay.objects.all()) == pytest.approx(1.5)


def test_a_month_is_hours_times_prices_on_the_page_as_csv_and_over_the_api(cast: Cast) -> None:
    UsageDay.objects.create(team=cast.payments, day=date(2026, 11, 3), hours={"max_vcpus": 24.0, "max_ram_mib": 3072.0})
    UsageDay.objects.create(team=cast.payments, day=date(2026, 11, 4), hours={"max_vcpus": 12.5})
    UsageDay.objects.create(team=cast.payments, day=date(2026, 10, 31), hours={"max_vcpus": 1000.0})
    asked = {"currency": "CHF", "per_hour": {"max_vcpus": "0.02", "max_ram_mib": "0.0001"}}
    assert client_of(cast.olga).put("/api/v1/prices", asked, **JSON).json()["per_hour"]["max_vcpus"] == "0.02"
    (account,) = accounts([cast.payments], date(2026, 11, 1))
    assert [line.cost for line in account.lines if line.cost] == [Decimal("0.73"), Decimal("0.31")]
    assert account.total == Decimal("1.04")
    assert account.days == ((date(2026, 11, 3), Decimal("0.79")), (date(2026, 11, 4), Decimal("0.25")))
    viewer = client_of(cast.charlie)
    page = viewer.get(reverse("team_usage") + "?month=2026-11").content.decode()
    assert "1.04 CHF" in page and "36.5" in page and "4 Nov" in page
    this_month = timezone.now().date().replace(day=1)
    assert f'"?month={this_month + timedelta(days=40):%Y-%m}"' not in viewer.get(reverse("team_usage")).content.decode()
    told = viewer.get("/api/v1/usage/month?month=2026-11").json()
    assert (Decimal(told["total"]), told["currency"], len(told["days"])) == (Decimal("1.04"), "CHF", 2)
    file = viewer.get(reverse("team_usage") + "?month=2026-11&form=csv")
    assert file.headers["Content-Disposition"] == 'attachment; filename="usage-payments-2026-11.csv"'
    rows = {row["resource"]: row for row in csv.DictReader(io.StringIO(file.content.decode()))}
    assert (rows["max_vcpus"]["hours"], rows["max_vcpus"]["cost"]) == ("36.5000", "0.73")


def test_operators_see_all_teams_and_nobody_else_sees_more_than_their_own(cast: Cast) -> None:
    UsageDay.objects.create(team=cast.search, day=date(2026, 11, 3), hours={"max_vcpus": 7.25})
    olga = client_of(cast.olga)
    page = olga.get(reverse("all_usage") + "?month=2026-11").content.decode()
    assert "Search" in page and "7.3" in page
    both = [one["team"] for one in olga.get("/api/v1/usage/all?month=2026-11").json()]
    assert both == ["payments", "search"]
    lines = olga.get(reverse("all_usage") + "?month=2026-11&form=csv").content.decode().splitlines()
    assert "2026-11,search,max_vcpus,7.2500,0,0.00,EUR" in lines
    assert client_of(cast.alice).get(reverse("all_usage")).status_code == 403
    own = client_of(cast.alice).get("/api/v1/usage/month?month=2026-11").json()
    assert own["team"] == "payments" and own["days"] == []


@pytest.mark.parametrize("price", ["-1", "NaN", "1e9", "0.123456789", "dear", "Infinity", "１"])
def test_a_price_that_is_none_is_refused_at_its_field(cast: Cast, price: str) -> None:
    body = {"currency": "E1", "per_hour": {"max_vms": price, "beer": "1"}}
    answer = client_of(cast.olga).put("/api/v1/prices", body, **JSON)
    assert answer.status_code == 422 and set(answer.json()["errors"]) == {"currency", "max_vms", "beer"}
    form = client_of(cast.olga).post(reverse("all_usage"), {"currency": "EUR", "max_vms": price})
    assert form.status_code == 422 and not AuditRow.objects.filter(action="price.change").exists()


def test_prices_are_changed_by_form_and_audited_and_a_wrong_month_is_told(cast: Cast) -> None:
    form = {"currency": "EUR", "max_vms": "1.50", "max_vcpus": ""}
    assert client_of(cast.olga).post(reverse("all_usage"), form).status_code == 302
    row = AuditRow.objects.get(action="price.change")
    assert (row.actor, row.after) == ("olga", {"currency": "EUR", "max_vms": "1.50"})
    assert change_prices(cast.olga, "EUR", {}).per_hour == {}
    assert month_of("", date(2026, 11, 26)) == date(2026, 11, 1)
    for wrong in ("2026-13", "now", "2026-11-01-01"):
        answer = client_of(cast.alice).get(f"/api/v1/usage/month?month={wrong}")
        assert answer.status_code == 422 and list(answer.json()["errors"]) == ["month"]
        assert client_of(cast.alice).get(reverse("team_usage") + f"?month={wrong}").status_code == 422
