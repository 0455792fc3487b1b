"""What no row explains, as operators see it: the list and the host's page with evidence, and a removal that takes consent."""

from __future__ import annotations

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.hosts.models import Orphan
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_orphan

NAME = "hs-11111111-1111-4111-8111-111111111111.qcow2"


@pytest.fixture
def orphan(cast: Cast) -> Orphan:
    return made_orphan(made_host())


def post(cast: Cast, orphan: Orphan, ticked: list[str] | None = None, typed: str = "hv1"):  # type: ignore[no-untyped-def]
    asked = {"orphan": [str(orphan.uuid)] if ticked is None else ticked, "typed": typed}
    return client_of(cast.olga).post(reverse("host_clean", args=[orphan.host.name]), asked)


@pytest.mark.parametrize("url", ["/orphans/", "/hosts/hv1/"])
def test_an_operator_sees_path_size_age_and_what_it_was(cast: Cast, orphan: Orphan, url: str) -> None:
    page = client_of(cast.olga).get(url).content.decode()
    for told in (NAME, f"/tmp/{NAME}", "5.0 MiB", "Disk of VM old of team Payments", "1 d ago", "qemu-img info -U"):
        assert told in page, told


def test_looking_removes_nothing_and_begins_nothing(cast: Cast, orphan: Orphan) -> None:
    for url in ("/orphans/", "/hosts/hv1/", "/hosts/", "/api/v1/orphans"):
        assert client_of(cast.olga).get(url).status_code == 200
    assert Orphan.objects.count() == 1 and not Operation.objects.exists()


def test_a_ticked_one_and_the_typed_name_make_an_operation_of_the_hosts_and_the_audit_knows(
    cast: Cast, orphan: Orphan
) -> None:
    answer = post(cast, orphan)
    made = Operation.objects.get(kind="host.clean")
    assert answer.url == reverse("operation", args=[made.uuid]) and made.team is None
    assert made.params == {"orphans": [["file", NAME]]}
    row = AuditRow.objects.get(action="host.clean")
    assert (row.actor, row.object_name, row.after) == ("olga", "hv1", {"removed": [f"file {NAME}"]})


def test_without_consent_or_ticks_every_reason_is_told_and_nothing_begins(cast: Cast, orphan: Orphan) -> None:
    answer = post(cast, orphan, [], typed="hv2")
    page = answer.content.decode()
    assert answer.status_code == 422 and "tick what is to be removed" in page
    assert "type hv1 to consent; “hv2” was typed" in page
    gone = post(cast, orphan, ["11111111-1111-4111-8111-111111111111", "x\0"])
    assert gone.status_code == 422 and "2 of them are not among what was found" in gone.content.decode()
    kept = made_orphan(orphan.host, "hs-22222222-2222-4222-8222-222222222222.qcow2", refusal="the domain a names it")
    refused = post(cast, orphan, [str(kept.uuid), str(orphan.uuid)])
    assert "stays: the domain a names it" in refused.content.decode()
    assert f'value="{orphan.uuid}" aria-label="Remove file {NAME}" checked' in refused.content.decode()
    assert not Operation.objects.exists()


def test_what_is_on_another_host_cannot_be_ticked_here(cast: Cast, orphan: Orphan) -> None:
    other = made_host("hv2")
    answer = client_of(cast.olga).post("/hosts/hv2/clean/", {"orphan": [str(orphan.uuid)], "typed": other.name})
    assert answer.status_code == 422 and not Operation.objects.exists()


def test_the_operation_is_the_operators_own_and_no_teams(cast: Cast, orphan: Orphan) -> None:
    post(cast, orphan)
    made = Operation.objects.get()
    for url in (reverse("operation", args=[made.uuid]), f"/api/v1/operations/{made.uuid}"):
        assert client_of(cast.olga).get(url).status_code == 200
        assert client_of(cast.alice).get(url).status_code == 404
    assert client_of(cast.alice).post(reverse("operation_cancel", args=[made.uuid])).status_code == 404
    assert "Clean host" not in client_of(cast.alice).get("/operations/").content.decode()
    client_of(cast.olga).post(reverse("operation_cancel", args=[made.uuid]))
    made.refresh_from_db()
    assert made.cancel_asked_by == cast.olga


def test_the_api_lists_and_cleans_with_the_same_consent(cast: Cast, orphan: Orphan) -> None:
    client = client_of(cast.olga)
    (told,) = client.get("/api/v1/orphans?host=hv1").json()["items"]
    assert (told["name"], told["host"], told["kind"], told["why_not"]) == (NAME, "hv1", "file", "")
    assert client.get("/api/v1/orphans?host=hv9").json()["items"] == []
    asked = {"orphans": [str(orphan.uuid)], "typed": "hv1"}
    refused = client.post("/api/v1/hosts/hv1/clean", asked | {"typed": ""}, "application/json")
    assert refused.status_code == 422 and "type hv1 to consent" in str(refused.json())
    answer = client.post("/api/v1/hosts/hv1/clean", asked, "application/json")
    assert answer.status_code == 202 and answer.json()["operation"]["kind"] == "host.clean"


def test_hostile_names_are_text(cast: Cast) -> None:
    made_orphan(made_host(), "hs-<script>alert(1)</script>.qcow2", was="VM <img src=x>")
    page = client_of(cast.olga).get("/orphans/").content.decode()
    assert "<script>alert(1)" not in page and "<img src=x>" not in page and "&lt;script&gt;alert(1)" in page
