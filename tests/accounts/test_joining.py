"""Somebody invited who has no log-in: the link leads to a form that makes one, joins and logs in, once."""

from __future__ import annotations

import html

import pytest
from django.test import Client
from django.urls import reverse

from portal.accounts.models import AuditRow, Invitation, Membership, User
from portal.accounts.teams import invite
from tests.cast import Cast

PASSWORD = "a horse without a battery"


@pytest.fixture
def link(cast: Cast) -> str:
    return reverse("invitation", args=[invite(cast.payments, cast.alice, "member", 7)[1]])


def page_of(client: Client, url: str, status: int = 200) -> str:
    answer = client.get(url)
    assert answer.status_code == status
    return html.unescape(answer.content.decode())


def make(client: Client, link: str, **typed: str) -> tuple[int, str]:
    asked = {"username": "erin", "password": PASSWORD, "again": PASSWORD} | typed
    answer = client.post(f"{link}new/", asked)
    return answer.status_code, html.unescape(answer.content.decode())


def test_a_stranger_is_told_who_invites_and_gets_a_log_in_in_that_team(link: str) -> None:
    client = Client()
    to_log_in = client.get(link).headers["Location"]
    told = page_of(client, to_log_in)
    assert "alice invites you to Payments as member. Log in to join." in told
    assert f'href="{link}new/"' in told
    assert "Join Payments" in page_of(client, f"{link}new/")
    assert make(client, link)[0] == 302
    assert "You are in Payments now." in page_of(client, reverse("dashboard"))
    erin = User.objects.get(username="erin")
    assert list(erin.memberships.values_list("team__slug", "role")) == [("payments", "member")]
    assert erin.check_password(PASSWORD) and not erin.is_operator and not erin.is_staff
    assert {"person.join", "member.join", "session.start"} <= set(
        AuditRow.objects.filter(actor="erin").values_list("action", flat=True)
    )


def test_a_link_makes_one_log_in_and_is_told_to_nobody_else(link: str) -> None:
    assert make(Client(), link)[0] == 302
    status, told = make(Client(), link, username="mallory")
    assert (status, "This link was used" in told) == (404, True)
    assert not User.objects.filter(username="mallory").exists()
    told = page_of(Client(), f"{reverse('login')}?next={link}")
    assert "invites you" not in told and "This link was used" in told
    page_of(Client(), f"{reverse('invitation', args=['x' * 43])}new/", 404)


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("username", {"username": "Alice"}, "“Alice” is a log-in here already"),
        ("username", {"username": "alice"}, "“alice” is a log-in here already"),
        ("username", {"username": "deploy@payments"}, "a log-in is 1 to 40 of a-z"),
        ("password", {"password": "short", "again": "short"}, "at least 12 characters"),
        ("again", {"again": "another horse, no battery"}, "type the same twice"),
    ],
)
def test_what_cannot_be_is_told_by_its_field_and_the_link_still_works(
    link: str, field: str, typed: dict[str, str], words: str
) -> None:
    people = User.objects.count()
    status, told = make(Client(), link, **typed)
    assert (status, words in told, told.count('aria-invalid="true"')) == (422, True, 1)
    assert PASSWORD not in told
    assert User.objects.count() == people
    assert Invitation.objects.get().used_at is None


def test_every_wrong_field_is_told_at_once(link: str) -> None:
    status, told = make(Client(), link, username="", password="x", again="y")
    assert (status, told.count('aria-invalid="true"')) == (422, 3)


def test_who_is_logged_in_takes_the_link_by_the_log_in_that_is_there(cast: Cast, link: str) -> None:
    client = Client()
    client.force_login(cast.dana)
    assert client.get(f"{link}new/").headers["Location"] == link
    assert make(client, link)[0] == 302
    assert not Membership.objects.filter(user=cast.dana, team=cast.payments).exists()


def test_an_installation_can_keep_links_for_those_who_have_a_log_in(link: str, settings) -> None:  # type: ignore[no-untyped-def]
    settings.INVITED_PEOPLE = False
    told = page_of(Client(), f"{reverse('login')}?next={link}")
    assert "invites you" in told and f"{link}new/" not in told
    assert make(Client(), link)[0] == 404
