"""VMs through the pages and the API: who may, what is refused, and that two clicks are one VM."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from portal.compute.models import VM
from portal.compute.requests import VMSpec, create_vm
from portal.live.models import Event
from portal.live.topics import refusal_of, snapshot_of
from tests.cast import Cast

HOSTILE = ["<script>alert(1)</script>", "a b", "x" * 10_000, "-a", "ünï", "'; drop table"]
PAGES = ["dashboard", "vm_list", "networks", "keys", "operations", "vm_create", "trace_new"]


def client_of(user: object, **options: bool) -> Client:
    client = Client(**options)
    client.force_login(user)  # type: ignore[arg-type]
    return client


def form(**changed: str) -> dict[str, str]:
    base = {"name": "web-1", "image": "tiny", "flavor": "nano", "network": "payments-net", "request_key": "k1"}
    return base | changed


def made_vm(cast: Cast) -> VM:
    spec = VMSpec("web-1", cast.image, cast.flavor, cast.network, "key-1")
    return create_vm(cast.payments, cast.alice, spec).vm


@pytest.mark.parametrize("name", PAGES)
def test_a_member_sees_every_page(cast: Cast, name: str) -> None:
    made_vm(cast)
    assert client_of(cast.bob).get(reverse(name)).status_code == 200


@pytest.mark.parametrize("name", ["vm", "vm_delete"])
@pytest.mark.parametrize(
    ("person", "status"), [("alice", 200), ("bob", 200), ("charlie", None), ("dana", 404), ("olga", 404)]
)
def test_a_vm_does_not_exist_for_strangers(cast: Cast, name: str, person: str, status: int | None) -> None:
    expected = status or (200 if name == "vm" else 403)
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


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused_in_words_and_escaped(cast: Cast, name: str) -> None:
    answer = client_of(cast.alice).post(reverse("vm_create"), form(name=name))
    assert answer.status_code == 422
    assert b"<script>alert" not in answer.content
    assert b"allowed are 1 to 63" in answer.content
    assert not VM.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [("image", "none"), ("flavor", "none"), ("network", "search-net"), ("address", "10.20.0.250"), ("address", "::1")],
)
def test_a_wrong_field_is_named_and_the_form_stays_filled(cast: Cast, field: str, value: str) -> None:
    answer = client_of(cast.alice).post(reverse("vm_create"), form(**{field: value}))
    assert answer.status_code == 422
    assert field in answer.context["errors"]
    assert b'value="web-1"' in answer.content


def test_a_size_over_quota_is_refused(cast: Cast) -> None:
    cast.payments.max_ram_mib = 64
    cast.payments.save()
    answer = client_of(cast.alice).post(reverse("vm_create"), form())
    assert "over quota" in answer.context["errors"]["flavor"][0]


def test_a_full_network_is_refused_and_nothing_is_kept(cast: Cast) -> None:
    cast.network.subnets.update(pool_start="10.20.0.10", pool_end="10.20.0.10")
    made_vm(cast)
    answer = client_of(cast.alice).post(reverse("vm_create"), form(name="web-2"))
    assert "is full" in answer.context["errors"]["network"][0]
    assert VM.objects.count() == 1


def test_a_post_without_csrf_token_is_refused(cast: Cast) -> None:
    client = client_of(cast.alice, enforce_csrf_checks=True)
    assert client.post(reverse("vm_create"), form()).status_code == 403
    assert client.post("/api/v1/vms", form(), content_type="application/json").status_code == 403


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
