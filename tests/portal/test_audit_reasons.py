"""Why something was changed: given with the request, sealed with its row, and told wherever the row is."""

from __future__ import annotations

import csv
import hashlib
import json
from io import StringIO
from typing import Any

import pytest
from django.urls import reverse

from portal.accounts.audit import chained, problems, record
from portal.accounts.models import AuditRow
from portal.compute.models import VM
from portal.networks.models import Network
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_vm, made_volume

JSON: dict[str, Any] = {"content_type": "application/json"}
WORDS = "ticket 4711: мешает <b>"


@pytest.fixture
def vm(cast: Cast) -> VM:
    made = made_vm(cast)
    Operation.objects.update(state="done")
    return made


def test_a_reason_of_the_api_is_sealed_and_told_by_page_file_and_api(cast: Cast) -> None:
    sent = WORDS.encode().decode("latin-1")  # as a server hands on what came over the wire
    client = client_of(cast.bob)
    body = {"name": "back", "cidr": "10.30.0.0/24"}
    assert client.post("/api/v1/networks", body, headers={"X-Reason": sent}, **JSON).status_code == 201
    row = AuditRow.objects.get(action="network.create")
    assert row.reason == WORDS and not list(problems())
    assert "<q>ticket 4711: мешает &lt;b&gt;</q>" in client.get(reverse("activity")).content.decode()
    (told, *_) = csv.DictReader(StringIO(client.get(reverse("activity"), {"form": "csv"}).content.decode()))
    assert (told["reason"], told["hash"]) == (WORDS, row.hash)
    assert client.get("/api/v1/activity").json()["items"][0]["reason"] == WORDS
    AuditRow.objects.filter(pk=row.pk).update(reason="")
    assert "is not as it was written" in next(problems())


def test_a_reason_that_is_too_long_is_refused_by_name_and_nothing_is_done(cast: Cast, vm: VM) -> None:
    headers = {"X-Reason": "x" * 201}
    for method in ("post", "put", "patch", "delete"):
        answer = getattr(client_of(cast.bob), method)(f"/api/v1/vms/{vm.uuid}", headers=headers)
        assert answer.status_code == 422
        assert answer.json()["errors"] == {"X-Reason": ["201 characters were given; at most 200 are allowed"]}
    assert client_of(cast.bob).get(f"/api/v1/vms/{vm.uuid}", headers=headers).status_code == 200
    assert not Operation.objects.exclude(state="done").exists()


def test_a_form_that_deletes_asks_why_and_keeps_it(cast: Cast, vm: VM) -> None:
    client, url = client_of(cast.bob), reverse("vm_delete", args=[vm.uuid])
    assert 'name="audit_reason"' in client.get(url).content.decode()
    assert client.post(url, {"audit_reason": " no longer\x00used\n" + "x" * 300}).status_code == 302
    row = AuditRow.objects.get(action="vm.delete")
    assert row.reason == ("no longer used " + "x" * 300)[:200] and not list(problems())


@pytest.mark.parametrize("page", ["network_delete", "volume", "team"])
def test_pages_of_deletions_and_of_operators_have_the_field(cast: Cast, page: str) -> None:
    who = cast.olga if page == "team" else cast.bob
    client_of(cast.bob).post("/api/v1/networks", {"name": "back", "cidr": "10.30.0.0/24"}, **JSON)
    of = {"network_delete": Network.objects.get(name="back").uuid, "volume": made_volume(cast).uuid, "team": "payments"}
    assert 'name="audit_reason"' in client_of(who).get(reverse(page, args=[of[page]])).content.decode()


def test_rows_that_were_written_before_there_were_reasons_are_as_they_were(cast: Cast) -> None:
    row = record("vm.create", cast.payments, cast.alice, ("vm", "7", "web-1"), after={"n": 1})
    columns = [
        row.pk, row.at.isoformat(), row.team_id, "alice", "vm.create", "vm", "7", "web-1", None, {"n": 1}, "", "",
    ]  # fmt: skip
    text = json.dumps(["before", *columns], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert chained("before", row) == hashlib.sha256(text.encode()).hexdigest()
