"""The language and the time zone of an account, over REST: chosen, audited, and what the pages follow."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from portal.accounts.models import AuditRow
from tests.cast import Cast, make_cast
from tests.portal.clients import client_of

pytestmark = pytest.mark.django_db
ME = "/api/v1/me"


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def _chosen(client: Client, **asked: object) -> tuple[int, dict[str, object]]:
    answer = client.patch(ME, asked, content_type="application/json")
    return answer.status_code, answer.json()


def test_a_person_chooses_both_and_the_pages_follow(cast: Cast) -> None:
    client = client_of(cast.alice)
    assert [client.get(ME).json()[name] for name in ("language", "time_zone")] == ["", ""]
    code, told = _chosen(client, language="ru", time_zone="Asia/Kathmandu")
    assert (code, told["language"], told["time_zone"]) == (200, "ru", "Asia/Kathmandu")
    assert client.get(ME).json() == told
    page = client.get(reverse("vm_list")).content.decode()
    assert '<html lang="ru"' in page
    assert 'data-zone="Asia/Kathmandu"' in page


def test_what_is_not_given_stays_and_an_empty_one_is_the_browser_s(cast: Cast) -> None:
    client = client_of(cast.alice)
    _chosen(client, language="ru", time_zone="Asia/Kathmandu")
    assert _chosen(client, language="")[1]["time_zone"] == "Asia/Kathmandu"
    assert _chosen(client)[1]["language"] == ""
    page = client.get(reverse("vm_list"), HTTP_ACCEPT_LANGUAGE="en").content.decode()
    assert '<html lang="en"' in page


def test_every_wrong_field_is_told_at_once_and_nothing_is_kept(cast: Cast) -> None:
    client = client_of(cast.alice)
    code, told = _chosen(client, language="de", time_zone="Mars/Olympus")
    assert code == 422
    assert told["errors"] == {
        "language": ["“de” was given; en, ru are there, or nothing for the browser's"],
        "time_zone": [
            "“Mars/Olympus” was given; an IANA name such as Europe/Berlin is allowed, or nothing for the browser's"
        ],
    }
    assert _chosen(client, language="de", time_zone="Europe/Berlin")[0] == 422
    assert client.get(ME).json()["time_zone"] == ""
    assert not AuditRow.objects.filter(action__startswith="person.").exists()


@pytest.mark.parametrize("given", [7, None, ["ru"], "x" * 61])
def test_what_is_no_text_of_60_characters_is_refused_or_left_alone(cast: Cast, given: object) -> None:
    assert _chosen(client_of(cast.alice), language=given)[0] == (200 if given is None else 422)


def test_each_change_is_audited_once_as_on_the_page(cast: Cast) -> None:
    client = client_of(cast.alice)
    for _ in range(2):
        _chosen(client, language="ru", time_zone="Europe/Berlin")
    rows = AuditRow.objects.filter(action__startswith="person.").order_by("action")
    assert [(row.action, row.before, row.after) for row in rows] == [
        ("person.language", {"language": ""}, {"language": "ru"}),
        ("person.time_zone", {"time_zone": ""}, {"time_zone": "Europe/Berlin"}),
    ]


def test_a_stranger_is_told_to_log_in() -> None:
    assert Client().patch(ME, {"language": "ru"}, content_type="application/json").status_code == 401
