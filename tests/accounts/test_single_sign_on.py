"""People come in by an OpenID Connect provider: a real one, made here, whose tokens are signed and checked.

[browser] --302--> [provider /authorize] --302 code--> [Hopsight callback] --code, verifier--> [provider /token, /keys, /userinfo]
"""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.socialaccount.models import SocialAccount
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from portal.accounts.models import AuditRow, LogIn, User
from tests.accounts.factors import confirmed, fresh_code, logged_in, set_up, with_password
from tests.accounts.provider import CLIENT, SECRET, Provider, _key, running_provider
from tests.cast import Cast


@pytest.fixture
def provider(cast: Cast, settings: Any) -> Iterator[Provider]:
    cache.clear()
    with running_provider() as running:
        app = {"provider_id": "sso", "name": "Corp", "client_id": CLIENT, "secret": SECRET}
        app |= {"settings": {"server_url": running.url}}
        settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
        yield running


def agreed(client: Client, query: str = "") -> str:
    """The callback's path and query, as the browser brings it back from the provider."""
    begun = client.get(reverse("openid_connect_login", args=["sso"]) + query)
    assert begun.status_code == 302, begun.content
    parts = urlsplit(begun.url)
    connection = HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", f"{parts.path}?{parts.query}")
    back = urlsplit(connection.getresponse().headers["Location"])
    return f"{back.path}?{back.query}"


def by_provider(client: Client, query: str = "") -> Any:
    return client.get(agreed(client, query))


def person_of(client: Client) -> str | None:
    answer = client.get("/api/v1/me")
    return answer.json()["username"] if answer.status_code == 200 else None


def test_a_person_whom_the_provider_knows_gets_a_log_in_and_no_team(provider: Provider) -> None:
    page = Client().get(reverse("login")).content.decode()
    assert "Log in with Corp" in page
    client = Client()
    assert by_provider(client).url == reverse("dashboard")
    assert person_of(client) == "erin"
    erin = User.objects.get(username="erin")
    assert not erin.has_usable_password() and not erin.memberships.exists() and not erin.is_operator
    assert LogIn.objects.get(user=erin).method == "single sign-on"
    assert AuditRow.objects.filter(action="identity.connect", actor="erin").exists()
    provider.person |= {"preferred_username": "renamed"}
    again = Client()
    by_provider(again)
    assert person_of(again) == "erin", "who it is goes by the provider's sub, not by a name"


def test_a_name_that_is_taken_here_lets_nobody_in(provider: Provider) -> None:
    provider.person = {"sub": "u-18", "preferred_username": "Alice"}
    client = Client()
    refused = by_provider(client)
    assert refused.status_code == 403 and "is a log-in here already" in refused.content.decode()
    assert person_of(client) is None and not SocialAccount.objects.exists()


def test_an_address_that_is_somebodys_here_opens_nothing(provider: Provider, cast: Cast) -> None:
    User.objects.filter(pk=cast.alice.pk).update(email="alice@example.org")
    provider.person |= {"email": "alice@example.org", "email_verified": True}  # type: ignore[dict-item]
    client = Client()
    by_provider(client)
    assert person_of(client) == "erin"


def test_one_connects_an_identity_after_showing_the_password_and_disconnects_it(provider: Provider, cast: Cast) -> None:
    bob = with_password(cast.bob)
    client = logged_in(bob)
    assert by_provider(client, "?process=connect").url.startswith(reverse("account_reauthenticate"))
    assert not SocialAccount.objects.exists()
    client = confirmed(logged_in(bob))
    assert by_provider(client, "?process=connect").url == reverse("mfa_index")
    by_identity = Client()
    by_provider(by_identity)
    assert person_of(by_identity) == "bob"
    row = SocialAccount.objects.get()
    assert Client().post(reverse("identity_remove", args=[row.pk])).status_code == 302
    assert SocialAccount.objects.exists()
    client.post(reverse("identity_remove", args=[row.pk]))
    assert not SocialAccount.objects.exists()
    assert AuditRow.objects.filter(action="identity.disconnect", actor="bob").exists()


def test_the_last_way_in_is_not_taken_away(provider: Provider) -> None:
    client = Client()
    by_provider(client)
    page = client.post(reverse("identity_remove", args=[SocialAccount.objects.get().pk]), follow=True).content.decode()
    assert "This is your only way to log in" in page and SocialAccount.objects.exists()


def test_a_second_factor_is_asked_for_after_the_provider_too(provider: Provider, cast: Cast) -> None:
    bob = with_password(cast.bob)
    client = confirmed(logged_in(bob))
    secret = set_up(client)
    by_provider(client, "?process=connect")
    other = Client()
    assert by_provider(other).url == reverse("mfa_authenticate")
    assert person_of(other) is None
    other.post(reverse("mfa_authenticate"), {"code": fresh_code(secret)})
    assert person_of(other) == "bob"
    assert LogIn.objects.filter(method="single sign-on, authenticator app").exists()


def test_a_token_that_another_signed_or_for_another_is_not_believed(provider: Provider) -> None:
    for change in ({"signs_with": _key()}, {"audience": "somebody-else"}):
        for name, value in change.items():
            setattr(provider, name, value)
        client = Client()
        answer = by_provider(client)
        assert answer.status_code == 401 and "could not be believed" in answer.content.decode()
        assert person_of(client) is None
        provider.signs_with, provider.audience = None, CLIENT
    assert not User.objects.filter(username="erin").exists()


def test_an_answer_that_this_browser_did_not_ask_for_or_brings_twice_is_refused(provider: Provider) -> None:
    theirs = agreed(Client())
    mine = Client()
    assert mine.get(theirs).status_code == 401 and person_of(mine) is None, "log-in CSRF"
    again = Client()
    path = agreed(again)
    assert again.get(path).status_code == 302
    again.post(reverse("logout"))
    assert again.get(path).status_code == 401, "a state and a code work once"
    denied = Client()
    state = agreed(denied).partition("state=")[2]
    back = denied.get(
        reverse("openid_connect_callback", args=["sso"]) + f"?error=access_denied&state={state}", follow=True
    )
    assert "The log-in was cancelled." in back.content.decode()


def test_only_the_connected_come_in_where_new_people_are_not_wanted(provider: Provider, settings: Any) -> None:
    settings.OIDC_NEW_PEOPLE = False
    refused = by_provider(Client())
    assert refused.status_code == 403 and "Nobody here is connected with this identity" in refused.content.decode()
    assert not User.objects.filter(username="erin").exists()


def test_where_there_is_no_provider_there_is_no_page_of_one(cast: Cast) -> None:
    assert Client().get(reverse("openid_connect_login", args=["sso"])).status_code == 404
    assert "Log in with" not in Client().get(reverse("login")).content.decode().replace("Log in with a passkey", "")
