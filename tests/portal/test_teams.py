"""Members, roles, invitation links, tokens, sessions, the password and the audit of it all."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.accounts.audit import problems, record
from portal.accounts.models import ApiToken, AuditRow, Invitation, LogIn, Membership
from portal.accounts.teams import TeamProblem, accept, change_role, invite, remove_member
from portal.accounts.tokens import make_token, token_of
from tests.cast import Cast
from tests.portal.clients import client_of, form, made_vm

PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _fresh_limits() -> None:
    cache.clear()


def membership(cast: Cast, name: str) -> Membership:
    return Membership.objects.select_related("user", "team").get(user=getattr(cast, name), team=cast.payments)


def test_an_owner_adds_somebody_by_name(cast: Cast) -> None:
    answer = client_of(cast.alice).post(reverse("member_add"), {"username": " dana ", "role": "viewer"})
    assert answer.status_code == 302
    assert membership(cast, "dana").role == "viewer"
    assert AuditRow.objects.filter(action="member.add", object_name="dana", actor="alice").exists()


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"username": "nobody", "role": "viewer"}, "username", "nobody logs in by that name"),
        ({"username": "", "role": "viewer"}, "username", "“nothing” was given"),
        ({"username": "bob", "role": "viewer"}, "username", "is in Payments already, as member"),
        ({"username": "dana", "role": "king"}, "role", "owner, member, viewer are allowed"),
    ],
)
def test_a_wrong_member_is_refused_in_words(cast: Cast, given: dict[str, str], field: str, words: str) -> None:
    answer = client_of(cast.alice).post(reverse("member_add"), given)
    assert answer.status_code == 422
    assert words in answer.context["errors"][field][0]


def test_the_last_owner_can_neither_leave_nor_step_down(cast: Cast) -> None:
    row = membership(cast, "alice")
    for answer in (
        client_of(cast.alice).post(reverse("member_remove", args=[row.pk])),
        client_of(cast.alice).post(reverse("member_role", args=[row.pk]), {"role": "viewer"}),
    ):
        assert answer.status_code == 422
        assert "alice is the last owner of Payments" in answer.content.decode()
    change_role(membership(cast, "bob"), cast.alice, "owner")
    remove_member(membership(cast, "alice"), cast.alice)
    with pytest.raises(TeamProblem):
        remove_member(membership(cast, "bob"), cast.bob)


def test_a_viewer_leaves_but_removes_nobody(cast: Cast) -> None:
    client = client_of(cast.charlie)
    assert client.post(reverse("member_remove", args=[membership(cast, "bob").pk])).status_code == 403
    assert client.post(reverse("member_remove", args=[membership(cast, "charlie").pk])).status_code == 302
    assert client.get(reverse("vm_list")).status_code == 403


def test_an_owner_of_one_team_changes_no_other_team(cast: Cast) -> None:
    row = membership(cast, "bob")
    client = client_of(cast.dana)
    assert client.post(reverse("member_role", args=[row.pk]), {"role": "owner"}).status_code == 404
    assert client.post(reverse("member_remove", args=[row.pk])).status_code == 404
    assert membership(cast, "bob").role == "member"


def test_a_link_lets_one_person_in_once(cast: Cast) -> None:
    page = client_of(cast.alice).post(reverse("invite"), {"role": "member", "days": "7"})
    link = page.context["link"]
    path = link.removeprefix("http://testserver")
    assert link.rsplit("/", 2)[1] not in str(Invitation.objects.values_list())
    dana = client_of(cast.dana)
    assert "Join Payments?" in dana.get(path).content.decode()
    assert not Membership.objects.filter(user=cast.dana, team=cast.payments).exists()
    assert dana.post(path).status_code == 302
    assert membership(cast, "dana").role == "member"
    assert client_of(cast.olga).get(path).status_code == 404
    assert client_of(cast.olga).post(path).status_code == 422
    assert not Membership.objects.filter(user=cast.olga).exists()


def test_a_link_that_is_too_old_or_was_ended_lets_nobody_in(cast: Cast) -> None:
    row, secret = invite(cast.payments, cast.alice, "owner", 1)
    Invitation.objects.filter(pk=row.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(TeamProblem, match="too old"):
        accept(secret, cast.dana)
    row, secret = invite(cast.payments, cast.alice, "owner", 1)
    client_of(cast.alice).post(reverse("invite_end", args=[row.pk]))
    with pytest.raises(TeamProblem):
        accept(secret, cast.dana)


def test_a_link_used_by_a_member_is_not_spent(cast: Cast) -> None:
    _, secret = invite(cast.payments, cast.alice, "owner", 1)
    with pytest.raises(TeamProblem, match="in Payments already"):
        accept(secret, cast.bob)
    assert membership(cast, "bob").role == "member"
    assert accept(secret, cast.dana) == cast.payments


def bearer(secret: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {secret}"}


def test_a_token_acts_as_its_person_within_its_scope(cast: Cast) -> None:
    _, reads = make_token(cast.bob, "prometheus", False, 30)
    _, writes = make_token(cast.bob, "ci", True, 30)
    client = Client(enforce_csrf_checks=True)
    assert client.get("/api/v1/vms", **bearer(reads)).json() == {"items": [], "next": None}
    refused = client.post("/api/v1/vms", form(), content_type="application/json", **bearer(reads))
    assert refused.status_code == 403 and "may only read" in refused.json()["title"]
    assert client.post("/api/v1/vms", form(), content_type="application/json", **bearer(writes)).status_code == 202
    assert client.get("/api/v1/hosts", **bearer(writes)).status_code == 403
    assert ApiToken.objects.get(name="ci").last_used_at is not None


def test_a_token_opens_no_page_and_no_session(cast: Cast) -> None:
    _, secret = make_token(cast.bob, "ci", True, 30)
    client = Client()
    client.get("/api/v1/vms", **bearer(secret))
    assert "sessionid" not in client.cookies
    assert client.get(reverse("dashboard"), **bearer(secret)).status_code == 302


@pytest.mark.parametrize("forged", ["", "hst_", "hst_" + "A" * 43, "x" * 10_000, "ünï"])
def test_a_forged_ended_or_deleted_token_is_401(cast: Cast, forged: str) -> None:
    row, secret = make_token(cast.bob, "ci", True, 30)
    client = Client()
    assert client.get("/api/v1/vms", **bearer(forged)).status_code == 401
    ApiToken.objects.filter(pk=row.pk).update(expires_at=timezone.now())
    assert client.get("/api/v1/vms", **bearer(secret)).status_code == 401
    ApiToken.objects.filter(pk=row.pk).update(expires_at=timezone.now() + timedelta(days=1))
    assert client.get("/api/v1/vms", **bearer(secret)).status_code == 200
    cast.bob.is_active = False
    cast.bob.save()
    assert client.get("/api/v1/vms", **bearer(secret)).status_code == 401


def test_a_tokens_secret_is_shown_once_and_kept_nowhere(cast: Cast) -> None:
    client = client_of(cast.bob)
    page = client.post(reverse("tokens"), {"name": "ci", "scopes": ["read"], "days": "30"})
    secret = page.context["secret"]
    assert token_of(secret) is not None and secret in page.content.decode()
    assert secret not in client.get(reverse("tokens")).content.decode()
    assert secret[8:] not in str(ApiToken.objects.values_list()) + str(AuditRow.objects.values_list())


@pytest.mark.parametrize(
    ("field", "value"), [("name", ""), ("name", "x" * 61), ("days", "0"), ("days", "10000"), ("days", "x")]
)
def test_a_wrong_token_is_refused_with_the_field(cast: Cast, field: str, value: str) -> None:
    given = {"name": "ci", "scopes": ["read"], "days": "30"} | {field: value}
    answer = client_of(cast.bob).post(reverse("tokens"), given)
    assert answer.status_code == 422 and "allowed" in answer.context["errors"][field][0]
    assert not ApiToken.objects.exists()


def test_the_team_of_a_token_is_named_by_a_header(cast: Cast) -> None:
    Membership.objects.create(user=cast.bob, team=cast.search, role="viewer")
    made_vm(cast)
    _, secret = make_token(cast.bob, "ci", False, 30)
    client = Client()
    seen = {
        team: client.get("/api/v1/vms", HTTP_HOPSIGHT_TEAM=team, **bearer(secret))
        for team in ("payments", "search", "x")
    }
    assert len(seen["payments"].json()["items"]) == 1
    assert seen["search"].json()["items"] == []
    assert seen["x"].status_code == 404


def logged_in(cast: Cast, agent: str) -> Client:
    client = Client(HTTP_USER_AGENT=agent)
    assert client.post(reverse("login"), {"username": "bob", "password": PASSWORD}).status_code == 302
    return client


@pytest.fixture
def bob_with_password(cast: Cast) -> Cast:
    cast.bob.set_password(PASSWORD)
    cast.bob.save()
    return cast


def test_a_person_sees_their_sessions_and_ends_one(bob_with_password: Cast) -> None:
    here, there = logged_in(bob_with_password, "Laptop"), logged_in(bob_with_password, "Phone")
    page = here.get(reverse("sessions")).content.decode()
    assert "Laptop" in page and "Phone" in page and "this one" in page
    phone = LogIn.objects.get(agent="Phone")
    assert client_of(bob_with_password.dana).post(reverse("session_end", args=[phone.pk])).status_code == 404
    here.post(reverse("session_end", args=[phone.pk]))
    assert there.get(reverse("vm_list")).status_code == 302
    assert here.get(reverse("vm_list")).status_code == 200


def test_a_changed_password_ends_every_other_session(bob_with_password: Cast) -> None:
    here, there = logged_in(bob_with_password, "Laptop"), logged_in(bob_with_password, "Phone")
    new = "another long passphrase"
    given = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert here.post(reverse("password"), {**given, "old_password": "wrong"}).status_code == 422
    assert (
        here.post(reverse("password"), {**given, "new_password1": "short", "new_password2": "short"}).status_code == 422
    )
    assert here.post(reverse("password"), given).status_code == 302
    assert here.get(reverse("sessions")).status_code == 200
    assert "Laptop" in here.get(reverse("sessions")).content.decode()
    assert there.get(reverse("vm_list")).status_code == 302


def test_guessing_is_stopped_by_address_and_by_name(bob_with_password: Cast) -> None:
    for number in range(10):
        answer = Client(REMOTE_ADDR=f"192.0.2.{number}").post(reverse("login"), {"username": "bob", "password": "x"})
        assert answer.status_code == 200
    elsewhere = Client(REMOTE_ADDR="192.0.2.99")
    refused = elsewhere.post(reverse("login"), {"username": "Bob", "password": PASSWORD})
    assert refused.status_code == 429 and refused.headers["Retry-After"] == "300"
    assert elsewhere.post(reverse("login"), {"username": "alice", "password": "x"}).status_code == 200


def test_nothing_is_stored_for_those_who_do_not_log_in(cast: Cast) -> None:
    from django.contrib.sessions.models import Session

    before = Session.objects.count()
    client = Client()
    for url in (reverse("login"), reverse("dashboard"), "/api/v1/vms", "/nothing/", reverse("invitation", args=["x"])):
        client.get(url)
    assert Session.objects.count() == before


def test_every_change_is_in_the_audit_with_who_and_from_where(cast: Cast) -> None:
    client = client_of(cast.bob, REMOTE_ADDR="192.0.2.7")  # type: ignore[arg-type]
    client.post(reverse("vm_create"), form(), headers={"X-Request-ID": "abc-1"})
    row = AuditRow.objects.get(action="vm.create")
    assert (row.actor, row.object_name, row.address, row.request_id) == ("bob", "web-1", "192.0.2.7", "abc-1")
    assert row.after == {"image": "tiny", "size": "nano"}
    page = client.get(reverse("vm", args=[row.object_id])).content.decode()
    assert "asked for the VM" in page
    of_object = client.get(reverse("activity"), {"object": row.object_id}).content.decode()
    assert "abc-1" in of_object
    change_role(membership(cast, "charlie"), cast.alice, "member")
    assert "role viewer → member" in client.get(reverse("activity")).content.decode()
    assert (
        "charlie" not in client.get(reverse("activity"), {"object": row.object_id}).content.decode().split("<main")[1]
    )


def test_audit_rows_can_be_neither_changed_nor_removed(cast: Cast) -> None:
    made_vm(cast)
    row = AuditRow.objects.get(action="vm.create")
    for change in (row.save, row.delete):
        with pytest.raises(TypeError):
            change()


def tampered(change: Any) -> list[str]:
    change()
    return list(problems())


def row_of(name: str) -> Any:
    return AuditRow.objects.filter(action="vm.create", object_name=name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: row_of("web-2").update(actor="mallory"), "row {1} (vm.create of web-2 by mallory)"),
        (lambda: row_of("web-2")._raw_delete("default"), "rows {1} to {1} are missing"),
        (lambda: row_of("web-3")._raw_delete("default"), "the last row should be {2}; it is {1}"),
        (lambda: row_of("web-1").update(before={"x": 1}), "row {0} (vm.create of web-1 by alice)"),
    ],
)
def test_a_row_that_was_changed_or_taken_away_shows(cast: Cast, change: Any, words: str) -> None:
    names = ("web-1", "web-2", "web-3")
    for name in names:
        made_vm(cast, name)
    numbers = [row_of(name).get().pk for name in names]
    out = StringIO()
    call_command("verify_audit", stdout=out)
    assert f"{numbers[-1]} rows, each as it was written" in out.getvalue()
    assert words.format(*numbers) in tampered(change)[0]
    with pytest.raises(CommandError, match="tampered"):
        call_command("verify_audit", stderr=StringIO())


def test_a_change_that_was_rolled_back_leaves_no_row(cast: Cast) -> None:
    client_of(cast.alice).post(reverse("vm_create"), form(name="A B"))
    assert not AuditRow.objects.filter(action="vm.create").exists()


def test_older_activity_is_a_page_on_and_all_of_it_is_a_file_with_its_seals(cast: Cast) -> None:
    for number in range(101):
        what = ("network", str(number), "=1+1" if number else "first")
        record("network.create", cast.payments, cast.alice, what, after={"n": number})
    record("vm.create", cast.search, cast.dana, ("vm", "x", "elsewhere"))
    client, url = client_of(cast.charlie), reverse("activity")
    assert ">first<" not in client.get(url).content.decode()
    assert ">first<" in client.get(url, {"page": "2"}).content.decode()
    answer = client.get(url, {"form": "csv"})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="activity-payments.csv"'
    rows = list(csv.DictReader(StringIO(answer.content.decode())))
    kept = AuditRow.objects.filter(team_id=cast.payments.pk)
    assert [(int(row["id"]), row["hash"], row["actor"]) for row in rows] == [(o.pk, o.hash, o.actor) for o in kept]
    assert rows[0]["object_name"] == "'=1+1" and json.loads(rows[0]["after"]) == {"n": 100}
    (older,) = csv.DictReader(StringIO(client.get(url, {"form": "csv", "before": rows[-2]["id"]}).content.decode()))
    assert older == rows[-1]
    one = client.get(url, {"form": "csv", "object": "7"}).content.decode()
    assert len(list(csv.DictReader(StringIO(one)))) == 1
