"""Which language a page speaks: the person's, else the cookie's, else the browser's; the API speaks English."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from portal.accounts.models import AuditRow
from tests.cast import Cast, make_cast
from tests.portal.clients import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def _page(client: Client, url: str = "vm_list", **headers: str) -> str:
    return client.get(reverse(url), **headers).content.decode()


def test_the_log_in_page_speaks_what_the_browser_asks_for() -> None:
    page = _page(Client(), "login", HTTP_ACCEPT_LANGUAGE="ru-RU,ru;q=0.9,en;q=0.5")
    assert '<html lang="ru">' in page
    assert "Пароль" in page
    assert "Password" in _page(Client(), "login", HTTP_ACCEPT_LANGUAGE="de")


def test_a_person_is_spoken_to_in_the_chosen_language_on_every_machine(cast: Cast) -> None:
    answer = client_of(cast.alice).post(
        reverse("language"), {"language": "ru"}, HTTP_REFERER="http://testserver/networks/?all"
    )
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://testserver/networks/?all")
    elsewhere = _page(client_of(cast.alice), HTTP_ACCEPT_LANGUAGE="en")
    assert '<html lang="ru"' in elsewhere
    assert "Виртуальные машины" in elsewhere
    assert "Virtual machines" in _page(client_of(cast.bob), HTTP_ACCEPT_LANGUAGE="en")
    assert AuditRow.objects.get(action="person.language").after == {"language": "ru"}


def test_who_is_not_logged_in_is_remembered_by_a_cookie() -> None:
    client = Client(HTTP_ACCEPT_LANGUAGE="en")
    client.post(reverse("language"), {"language": "ru"})
    assert "Войти" in _page(client, "login")


def test_a_language_that_is_not_there_is_refused_with_those_that_are(cast: Cast) -> None:
    answer = client_of(cast.alice).post(reverse("language"), {"language": "de"})
    assert (answer.status_code, answer.content.decode()) == (422, "language: “de” was given; en, ru are there")


@pytest.mark.parametrize("given", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_the_way_back_leads_nowhere_else(cast: Cast, given: str) -> None:
    answer = client_of(cast.alice).post(reverse("language"), {"language": "ru"}, HTTP_REFERER=given)
    assert answer.headers["Location"] == reverse("dashboard")


def test_the_api_speaks_english_to_everybody(cast: Cast) -> None:
    cast.alice.language = "ru"
    cast.alice.save()
    answer = client_of(cast.alice).post("/api/v1/vms", {}, content_type="application/json", HTTP_ACCEPT_LANGUAGE="ru")
    assert not any("а" <= letter <= "я" for letter in answer.content.decode().lower())
    assert answer.json()["title"] == "The request does not have the right form"


def test_a_language_of_one_request_is_not_the_next_ones(cast: Cast) -> None:
    assert "Пароль" in _page(Client(), "login", HTTP_ACCEPT_LANGUAGE="ru")
    assert "Password" in _page(Client(), "login")
