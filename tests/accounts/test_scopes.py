"""What a token may do of what its holder may: scopes, one team, service accounts; over the API, sockets, consoles and the CLI."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from portal.accounts.callers import key_of_token
from portal.accounts.models import ApiToken, AuditRow, Membership, User
from portal.accounts.permissions import RIGHTS
from portal.accounts.scopes import ADMIN, ALL, READ, WORDS, allows, scope_of
from portal.accounts.services import create_service
from portal.accounts.teams import TeamProblem, add_member, remove_member
from portal.accounts.tokens import TokenSpec, make_scoped, make_token
from portal.console.access import Access, Refused, access_of
from portal.console.wire import Kind
from portal.live.topics import refusal_of
from tests.cast import Cast
from tests.portal.clients import client_of, form, made_vm

JSON: dict[str, Any] = {"content_type": "application/json"}


def token(user: User, *scopes: str, **more: Any) -> tuple[ApiToken, Client]:
    row, secret = make_scoped(user, TokenSpec("ci", scopes, 7, **more), user)
    return row, Client(headers={"Authorization": f"Bearer {secret}"})


def test_each_right_has_a_scope_and_each_scope_words() -> None:
    found = {scope_of(right) for right in RIGHTS}
    assert found | {ALL} == set(WORDS)
    assert scope_of("nobody.knows") == ADMIN, "a new noun is given least often"
    assert allows((READ,), "vm.see") and not allows((READ,), "console.see")
    assert not any(allows((READ,), right) for right in RIGHTS if right.endswith((".change", ".manage", ".create")))


def test_a_token_does_what_its_scopes_hold_and_says_what_it_lacks(cast: Cast) -> None:
    row, client = token(cast.bob, "vm:write")
    assert client.post("/api/v1/vms", form(), **JSON).status_code == 202
    refused = client.post("/api/v1/networks", {"name": "n", "cidr": "10.9.0.0/24"}, **JSON)
    assert refused.status_code == 403
    assert (
        refused.json()["title"]
        == "The token ci has the scopes vm:write; this needs network:write: make one that has it."
    )
    assert client.get("/api/v1/me").json()["token"]["scopes"] == ["read", "vm:write"]
    assert AuditRow.objects.get(action="token.create").after["scopes"] == row.scopes == ["read", "vm:write"]


def test_a_scope_gives_no_right_that_its_person_lacks(cast: Cast) -> None:
    _, client = token(cast.charlie, ALL)
    refused = client.post("/api/v1/vms", form(), **JSON)
    assert refused.status_code == 403 and "You are a viewer of Payments" in refused.json()["title"]


def test_a_token_of_one_team_knows_no_other(cast: Cast) -> None:
    add_member(cast.search, cast.dana, "bob", "member")
    row, client = token(cast.bob, ALL, team=cast.search)
    assert [team["slug"] for team in client.get("/api/v1/me").json()["teams"]] == ["search"]
    assert client.get("/api/v1/vms", headers={"Hopsight-Team": "payments"}).status_code == 404
    vm = made_vm(cast)
    assert client.get(f"/api/v1/vms/{vm.uuid}").status_code == 404
    assert refusal_of(cast.bob, "team:payments", row) and not refusal_of(cast.bob, "team:search", row)
    assert isinstance(access_of(cast.bob.pk, key_of_token(row), vm.uuid, Kind.SERIAL), Refused)
    with pytest.raises(TeamProblem, match="none of the teams"):
        token(cast.charlie, READ, team=cast.search)


def test_an_operators_token_of_one_team_is_no_operators(cast: Cast) -> None:
    add_member(cast.search, cast.dana, "olga", "member")
    row, client = token(cast.olga, ALL, team=cast.search)
    assert client.get("/api/v1/hosts").status_code == 403 and refusal_of(cast.olga, "hosts", row)
    assert client.get("/metrics").status_code == 403
    _, whole = token(cast.olga, READ)
    assert whole.get("/api/v1/hosts").status_code == 200


def test_a_console_needs_its_scope(cast: Cast) -> None:
    vm = made_vm(cast)
    vm.state = "running"
    vm.save()
    for scopes, may in (((READ,), False), (("vm:write",), False), (("vm:console",), True), ((ALL,), True)):
        row, client = token(cast.bob, *scopes)
        access = access_of(cast.bob.pk, key_of_token(row), vm.uuid, Kind.SERIAL)
        assert isinstance(access, Access) is may, scopes
        asked = client.post(f"/api/v1/vms/{vm.uuid}/console-ticket", {"kind": "serial"}, **JSON)
        assert (asked.status_code == 201) is may, asked.content


def test_a_token_hands_out_no_more_than_it_has(cast: Cast) -> None:
    _, client = token(cast.alice, ADMIN, "vm:write")
    made = client.post("/api/v1/tokens", {"name": "less", "scopes": ["vm:write"], "days": 7}, **JSON)
    assert made.status_code == 201 and made.json()["secret"].startswith("hst_")
    for more in ("network:write", ALL):
        refused = client.post("/api/v1/tokens", {"name": "more", "scopes": [more], "days": 7}, **JSON)
        assert refused.status_code == 422 and "no more than it has" in refused.json()["errors"]["scopes"][0]
    _, narrow = token(cast.alice, ALL, team=cast.payments)
    made = narrow.post("/api/v1/tokens", {"name": "narrow", "scopes": ["read"], "days": 7}, **JSON)
    assert made.json()["team"] == "payments"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "", "scopes": ["read"]}, ["name"]),
        ({"name": "x", "scopes": ["vm:wrte"]}, ["scopes"]),
        ({"name": "x", "days": 8}, ["days"]),
        ({"name": "x", "team": "search"}, ["team"]),
        ({"name": "", "scopes": ["vm:wrte"], "days": 8, "team": "search"}, ["name", "days", "scopes", "team"]),
    ],
)
def test_a_token_that_cannot_be_is_refused_by_all_its_fields(
    cast: Cast, body: dict[str, Any], fields: list[str]
) -> None:
    answer = client_of(cast.bob).post("/api/v1/tokens", body, **JSON)
    assert answer.status_code == 422 and list(answer.json()["errors"]) == fields


def test_the_page_makes_a_scoped_token_for_one_team(cast: Cast) -> None:
    asked = {"name": "ci", "scopes": ["read", "trace:write"], "team": "payments", "days": "30"}
    page = client_of(cast.bob).post(reverse("tokens"), asked)
    row = ApiToken.objects.get()
    assert (row.scopes, row.team) == (["read", "trace:write"], cast.payments)
    assert page.context["secret"] in page.content.decode()


def test_a_service_account_works_by_its_tokens_and_never_logs_in(cast: Cast) -> None:
    owner = client_of(cast.alice)
    assert owner.post(reverse("services"), {"name": "deploy", "role": "member"}).status_code == 302
    service = User.objects.get(username="deploy@payments")
    page = owner.post(reverse("service_token", args=[service.pk]), {"name": "ci", "scopes": ["vm:write"], "days": "90"})
    program = Client(headers={"Authorization": f"Bearer {page.context['secret']}"})
    assert program.post("/api/v1/vms", form(), **JSON).status_code == 202
    assert AuditRow.objects.filter(action="vm.create", actor="deploy@payments").exists()
    assert AuditRow.objects.filter(action="token.create", actor="alice", team_id=cast.payments.pk).exists()
    assert program.post("/api/v1/tokens", {"name": "x"}, **JSON).status_code == 403
    Client().post(reverse("login"), {"username": "deploy@payments", "password": ""})
    assert not service.has_usable_password() and not service.log_ins.exists()
    owner.post(reverse("service_change", args=[service.pk]), {"role": "viewer"})
    refused = program.post("/api/v1/vms", form(name="web-2", request_key="k2"), **JSON)
    assert refused.status_code == 403 and "viewer" in refused.json()["title"]
    owner.post(reverse("service_change", args=[service.pk]), {"word": "delete"})
    assert program.get("/api/v1/vms").status_code == 401
    assert {row.action for row in AuditRow.objects.filter(object_type="service")} == {
        "service.create", "service.role", "service.delete",
    }  # fmt: skip


def test_service_accounts_are_their_teams_owners_business_alone(cast: Cast) -> None:
    service = create_service(cast.payments, cast.alice, "deploy", "owner")
    row, _ = make_token(service, "ci", True, 7)
    for person in (cast.bob, cast.charlie):
        client = client_of(person)
        assert [one["name"] for one in client.get("/api/v1/service-accounts").json()] == ["deploy@payments"]
        assert client.post("/api/v1/tokens", {"name": "x", "service": service.pk}, **JSON).status_code == 403
        assert client.delete(f"/api/v1/service-accounts/{service.pk}").status_code == 403
        assert client.delete(f"/api/v1/tokens/{row.pk}").status_code == 403
    dana = client_of(cast.dana)
    assert dana.get(f"/api/v1/tokens?service={service.pk}").status_code == 404
    assert dana.delete(f"/api/v1/tokens/{row.pk}").status_code == 404
    assert dana.post(reverse("service_token", args=[service.pk]), {"token": row.pk}).status_code == 404
    with pytest.raises(TeamProblem, match="nobody logs in by that name"):
        add_member(cast.search, cast.dana, "deploy@payments", "member")
    with pytest.raises(TeamProblem, match="last owner"):
        remove_member(Membership.objects.get(user=cast.alice), cast.alice)
    members = client_of(cast.alice).get(reverse("members")).content.decode()
    assert "deploy@payments" not in members
    for name in ("", "Deploy", "-x", "a" * 41, "deploy"):
        with pytest.raises(TeamProblem):
            create_service(cast.payments, cast.alice, name, "member")
