"""A program is let in by its person's browser: one pair of codes, one answer, one token, and nothing by a link alone.

[program] asks, shows BCDF-GHJK and polls  ->  [person] types it, sees who asks, agrees  ->  [program] fetches one token
"""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from portal.accounts.device import LETTERS, MAX_ASKED
from portal.accounts.models import ApiToken, AuditRow
from tests.cast import Cast
from tests.portal.clients import client_of

ADDRESSES = (f"198.51.{high}.{low}" for high in range(100, 120) for low in range(1, 250))
JSON: dict[str, Any] = {"content_type": "application/json"}


def asked(**body: Any) -> dict[str, Any]:
    """The codes that a program at an address of its own got."""
    answer = Client().post(
        "/api/v1/log-ins", {"name": "hopsight on a laptop", **body}, **JSON, REMOTE_ADDR=next(ADDRESSES)
    )
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def fetched(codes: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = Client().post("/api/v1/log-ins/token", {"device_code": codes["device_code"]}, **JSON).json()
    return found


def test_the_person_sees_who_asks_and_agrees_and_the_program_gets_one_token(cast: Cast) -> None:
    codes, browser = asked(), client_of(cast.bob)
    assert fetched(codes)["state"] == "pending"
    page = browser.post(reverse("device"), {"code": codes["code"].lower().replace("-", " ")}).content.decode()
    assert "Let “hopsight on a laptop” in as bob?" in page and codes["code"] in page and "198.51." in page
    assert fetched(codes)["state"] == "pending", "looking is not agreeing"
    browser.post(reverse("device"), {"code": codes["code"], "word": "agree"})
    got = fetched(codes)
    assert (got["state"], got["username"]) == ("agreed", "bob")
    me = Client().get("/api/v1/me", headers={"Authorization": f"Bearer {got['token']}"}).json()
    assert me["username"] == "bob" and me["token"]["name"] == "hopsight on a laptop"
    assert me["teams"] == [{"slug": "payments", "name": "Payments", "role": "member"}]
    assert fetched(codes) == {"state": "expired", "token": None, "username": None}
    assert ApiToken.objects.count() == 1


def test_a_link_that_brings_the_code_does_nothing_by_itself(cast: Cast) -> None:
    codes = asked()
    page = client_of(cast.bob).get(codes["page"].removeprefix("http://testserver")).content.decode()
    assert f'value="{codes["code"]}"' in page
    assert fetched(codes)["state"] == "pending"


def test_a_program_that_is_turned_away_gets_nothing_and_the_audit_knows(cast: Cast) -> None:
    codes, browser = asked(), client_of(cast.bob)
    browser.post(reverse("device"), {"code": codes["code"], "word": "deny"})
    assert fetched(codes) == {"state": "denied", "token": None, "username": None}
    assert ApiToken.objects.count() == 0 and AuditRow.objects.filter(action="device.deny").exists()
    again = browser.post(reverse("device"), {"code": codes["code"], "word": "agree"})
    assert again.status_code == 422 and "no program waits" in again.content.decode()


def test_an_agreement_of_somebody_who_may_log_in_no_more_is_void(cast: Cast) -> None:
    codes = asked()
    client_of(cast.bob).post(reverse("device"), {"code": codes["code"], "word": "agree"})
    type(cast.bob).objects.filter(pk=cast.bob.pk).update(is_active=False)
    assert fetched(codes)["state"] == "denied"


def test_a_reading_log_in_gives_a_token_that_only_reads(cast: Cast) -> None:
    codes = asked(can_write=False)
    client_of(cast.bob).post(reverse("device"), {"code": codes["code"], "word": "agree"})
    headers = {"Authorization": f"Bearer {fetched(codes)['token']}"}
    refused = Client().post("/api/v1/keys", {"public_key": "x"}, **JSON, headers=headers)
    assert refused.status_code == 403 and "may only read" in refused.json()["title"]
    assert Client().delete("/api/v1/me/token", headers=headers).status_code == 204, "it may end itself"


def test_a_token_ends_itself(cast: Cast) -> None:
    codes = asked()
    client_of(cast.bob).post(reverse("device"), {"code": codes["code"], "word": "agree"})
    headers = {"Authorization": f"Bearer {fetched(codes)['token']}"}
    assert Client().delete("/api/v1/me/token", headers=headers).status_code == 204
    assert Client().get("/api/v1/me", headers=headers).status_code == 401


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "bell\u0007"])
def test_a_program_gives_a_name_that_a_person_can_read(cast: Cast, name: str) -> None:
    answer = Client().post("/api/v1/log-ins", {"name": name}, **JSON, REMOTE_ADDR=next(ADDRESSES))
    assert answer.status_code == 422 and "name" in answer.json()["errors"]


def test_codes_cannot_be_tried_out_nor_asked_for_without_end(cast: Cast) -> None:
    browser, numbers = client_of(cast.dana), count()
    words = ""
    for _ in range(MAX_ASKED + 1):
        guess = "".join(LETTERS[(next(numbers) + place) % len(LETTERS)] for place in range(8))
        words = browser.post(reverse("device"), {"code": guess}).content.decode()
    assert "too many codes were typed" in words
    answers = [Client().post("/api/v1/log-ins", {}, **JSON, REMOTE_ADDR="203.0.113.200") for _ in range(MAX_ASKED + 1)]
    assert [one.status_code for one in answers] == [201] * MAX_ASKED + [422]


def test_traces_are_listed_newest_first_and_by_state(cast: Cast) -> None:
    from tests.portal.clients import made_trace

    first = made_trace(cast)
    second = made_trace(cast, state="done", result={"verdict": "dropped", "reason": "no rule allows this"})
    client = client_of(cast.charlie)
    listed = client.get("/api/v1/traces").json()["items"]
    assert [row["uuid"] for row in listed] == [str(second.uuid), str(first.uuid)]
    assert (listed[0]["verdict"], listed[0]["reason"]) == ("dropped", "no rule allows this")
    assert len(client.get("/api/v1/traces?state=done").json()["items"]) == 1
    assert "state" in client.get("/api/v1/traces?state=nice").json()["errors"]
    assert client_of(cast.dana).get("/api/v1/traces").json()["items"] == []
