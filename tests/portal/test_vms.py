"""VMs through the pages and the API: who may, what is refused, and that two clicks are one VM."""

from __future__ import annotations

import pytest
from django.urls import reverse

from portal.compute.models import VM
from portal.live.models import Event
from portal.live.topics import refusal_of, snapshot_of
from tests.cast import Cast
from tests.portal.clients import client_of, form, made_vm

PAGES = ["dashboard", "vm_list", "networks", "keys", "operations", "vm_create", "trace_new"]


@pytest.mark.parametrize("name", PAGES)
def test_a_member_sees_every_page(cast: Cast, name: str) -> None:
    made_vm(cast)
    assert client_of(cast.bob).get(reverse(name)).status_code == 200


@pytest.mark.parametrize("name", ["vm", "vm_delete"])
@pytest.mark.parametrize(
    ("person", "of_vm", "of_delete"),
    [("alice", 200, 200), ("bob", 200, 200), ("charlie", 200, 403), ("dana", 404, 404), ("olga", 200, 404)],
)
def test_a_vm_does_not_exist_for_strangers(cast: Cast, name: str, person: str, of_vm: int, of_delete: int) -> None:
    """An operator looks at where it runs, and can't delete what is not theirs."""
    expected = of_vm if name == "vm" else of_delete
    answer = client_of(getattr(cast, person)).get(reverse(name, args=[made_vm(cast).uuid]))
    assert answer.status_code == expected


def test_a_viewer_is_told_in_words_that_creating_needs_a_member(cast: Cast) -> None:
    answer = client_of(cast.charlie).post(reverse("vm_create"), form())
    assert answer.status_code == 403
    assert b"needs the role member" in answer.content


@pytest.mark.parametrize(("person", "status"), [("alice", 403), ("dana", 403), ("olga", 200)])
def test_only_operators_see_hosts(cast: Cast, person: str, status: int) -> None:
    assert client_of(getattr(cast, person)).get(reverse("hosts")).status_code == status


def test_two_clicks_are_one_vm(cast: Cast) -> None:
    client = client_of(cast.alice)
    answers = [client.post(reverse("vm_create"), form()) for _ in range(2)]
    assert answers[0].url == answers[1].url  # type: ignore[attr-defined]
    assert VM.objects.count() == 1


def test_the_api_lists_every_wrong_field_at_once(cast: Cast) -> None:
    bad = form(name="A B", image="none", flavor="none")
    answer = client_of(cast.alice).post("/api/v1/vms", bad, content_type="application/json")
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"name", "image", "flavor"}


def test_the_api_makes_and_deletes_a_vm(cast: Cast) -> None:
    client = client_of(cast.alice)
    made = client.post("/api/v1/vms", form(), content_type="application/json")
    assert made.status_code == 202
    assert len(made.json()["operation"]["stages"]) == 6
    assert client.delete(f"/api/v1/vms/{made.json()['vm']['uuid']}").status_code == 202


def test_snapshot_and_events_tell_the_same(cast: Cast) -> None:
    before = snapshot_of("team:payments")
    made_vm(cast)
    state = dict(before["state"])
    for event in Event.objects.filter(topic="team:payments", seq__gt=before["seq"]).order_by("seq"):
        state[event.object] = event.data
    after = snapshot_of("team:payments")
    assert set(state) == set(after["state"])
    vm = next(name for name in state if name.startswith("vm:"))
    assert state[vm] == after["state"][vm]


def test_strangers_may_not_join_a_teams_topic(cast: Cast) -> None:
    assert refusal_of(cast.bob, "team:payments") == ""
    assert refusal_of(cast.dana, "team:payments")
    assert refusal_of(cast.bob, "flows:hv1/br-int")
    assert refusal_of(cast.olga, "flows:hv1/br-int") == ""


def test_an_operator_sees_where_a_teams_vm_is_and_nothing_of_the_teams(cast: Cast) -> None:
    row = made_vm(cast)
    page = client_of(cast.olga).get(reverse("vm", args=[row.uuid]))
    body = page.content.decode()
    assert page.status_code == 200 and "as an operator" in body and row.ports.get().mac in body
    assert "asked for the VM" not in body and reverse("console", args=[row.uuid]) not in body
    assert "user_data" not in body and f'"/vms/{row.uuid}/' not in body, "no link of it leads to the team's pages"
    assert client_of(cast.olga).get(reverse("console", args=[row.uuid])).status_code == 404
    assert "as an operator" not in client_of(cast.alice).get(reverse("vm", args=[row.uuid])).content.decode()
