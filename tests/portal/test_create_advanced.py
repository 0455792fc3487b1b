"""The create page's Advanced part and its API: several at once, where and of what, user-data that is checked, a library."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.compute.hardware import CHOICES, Hardware, hardware_problems
from portal.compute.models import VM, Snippet
from portal.compute.snippets import OURS
from portal.compute.user_data import user_data_hints, user_data_problems
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, form, made_host

BOMB = "#cloud-config\na: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b]\n"


def post(cast: Cast, follow: bool = False, **changed: str) -> Any:
    return client_of(cast.bob).post(reverse("vm_create"), form(**changed), follow=follow)


def test_several_are_made_at_once_under_the_next_free_names(cast: Cast) -> None:
    assert post(cast, name="web-2", request_key="k0").status_code == 302
    assert post(cast, name="web-1", count="3").status_code == 302
    assert sorted(VM.objects.values_list("name", flat=True)) == ["web-1", "web-2", "web-3", "web-4"]
    assert Operation.objects.filter(kind="vm.create").count() == 4
    assert post(cast, name="web-1", count="3").status_code == 302, "the same form again"
    assert VM.objects.count() == 4


def test_several_are_all_or_none(cast: Cast) -> None:
    cast.payments.max_vms = 2
    cast.payments.save()
    answer = post(cast, count="3")
    assert answer.status_code == 422 and not VM.objects.exists()
    assert "3 VMs asked, 2 of 2 left" in answer.content.decode() and 'value="3"' in answer.content.decode()


@pytest.mark.parametrize(("field", "value", "words"), [
    ("count", "21", "21 were given; 1 to 20 are allowed"), ("count", "many", "a whole number from 1 to 20 is allowed"),
    ("lease_days", "-3", "“-3” was given; a whole number from 0 to 3650 is allowed"),
    ("host", "hv9", "hosts that take VMs are hv1"), ("apart", "No Spaces", "allowed are 1 to 40"),
    ("lease_days", "99999", "0 (none) to 3650"), ("cpu_model", "8086", "allowed are none, host-model"),
    ("machine", "isapc", "allowed are q35, pc"), ("disk_bus", "usb", "allowed are virtio, scsi, sata"),
    ("disk_cache", "unsafe", "allowed are writeback"), ("nic_model", "ne2k", "allowed are virtio, e1000e"),
    ("user_data", "hello", "it begins with “hello”"), ("user_data", BOMB, "grows without measure"),
])  # fmt: skip
def test_what_can_not_be_is_refused_in_a_form_that_is_open_and_filled(
    cast: Cast, field: str, value: str, words: str
) -> None:
    made_host()
    answer = post(cast, **{field: value, "address": "10.20.0.77"})
    page = answer.content.decode()
    assert answer.status_code == 422 and words in page.replace("&quot;", '"') and not VM.objects.exists()
    assert '<details class="fs" open>' in page and 'value="10.20.0.77"' in page


def test_all_that_was_asked_is_kept(cast: Cast) -> None:
    made_host()
    asked = {
        "host": "hv1", "apart": "web", "apart_must": "on", "cpu_model": "Nehalem", "disk_bus": "sata", "disk_cache": "none",
        "nic_model": "e1000e", "lease_days": "7", "is_autostarted": "on", "snippet": OURS[0].value,
    }  # fmt: skip
    assert post(cast, **asked).status_code == 302
    vm = VM.objects.get()
    assert vm.wanted_host is not None and (vm.wanted_host.name, vm.apart, vm.apart_must) == ("hv1", "web", True)
    assert vm.hardware == Hardware("Nehalem", "q35", "sata", "none") and vm.ports.get().model == "e1000e"
    assert vm.lease_until is not None and vm.is_autostarted and vm.user_data == OURS[0].text


def test_the_effect_tells_quota_names_command_and_what_is_wrong_and_stores_nothing(cast: Cast) -> None:
    made_host()
    sent = form(name="web-1", count="3", disk_bus="scsi", user_data=BOMB, new_key="ssh-ed25519 AAAA x")
    body = client_of(cast.bob).post(reverse("vm_effect"), sent).content.decode()
    assert "these 3 VMs" in body and "web-2" in body and "bus=scsi,cache=writeback" in body
    assert "grows without measure" in body and not VM.objects.exists() and not cast.bob.keys.exists()


@pytest.mark.parametrize("hostile", ["$(reboot)", "a b", "'; reboot #"])
def test_the_command_is_quoted_for_a_shell(cast: Cast, hostile: str) -> None:
    body = client_of(cast.bob).post(reverse("vm_effect"), form(name=hostile, cpu_model=hostile)).content.decode()
    assert f"--name {hostile}" not in body


@pytest.mark.parametrize("text", [
    "", "#!/bin/sh\necho hi\n", "#cloud-config\npackages: [nginx]\n", "#cloud-config\n", *(entry.text for entry in OURS),
    "#cloud-config\na: &x 1\nb: *x\n", "## template: jinja\n#cloud-config\n{{ x }}",
])  # fmt: skip
def test_user_data_that_cloud_init_reads_is_taken(text: str) -> None:
    assert user_data_problems(text) == []


@pytest.mark.parametrize(("text", "words"), [
    ("#cloud-config\na: [1\n", "line 3"), ("#cloud-config\n- a\n", "it is a list"), (BOMB, "grows without measure"),
    ("#cloud-config\na: " + "[" * 60 + "]" * 60, "nested deeper"), ("#cloud-config\na: !!python/object/apply:os.system [x]\n", "not YAML"),
    ("#cloud-config\nx: " + "[1," * 1 + "1," * 5000 + "]", "more than 4000 values"), ("\0", "NUL"), ("#cloud-config\n1: x\n", "keys are words"),
    ("#cloud-config\n? {a: 1}\n: b\n", "not YAML"), ("x" * 20000, "at most 16384"),
])  # fmt: skip
def test_user_data_that_it_would_not_read_is_refused_in_words(text: str, words: str) -> None:
    assert words in user_data_problems(text)[0]


@pytest.mark.parametrize(("text", "hints"), [
    ("#cloud-config\npackage_update: true\npakages: [nginx]\nRun-Cmd: []\nfrobnicate: 1\n", [
        "line 3: “pakages” is not known to cloud-init; did you mean packages?",
        "line 4: “Run-Cmd” is not known to cloud-init; did you mean runcmd?",
        "line 5: “frobnicate” is not known to cloud-init, which passes over it",
    ]),
    ("#cloud-config\na: &x {b: 1}\n<<: *x\n", ["line 2: “a” is not known to cloud-init, which passes over it"]),
    *((text, []) for text in ("", "#!/bin/sh\npakages: 1\n", "#cloud-config\n", BOMB, "#cloud-config\nwrite_files: [{pakages: 1}]\n")),
    *((entry.text, []) for entry in OURS),
])  # fmt: skip
def test_a_key_that_cloud_init_does_not_know_is_a_hint(text: str, hints: list[str]) -> None:
    assert user_data_hints(text) == hints


def test_a_hint_is_shown_beside_the_form_and_when_a_snippet_is_kept_and_refuses_nothing(cast: Cast) -> None:
    made_host()
    odd, words = (
        "#cloud-config\npakages: [nginx]\n",
        "line 2: “pakages” is not known to cloud-init; did you mean packages?",
    )
    bob = client_of(cast.bob)
    assert words in bob.post(reverse("vm_effect"), form(user_data=odd)).content.decode()
    assert words in bob.post(reverse("snippets"), {"name": "Odd", "text": odd}, follow=True).content.decode()
    assert post(cast, user_data=odd).status_code == 302 and VM.objects.get().user_data == odd


def test_every_choice_but_one_pair_can_be_had() -> None:
    for name, offered in CHOICES.items():
        for choice in offered:
            assert hardware_problems(Hardware(**{name: choice.value})) == {}
    assert "machine pc has none" in hardware_problems(Hardware(machine="pc", nic_model="e1000e"))["nic_model"][0]


def test_a_team_keeps_a_library_that_is_checked_and_its_own(cast: Cast) -> None:
    bob, url = client_of(cast.bob), reverse("snippets")
    assert "grows without measure" in bob.post(url, {"name": "Bomb", "text": BOMB}).content.decode()
    assert bob.post(url, {"name": "<b>Motd</b>", "text": "#!/bin/sh\r\necho hi\r\n"}).status_code == 302
    row = Snippet.objects.get()
    assert row.text == "#!/bin/sh\necho hi\n" and "keeps a snippet" in bob.post(url, {"name": row.name, "text": row.text}).content.decode()  # fmt: skip
    assert "&lt;b&gt;Motd&lt;/b&gt;" in bob.get(reverse("vm_create")).content.decode()
    assert "Motd" not in client_of(cast.dana).get(url).content.decode()
    assert client_of(cast.dana).post(reverse("snippet_delete", args=[row.pk])).status_code == 404
    listed = bob.get("/api/v1/snippets").json()
    assert [one["name"] for one in listed] == [*(entry.name for entry in OURS), row.name]
    assert bob.delete(f"/api/v1/snippets/{row.pk}").status_code == 204 and not Snippet.objects.exists()
    assert set(AuditRow.objects.values_list("action", flat=True)) >= {"snippet.add", "snippet.delete"}


def test_the_api_takes_the_same(cast: Cast) -> None:
    made_host()
    body = {
        "name": "db-1",
        "image": "tiny",
        "flavor": "nano",
        "network": "payments-net",
        "machine": "pc",
        "nic_model": "e1000e",
    }
    ask = lambda: client_of(cast.bob).post("/api/v1/vms", json.dumps(body), "application/json")  # noqa: E731
    assert "machine pc has none" in ask().json()["errors"]["nic_model"][0]
    body |= {"nic_model": "virtio", "apart": "db", "host": "hv1"}
    assert ask().status_code == 202
    assert client_of(cast.bob).get("/api/v1/vms").json()["items"][0]["machine"] == "pc"


def test_the_command_beside_a_refused_form_is_that_of_what_was_asked(cast: Cast) -> None:
    made_host()
    refused = post(cast, name="-").content.decode()
    assert "virt-install" in refused and "--autostart" not in refused
    assert "--autostart" in post(cast, name="-", is_autostarted="on").content.decode()


def test_what_is_wrong_is_named_as_the_form_names_it(cast: Cast) -> None:
    made_host()
    wrong = form(name="-", flavor="no", disk_bus="ide", count="-1", user_data="junk", volume_size_gib="x")
    for language, names in (
        ("en", ("Name", "Size", "Disk bus", "How many", "User-data", "Volumes 1, New, GiB")),
        ("ru", ("Имя", "Размер", "Шина диска", "Сколько", "User-data", "Тома 1, Новый, ГиБ")),
    ):
        asking = {"data": wrong, "headers": {"Accept-Language": language}}
        for page in (reverse("vm_effect"), reverse("vm_create")):
            body = client_of(cast.bob).post(page, **asking).content.decode()
            assert set(re.findall(r'<b class="med">([^<]+)</b>[:,.]', body)) == set(names)
