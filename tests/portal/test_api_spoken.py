"""The API speaks English to programs, and the page's language to islands, which name it in a header."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from portal.drops.models import DropCounter
from sdn.model.cookie import CauseKind
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm

RUSSIAN: dict[str, Any] = {"headers": {"Hopsight-Language": "ru"}}

pytestmark = pytest.mark.django_db


def test_a_reason_is_told_in_the_language_that_is_asked_for(cast: Cast) -> None:
    port = made_vm(cast).ports.get()
    row = {"host": made_host(), "kind": CauseKind.PORT, "row_id": port.pk, "port": port, "reason": "ingress_denied"}
    DropCounter.objects.create(**row, packets=3, bytes=300, last_at=timezone.now())
    client, url = client_of(cast.bob), f"/api/v1/ports/{port.uuid}/drops"
    english, russian = client.get(url), client.get(url, **RUSSIAN)
    assert english.json()["reasons"][0]["words"] == "No ingress rule allows it"
    assert russian.json()["reasons"][0]["words"] == "Его не разрешает ни одно входящее правило"
    assert russian.json()["reasons"][0]["packets"] == 3
    assert russian.headers["Content-Language"] == "ru" and english.headers["ETag"] != russian.headers["ETag"]


def test_the_palette_is_searched_in_both_languages(cast: Cast) -> None:
    client = client_of(cast.bob)
    for asked in ("виртуальные", "servers"):
        found = client.get("/api/v1/search", {"q": asked}, **RUSSIAN).json()
        assert [(one["kind"], one["title"]) for one in found] == [("Страница", "Виртуальные машины")]
    assert client.get("/api/v1/search", {"q": "servers"}).json()[0]["title"] == "Virtual machines"


def test_a_browser_that_speaks_russian_is_no_reason_to_answer_in_it(cast: Cast) -> None:
    found = client_of(cast.bob).get("/api/v1/search", {"q": "servers"}, headers={"Accept-Language": "ru"}).json()
    assert found[0]["title"] == "Virtual machines"


def test_a_language_that_nobody_translated_is_refused_with_those_that_are_there(cast: Cast) -> None:
    answer = client_of(cast.bob).get("/api/v1/search", headers={"Hopsight-Language": "tlh"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == {"Hopsight-Language": ["“tlh” was given; en, ru are allowed"]}


def test_what_changes_something_is_answered_in_english(cast: Cast) -> None:
    answer = client_of(cast.bob).post("/api/v1/networks", {}, content_type="application/json", **RUSSIAN)
    assert answer.status_code == 422 and "Content-Language" not in answer.headers
