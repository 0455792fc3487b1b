"""Operators make teams and set their limits; what is inside stays its owners' business."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.urls import reverse

from portal.accounts.models import AuditRow, Membership, Team, User
from portal.accounts.team_admin import LIMITS
from tests.cast import Cast
from tests.portal.clients import client_of, made_vm

JSON: dict[str, Any] = {"content_type": "application/json"}


def test_a_team_is_made_with_a_new_owner_whose_password_is_shown_once(cast: Cast) -> None:
    olga = client_of(cast.olga)
    page = olga.post(reverse("teams"), {"name": "Web Shop", "owner": "wendy", "max_vms": "3"})
    password = page.context["made"].password
    assert password in page.content.decode() and password not in olga.get(reverse("teams")).content.decode()
    assert authenticate(username="wendy", password=password)
    team = Team.objects.get(slug="web-shop")
    assert (team.max_vms, team.max_vcpus) == (3, 16)
    assert Membership.objects.get(team=team).role == "owner"
    assert AuditRow.objects.get(action="team.add").actor == "olga"
    by_api = olga.post("/api/v1/teams", {"name": "Data", "owner": "wendy", "limits": {"max_ram_mib": 1024}}, **JSON)
    assert by_api.status_code == 201 and by_api.json()["owner_password"] is None
    assert by_api.json()["limits"]["max_ram_mib"] == 1024


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "", "owner": "<b>"}, {"name", "owner"}),
        ({"name": "Payments", "owner": "wendy"}, {"name"}),
        ({"name": "x" * 61, "owner": "wendy", "limits": {"max_vms": -1}}, {"name", "max_vms"}),
        ({"name": "Shop", "owner": "wendy", "limits": {"max_beer": 1}}, {"max_beer"}),
    ],
)
def test_a_wrong_team_is_refused_whole(cast: Cast, body: dict[str, Any], fields: set[str]) -> None:
    answer = client_of(cast.olga).post("/api/v1/teams", body, **JSON)
    assert answer.status_code == 422 and set(answer.json()["errors"]) == fields
    assert not User.objects.filter(username="wendy").exists() and Team.objects.count() == 2


def test_limits_are_changed_seen_beside_the_use_and_audited(cast: Cast) -> None:
    made_vm(cast)
    olga = client_of(cast.olga)
    answer = olga.post(reverse("team", args=["payments"]), {"name": "Payments 2", "max_vms": "0"})
    assert answer.status_code == 302
    team = Team.objects.get(slug="payments")
    assert (team.name, team.max_vms, team.max_vcpus) == ("Payments 2", 0, 16)
    row = AuditRow.objects.get(action="team.change")
    assert (row.before["max_vms"], row.after["max_vms"], row.after["name"]) == (20, 0, "Payments 2")
    assert "over its limit" in olga.get(reverse("team", args=["payments"])).content.decode()
    told = olga.get("/api/v1/teams/payments").json()
    assert set(told["limits"]) == set(LIMITS) and told["used"]["max_vms"] == 1
    assert [one["slug"] for one in olga.get("/api/v1/teams").json()["items"]] == ["payments", "search"]
    wrong = olga.post(reverse("team", args=["payments"]), {"name": "Payments 2", "max_vms": "many"})
    assert wrong.status_code == 422 and "“many” was given; 0 to" in wrong.content.decode()
    page = olga.get(reverse("teams")).content.decode()
    assert "Payments 2" in page and '1 <span class="muted">of 0</span>' in page


def test_an_operator_sees_numbers_of_a_team_and_nothing_inside(cast: Cast) -> None:
    made_vm(cast)
    pages = [
        client_of(cast.olga).get(reverse("team", args=["payments"])),
        client_of(cast.olga).get("/api/v1/teams/payments"),
    ]
    assert all("web-1" not in page.content.decode() for page in pages)
