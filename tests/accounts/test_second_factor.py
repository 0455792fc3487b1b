"""A second factor is set up, asked for, stands in by recovery codes, and is demanded of teams and operators."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from portal.accounts.factors import forget_factors, missing
from portal.accounts.models import AuditRow, LogIn
from portal.accounts.tokens import make_token
from portal.console.access import Refused, access_of
from portal.console.wire import Kind
from portal.live.topics import refusal_of
from tests.accounts.factors import code_of, confirmed, fresh_code, logged_in, set_up, with_password
from tests.cast import Cast
from tests.portal.clients import client_of, made_vm


@pytest.fixture(autouse=True)
def _fresh_limits(redis_server: str) -> Any:
    cache.clear()
    yield
    cache.clear()  # the operators' policy is remembered there


def is_in(client: Client) -> bool:
    return client.get(reverse("keys")).status_code == 200


def test_the_codes_are_those_of_rfc_6238() -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # appendix B's "12345678901234567890"
    assert [code_of(secret, at) for at in (59, 1111111109, 2000000000)] == ["287082", "081804", "279037"]


def test_an_app_is_set_up_and_its_code_is_asked_for_after_the_password(cast: Cast) -> None:
    bob = with_password(cast.bob)
    first = confirmed(logged_in(bob))
    secret = set_up(first)
    assert AuditRow.objects.filter(action="factor.add", actor="bob", object_name="authenticator app of bob").exists()
    assert secret not in str(Authenticator.objects.values_list("data")), "it lies sealed"

    client = logged_in(bob)
    assert not is_in(client), "the password alone does not let in"
    assert client.post(reverse("mfa_authenticate"), {"code": "000000"}).status_code == 200
    assert not is_in(client)
    assert AuditRow.objects.filter(action="factor.fail", object_name="bob").exists()
    code = fresh_code(secret)
    client.post(reverse("mfa_authenticate"), {"code": code})
    assert is_in(client)
    assert LogIn.objects.filter(user=bob, method="password, authenticator app").exists()

    replay = logged_in(bob)
    replay.post(reverse("mfa_authenticate"), {"code": code})
    assert not is_in(replay), "a code works once"


def test_a_recovery_code_lets_in_once(cast: Cast) -> None:
    bob = with_password(cast.bob)
    owner = confirmed(logged_in(bob))
    set_up(owner)
    codes = owner.get(reverse("mfa_view_recovery_codes")).context["unused_codes"]
    assert len(codes) == 10
    for expected in (True, False):
        client = logged_in(bob)
        client.post(reverse("mfa_authenticate"), {"code": codes[0]})
        assert is_in(client) is expected
    assert b"9 of 10 left" in owner.get(reverse("mfa_view_recovery_codes")).content
    owner.post(reverse("mfa_generate_recovery_codes"))
    fresh = owner.get(reverse("mfa_view_recovery_codes")).context["unused_codes"]
    assert not set(fresh) & set(codes)


def test_what_lets_one_in_is_changed_only_by_who_showed_the_password_just_now(cast: Cast) -> None:
    client = logged_in(with_password(cast.bob))
    for name in ("mfa_activate_totp", "mfa_add_webauthn", "mfa_generate_recovery_codes"):
        for answer in (client.get(reverse(name)), client.post(reverse(name), {"code": "1"})):
            assert answer.status_code == 302 and answer.url.startswith(reverse("account_reauthenticate")), name
    wrong = client.post(reverse("account_reauthenticate"), {"password": "not it"})
    assert "That is not your password." in wrong.content.decode()
    assert not Authenticator.objects.exists()


def test_codes_cannot_be_tried_without_end(cast: Cast) -> None:
    bob = with_password(cast.bob)
    set_up(confirmed(logged_in(bob)))
    client, words = logged_in(bob), ""
    for guess in range(12):
        words = client.post(reverse("mfa_authenticate"), {"code": f"{guess:06}"}).content.decode()
    assert "Too many wrong answers: wait five minutes." in words


def test_a_team_that_asks_for_a_factor_lets_nobody_in_who_has_none(cast: Cast) -> None:
    bob = with_password(cast.bob)
    _, secret = make_token(bob, "ci", True, 30)
    client, api = confirmed(logged_in(bob)), Client(headers={"Authorization": f"Bearer {secret}"})
    vm = made_vm(cast)
    answer = client_of(cast.olga).put("/api/v1/access-policy", {"teams": ["payments"]}, content_type="application/json")
    assert answer.json() == {"operators": False, "teams": ["payments"]}

    assert client.get(reverse("vm_list")).url == reverse("mfa_index")
    page = client.get(reverse("mfa_index")).content.decode()
    assert "asked of you by the team Payments" in page
    for refused in (client.get("/api/v1/vms"), api.get("/api/v1/vms"), api.get("/api/v1/me")):
        assert refused.status_code == 403
        assert refused.json()["title"].startswith("The team Payments asks for a second factor")
    assert refusal_of(bob, "team:payments") == "no topic team:payments for you"
    refused_console = access_of(bob.pk, client.session.session_key, vm.uuid, Kind.SERIAL)
    assert isinstance(refused_console, Refused) and "asks for a second factor" in refused_console.words
    assert client_of(cast.dana).get("/api/v1/vms").status_code == 200, "another team's people are not asked"

    set_up(client)
    assert client.get(reverse("vm_list")).status_code == 200
    assert api.get("/api/v1/vms").status_code == 200
    assert not refusal_of(bob, "team:payments")
    assert "must keep a second factor" in client.get(reverse("mfa_deactivate_totp")).content.decode()
    client.post(reverse("mfa_deactivate_totp"))
    assert not missing(bob), "the last factor stays"


def test_operators_ask_it_of_themselves_only_with_one_of_their_own(cast: Cast) -> None:
    olga = with_password(cast.olga)
    client = confirmed(logged_in(olga))
    refused = client.post(reverse("access_policy"), {"operators": "on"})
    assert refused.status_code == 422 and "this shuts you out" in refused.content.decode()
    set_up(client)
    assert client.post(reverse("access_policy"), {"operators": "on"}).status_code == 302
    cache.clear()  # as the commit does
    assert client.get(reverse("hosts")).status_code == 200
    cast.bob.is_operator = True
    cast.bob.save()
    assert client_of(cast.bob).get(reverse("hosts")).url == reverse("mfa_index")
    assert client_of(cast.charlie).get(reverse("vm_list")).status_code == 200


@pytest.mark.parametrize("body", [{"teams": ["nowhere"]}, {"operators": True}])
def test_a_policy_that_cannot_be_is_refused_in_words(cast: Cast, body: dict[str, Any]) -> None:
    answer = client_of(cast.olga).put("/api/v1/access-policy", body, content_type="application/json")
    assert answer.status_code == 422 and set(answer.json()["errors"]) == set(body)


def test_a_lost_phone_is_forgotten_by_the_operators_command(cast: Cast) -> None:
    bob = with_password(cast.bob)
    set_up(confirmed(logged_in(bob)))
    call_command("second_factor", "forget", "bob")
    assert is_in(logged_in(bob))
    assert AuditRow.objects.filter(action="factor.remove", actor="Hopsight").count() == 2
    assert forget_factors(bob) == 0
    with pytest.raises(CommandError, match="nobody logs in as nobody"):
        call_command("second_factor", "forget", "nobody")


def test_nothing_of_allauth_answers_but_what_is_listed(cast: Cast) -> None:
    client = client_of(cast.bob)
    for path in (
        "signup/",
        "accounts/",
        "accounts/signup/",
        "login/signup/",
        "email/",
        "password/reset/",
        "social/signup/",
    ):
        assert client.get(f"/{path}").status_code == 404, path
