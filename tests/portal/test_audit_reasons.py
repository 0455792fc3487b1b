"""Why something was changed: given with the request, sealed with its row, and told wherever the row is."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from lxml import html

from portal.accounts.audit import chained, problems, record
from portal.accounts.models import AuditRow
from portal.compute.models import VM
from portal.networks.models import Network
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm, made_volume

ROOT = Path(__file__).resolve().parent.parent.parent
UNASKED = {
    "accounts/templates/mfa/totp/deactivate_form.html",
    "accounts/templates/mfa/webauthn/authenticator_confirm_delete.html",
}  # of oneself
JSON: dict[str, Any] = {"content_type": "application/json"}
WORDS = "ticket 4711: мешает <b>"


def forms_of(page: bytes) -> list[Any]:
    return list(html.fromstring(page).forms)


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


def test_the_quick_acts_have_the_field_and_keep_what_it_says(cast: Cast, vm: VM) -> None:
    """The menu of a VM, the ticked ones of the list, a host: the reason is beside the button, and Enter in it does nothing."""
    host = made_host()
    VM.objects.update(host=host, state="running")
    bob, olga = client_of(cast.bob), client_of(cast.olga)
    force_off, bulk, evacuate = (reverse("vm_action", args=[vm.uuid, "force_off"]), reverse("vm_bulk"), reverse("host_evacuate", args=["hv1"]))  # fmt: skip
    pages = [(bob, reverse("vm", args=[vm.uuid]), force_off), (bob, reverse("vm_list"), bulk), (olga, reverse("host", args=["hv1"]), evacuate)]  # fmt: skip
    for client, page, action in pages:
        (form,) = [one for one in forms_of(client.get(page).content) if action in one.xpath("@action | .//@formaction")]
        assert form.xpath(".//input[@name='audit_reason']"), page
        first = form.xpath(".//button[not(@type='button')]")[0]
        assert "disabled" in first.attrib and "hidden" in first.attrib, "the button that Enter would press"
    olga.post(reverse("host_maintenance", args=["hv1"]), {"state": "on", "note": "disks", "audit_reason": "ticket 1"})
    olga.post(evacuate, {"audit_reason": "ticket 2"})
    Operation.objects.update(state="done")
    bob.post(force_off, {"audit_reason": "ticket 3"})
    Operation.objects.update(state="done")
    bob.post(bulk, {"action": "force_off", "vm": [str(vm.uuid)], "audit_reason": "ticket 4"})
    kept = AuditRow.objects.exclude(reason="").order_by("id").values_list("action", "reason")
    assert [one for one in kept if not one[0].startswith("vm.migrate")] == [
        ("host.maintenance", "ticket 1"), ("host.evacuate", "ticket 2"), ("vm.force_off", "ticket 3"), ("vm.force_off", "ticket 4"),
    ]  # fmt: skip


def test_every_form_that_takes_something_away_has_the_field(cast: Cast) -> None:
    """Whatever a button of danger stands in: the templates are read, as no page shows all of them."""
    lax = []
    for path in (ROOT / "portal").glob("*/templates/**/*.html"):
        for form in re.findall(r"<form method=\"post\".*?</form>", path.read_text(), re.DOTALL):
            asks = re.search("_why.html|_reason.html|_reason_line.html|audit_reason", form)
            if "btn--danger" in form and not asks and path.relative_to(ROOT / "portal").as_posix() not in UNASKED:
                lax.append((path.name, form[:120]))
    assert not lax


def test_rows_that_were_written_before_there_were_reasons_are_as_they_were(cast: Cast) -> None:
    row = record("vm.create", cast.payments, cast.alice, ("vm", "7", "web-1"), after={"n": 1})
    columns = [
        row.pk, row.at.isoformat(), row.team_id, "alice", "vm.create", "vm", "7", "web-1", None, {"n": 1}, "", "",
    ]  # fmt: skip
    text = json.dumps(["before", *columns], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert chained("before", row) == hashlib.sha256(text.encode()).hexdigest()
