"""Members, invitation links and sessions over REST: what the pages do, with the same refusals and the same audit."""

from __future__ import annotations

from typing import Any

from django.core.cache import cache
from django.urls import reverse

from portal.accounts.models import AuditRow, Invitation, LogIn, Membership
from portal.accounts.services import create_service
from portal.api.models import KeptAnswer
from tests.cast import Cast
from tests.portal.clients import client_of

JSON: dict[str, Any] = {"content_type": "application/json"}
PASSWORD = "correct horse battery staple"


def role_of(cast: Cast, name: str) -> str | None:
    row = Membership.objects.filter(user=getattr(cast, name), team=cast.payments).first()
    return row.role if row else None


def test_an_owner_takes_somebody_in_gives_another_role_and_takes_them_out_again(cast: Cast) -> None:
    client = client_of(cast.alice)
    made = client.post("/api/v1/members", {"username": "dana", "role": "viewer"}, **JSON)
    assert made.status_code == 201 and made.json() == {"username": "dana", "role": "viewer"}
    assert client.patch("/api/v1/members/dana", {"role": "member"}, **JSON).json()["role"] == "member"
    assert role_of(cast, "dana") == "member"
    assert client.get("/api/v1/members/dana").json() == {"username": "dana", "role": "member"}
    assert client.delete("/api/v1/members/dana").status_code == 204 and role_of(cast, "dana") is None
    actions = list(AuditRow.objects.filter(object_name="dana").order_by("pk").values_list("action", flat=True))
    assert actions == ["member.add", "member.role", "member.remove"]


def test_a_role_is_changed_only_of_what_was_read(cast: Cast) -> None:
    client = client_of(cast.alice)
    tag = client.get("/api/v1/members/bob").headers["ETag"]
    Membership.objects.filter(user=cast.bob).update(role="viewer")
    stale = client.patch("/api/v1/members/bob", {"role": "owner"}, **JSON, headers={"If-Match": tag})
    assert stale.status_code == 412 and role_of(cast, "bob") == "viewer"


def test_the_last_owner_neither_leaves_nor_steps_down_and_everybody_else_may_leave(cast: Cast) -> None:
    client = client_of(cast.alice)
    for answer in (
        client.patch("/api/v1/members/alice", {"role": "viewer"}, **JSON),
        client.delete("/api/v1/members/alice"),
        client.delete("/api/v1/me/teams/payments"),
    ):
        assert answer.status_code == 422
        assert "last owner of Payments" in answer.json()["errors"]["role"][0]
    assert client_of(cast.charlie).delete("/api/v1/me/teams/payments").status_code == 204
    assert role_of(cast, "charlie") is None
    assert client_of(cast.dana).delete("/api/v1/me/teams/payments").status_code == 404


def test_a_service_account_is_no_member(cast: Cast) -> None:
    service = create_service(cast.payments, cast.alice, "deploy", "member")
    client = client_of(cast.alice)
    assert [row["username"] for row in client.get("/api/v1/members").json()["items"]] == ["alice", "bob", "charlie"]
    assert client.delete(f"/api/v1/members/{service.username}").status_code == 404


def test_a_link_is_told_once_lets_its_reader_in_and_is_kept_nowhere(cast: Cast) -> None:
    client = client_of(cast.alice)
    asked = {"role": "viewer", "days": 7}
    made = client.post("/api/v1/invitations", asked, **JSON, headers={"Idempotency-Key": "once"})
    link = made.json()["link"]
    assert made.status_code == 201 and not KeptAnswer.objects.exists()
    listed = client.get("/api/v1/invitations").json()
    assert [(row["role"], row["created_by"]) for row in listed] == [("viewer", "alice")] and "link" not in listed[0]
    assert client_of(cast.dana).post(link).status_code == 302 and role_of(cast, "dana") == "viewer"
    assert client.get("/api/v1/invitations").json() == []


def test_an_invitation_ends_and_a_wrong_one_is_refused_by_its_field(cast: Cast) -> None:
    client = client_of(cast.alice)
    number = client.post("/api/v1/invitations", {"days": 7}, **JSON).json()["id"]
    assert client.delete(f"/api/v1/invitations/{number}").status_code == 204 and not Invitation.objects.exists()
    assert client.delete(f"/api/v1/invitations/{number}").status_code == 404
    wrong = client.post("/api/v1/invitations", {"days": 8}, **JSON)
    assert wrong.status_code == 422 and "1, 7, 30 are allowed" in wrong.json()["errors"]["days"][0]


def test_a_session_is_listed_and_logged_out_from_elsewhere(cast: Cast) -> None:
    cache.clear()
    cast.bob.set_password(PASSWORD)
    cast.bob.save()
    here, there = client_of(None), client_of(None)
    for client, agent in ((here, "here"), (there, "there")):
        client.post(reverse("login"), {"username": "bob", "password": PASSWORD}, headers={"User-Agent": agent})
    rows = here.get("/api/v1/me/sessions").json()
    assert {row["agent"]: row["is_this"] for row in rows} == {"here": True, "there": False}
    number = next(row["id"] for row in rows if row["agent"] == "there")
    assert client_of(cast.dana).delete(f"/api/v1/me/sessions/{number}").status_code == 404
    assert here.delete(f"/api/v1/me/sessions/{number}").status_code == 204
    assert there.get("/api/v1/me").status_code == 401
    assert LogIn.objects.get().agent == "here"
