"""Which time zone a page shows times in: the person's, else the browser's; the API tells UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import AuditRow
from portal.accounts.zones import COOKIE, zone_names
from portal.traces.instants import read_instant
from tests.cast import Cast, make_cast
from tests.portal.clients import client_of, made_vm

pytestmark = pytest.mark.django_db
NEPAL = "Asia/Kathmandu"  # 5 h 45 min east: no digit of its clock is UTC's


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def _in_nepal(cast: Cast) -> Client:
    cast.alice.time_zone = NEPAL
    cast.alice.save()
    return client_of(cast.alice)


def _page(client: Client, url: str = "activity") -> str:
    return client.get(reverse(url)).content.decode()


def test_times_are_shown_in_the_chosen_zone_which_is_named(cast: Cast) -> None:
    made_vm(cast)
    client = client_of(cast.alice)
    client.post(reverse("time_zone"), {"time_zone": NEPAL})
    row = AuditRow.objects.get(action="person.time_zone")
    assert (row.before, row.after) == ({"time_zone": ""}, {"time_zone": NEPAL})
    page = _page(client, "sessions")
    assert f'data-zone="{NEPAL}"' in page
    assert f"Every time on the pages is in {NEPAL}" in page
    assert f"<option selected>{NEPAL}</option>" in page


def test_a_feed_tells_hours_and_days_of_the_zone(cast: Cast) -> None:
    client = _in_nepal(cast)
    reply = client.post(reverse("member_add"), {"username": "dana", "role": "member"})
    assert reply.status_code == 302
    row = AuditRow.objects.filter(team_id=cast.payments.pk).latest("pk")
    there = row.at.astimezone(ZoneInfo(NEPAL))
    page = _page(client)
    assert f'+05:45">{there:%H:%M}</time>' in page
    assert f"{there.day} {there:%B}" in page


def test_who_has_chosen_none_is_shown_the_browser_s(cast: Cast) -> None:
    client = client_of(cast.alice)
    client.cookies[COOKIE] = "America/St_Johns"
    assert 'data-zone="America/St_Johns"' in _page(client)
    chosen = _in_nepal(cast)
    chosen.cookies[COOKIE] = "America/St_Johns"
    assert f'data-zone="{NEPAL}"' in _page(chosen)


@pytest.mark.parametrize("told", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "a\x00b", "Etc/GMT+12"])
def test_a_zone_that_is_none_is_not_shown(cast: Cast, told: str) -> None:
    client = client_of(cast.alice)
    client.cookies[COOKIE] = quote(told)
    assert 'data-zone="UTC"' in _page(client)
    answer = client.post(reverse("time_zone"), {"time_zone": told or "Nowhere"})
    assert answer.status_code == 422
    assert answer.content.decode().startswith("time_zone: ")


def test_a_choice_can_be_taken_back(cast: Cast) -> None:
    client = _in_nepal(cast)
    assert client.post(reverse("time_zone"), {"time_zone": ""}).status_code == 302
    assert 'data-zone="UTC"' in _page(client)


def test_a_zone_of_one_request_is_not_the_next_ones(cast: Cast) -> None:
    assert f'data-zone="{NEPAL}"' in _page(_in_nepal(cast))
    assert 'data-zone="UTC"' in _page(client_of(cast.bob))


def test_the_api_tells_utc_to_everybody(cast: Cast) -> None:
    vm = made_vm(cast)
    told = _in_nepal(cast).get(f"/api/v1/vms/{vm.uuid}").json()["created_at"]
    assert abs(datetime.fromisoformat(told) - vm.created_at) < timedelta(milliseconds=1)
    assert datetime.fromisoformat(told).utcoffset() == UTC.utcoffset(None)


def test_a_typed_time_is_of_the_zone_that_the_page_shows() -> None:
    with timezone.override(ZoneInfo(NEPAL)):
        assert read_instant("2026-11-26 05:45") == (datetime(2026, 11, 26, tzinfo=UTC), "")
    assert read_instant("2026-11-26 05:45") == (datetime(2026, 11, 26, 5, 45, tzinfo=UTC), "")


def test_no_template_says_a_zone_beside_a_time_of_its_own() -> None:
    told = [
        path.name for path in settings.BASE_DIR.glob("portal/**/templates/**/*.html") if "}} UTC" in path.read_text()
    ]
    assert told == []
    assert "Europe/Berlin" in zone_names()
