"""What is wrong is refused with the field, what was given and what is allowed; nothing is stored, nothing leaks."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import Membership, Team, User
from portal.compute.forms import hosts_for
from portal.compute.models import VM, KeyPair
from portal.hosts.models import Host
from portal.networks.models import Network
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, form, made_backup, made_host, made_trace, made_vm, made_volume

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>{{ 7|add:7 }}\'";--'
NAMES = ["<script>alert(1)</script>", "a b", "x" * 10_000, "-a", "a-", "ünï", "'; drop table", "", "\0", "A", "a\nb"]

# field, value → words that the message has: what was given, or what is allowed.
FIELDS: list[tuple[str, str, str, str]] = [
    *[("name", name, "name", "allowed are 1 to 63 of a-z, 0-9 and -") for name in NAMES],
    ("image", "none", "image", "choose one of the list"),
    ("image", "\0", "image", "choose one of the list"),
    ("flavor", "none", "flavor", "choose one of the list"),
    ("flavor", "x" * 10_000, "flavor", "choose one of the list"),
    ("network", "search-net", "network", "choose one of the list"),
    ("address", "10.20.0.250", "address", "it is access's"),
    ("address", "10.20.0.1", "address", "it is the gateway's"),
    ("address", "192.0.2.1", "address", "payments-net has 10.20.0.0/24"),
    ("address", "::1", "address", "payments-net has 10.20.0.0/24"),
    ("address", "x" * 10_000, "address", "an address of 10.20.0.0/24"),
    ("key", "999999", "key", "not one of yours"),
    ("new_key", "ssh-rsa AAAA", "new_key", "cut off"),
    ("new_key", "-----BEGIN OPENSSH PRIVATE KEY-----", "new_key", "a private key was given"),
    ("user_data", "x" * 20_000, "user_data", "at most 16384 are allowed"),
    ("user_data", "a\0b", "user_data", "a NUL byte was given"),
]


def test_a_wrong_field_of_the_form_is_named_with_what_is_allowed(cast: Cast) -> None:
    client = client_of(cast.alice)
    for field, value, named, words in FIELDS:
        answer = client.post(reverse("vm_create"), form(**{field: value}))
        told = f"{field}={value[:30]!r}: {answer.status_code}"
        assert answer.status_code == 422, told
        assert words in " ".join(answer.context["errors"].get(named, [])), (told, answer.context["errors"])
        assert b"<script>alert" not in answer.content, told
    assert not VM.objects.exists() and not Operation.objects.exists()


def test_the_api_names_the_same_field_with_the_same_words(cast: Cast) -> None:
    client = client_of(cast.alice)
    for field, value, named, words in FIELDS:
        if field in ("key", "new_key"):
            continue
        answer = client.post("/api/v1/vms", form(**{field: value}), content_type="application/json")
        errors = answer.json()["errors"]
        assert answer.status_code == 422 and named in errors, (field, value[:30], errors)
        assert words in " ".join(errors[named]) or "\0" in value, (field, value[:30], errors)
    assert not VM.objects.exists()


def test_the_create_page_says_before_the_click_what_is_wrong(cast: Cast) -> None:
    made_host()
    made_vm(cast)
    asked = form(address="10.20.0.250") | {"flavor": "S"}
    page = client_of(cast.alice).get(reverse("vm_effect"), asked).content.decode()
    assert "Payments has a VM web-1 already; web-2 is free" in page
    assert "it is access&#x27;s" in page
    assert "fits on hv1" in page
    assert '<b class="med">0.38</b>' in page  # 128 MiB in use and 256 asked, of GiB


def test_a_size_over_quota_is_refused_and_said_on_its_tile(cast: Cast) -> None:
    Team.objects.filter(pk=cast.payments.pk).update(max_ram_mib=300)
    client = client_of(cast.alice)
    answer = client.post(reverse("vm_create"), form(flavor="M"))
    assert "over quota: 512 MiB RAM asked, 300 MiB of 300 MiB left" in answer.context["errors"]["flavor"][0]
    tiles = {tile.flavor.name: tile.refusal for tile in client.get(reverse("vm_create")).context["sizes"]}
    assert tiles["nano"] == "" and tiles["M"].startswith("over quota")


def test_a_size_over_every_hosts_memory_is_refused_before_the_click(cast: Cast) -> None:
    made_host(ram_mib=200)
    client = client_of(cast.alice)
    tiles = {tile.flavor.name: tile.refusal for tile in client.get(reverse("vm_create")).context["sizes"]}
    assert tiles["nano"] == "" and tiles["S"] == "biggest host has 200 MiB"
    answer = client.post(reverse("vm_create"), form(flavor="S"))
    assert "256 MiB asked; the biggest host has 200 MiB" in answer.context["errors"]["flavor"]


def test_a_full_network_is_said_before_the_click_and_refused_after_it(cast: Cast) -> None:
    cast.network.subnets.update(pool_start="10.20.0.10", pool_end="10.20.0.10")
    made_vm(cast)
    client = client_of(cast.alice)
    assert "is full: all 1 addresses" in client.get(reverse("vm_effect"), form(name="web-2")).content.decode()
    answer = client.post(reverse("vm_create"), form(name="web-2", request_key="k2"))
    assert "is full" in answer.context["errors"]["network"][0]
    assert VM.objects.count() == 1


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ([], "No host takes new VMs"),
        ([("hv1", 60, 8192)], "No host is up now (hv1)"),
        ([("hv1", 0, 100)], "No host has room: 128 MiB asked, at most 100 MiB are free"),
        ([("hv1", 60, 8192), ("hv2", 0, 8192)], "fits on hv2"),
    ],
)
def test_the_form_says_which_hosts_can_take_it(cast: Cast, hosts: list[tuple[str, int, int]], words: str) -> None:
    for name, age_s, ram_mib in hosts:
        made_host(name, ram_mib)
        Host.objects.filter(name=name).update(libvirt_seen_at=timezone.now() - timedelta(seconds=age_s))
    assert words in hosts_for(cast.flavor).words
    assert words in client_of(cast.alice).get(reverse("vm_effect"), form()).content.decode()


def test_an_operation_that_found_no_host_says_so_on_its_page(cast: Cast) -> None:
    vm = made_vm(cast)
    words = "no host can take it: hv1 is down (connection refused)"
    Operation.objects.filter(object_uuid=vm.uuid).update(state="failed", error=words)
    operation = Operation.objects.get(object_uuid=vm.uuid)
    assert words in client_of(cast.alice).get(reverse("operation", args=[operation.uuid])).content.decode()


def test_two_clicks_are_one_vm_and_two_forms_are_two(cast: Cast) -> None:
    client = client_of(cast.alice)
    first, again = (client.post(reverse("vm_create"), form()) for _ in range(2))
    assert first.url == again.url  # type: ignore[attr-defined]
    other = client.post(reverse("vm_create"), form(name="web-2", request_key="k2"))
    assert other.url != first.url  # type: ignore[attr-defined]
    assert VM.objects.count() == 2


def test_another_teams_request_key_gives_nothing_of_theirs(cast: Cast) -> None:
    made_vm(cast)
    answer = client_of(cast.dana).post(
        reverse("vm_create"), form(network="search-net", request_key="key-web-1", name="theirs")
    )
    assert VM.objects.get(team=cast.search).name == "theirs"
    assert str(VM.objects.get(team=cast.payments).uuid) not in answer.url  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", ["vm_create", "keys", "tokens", "member_add", "invite", "password", "logout", "login"])
def test_a_post_without_csrf_token_is_refused(cast: Cast, url: str) -> None:
    client = client_of(None if url == "login" else cast.alice, enforce_csrf_checks=True)
    assert client.post(reverse(url), form()).status_code == 403


def test_the_api_refuses_a_session_without_csrf_token_as_a_problem(cast: Cast) -> None:
    client = client_of(cast.alice, enforce_csrf_checks=True)
    answer = client.post("/api/v1/vms", form(), content_type="application/json")
    assert answer.status_code == 403
    assert "X-CSRFToken" in answer.json()["errors"]
    assert not VM.objects.exists()


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[1]", b"null", b'"x"', b"[" * 100_000, b'{"name": NaN}'])
def test_malformed_json_is_a_problem_that_names_the_body(cast: Cast, body: bytes) -> None:
    answer = client_of(cast.alice).generic("POST", "/api/v1/vms", body, content_type="application/json")
    assert answer.status_code in (400, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"]


def test_a_body_that_is_too_large_is_refused(cast: Cast) -> None:
    answer = client_of(cast.alice).post("/api/v1/vms", {"name": "x" * 300_000}, content_type="application/json")
    assert answer.status_code == 413
    assert "262144 bytes are allowed" in answer.json()["title"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("vms?state=nonsense", "state"),
        ("vms?limit=0", "limit"),
        ("vms?limit=9999999999", "limit"),
        ("vms?limit=x", "limit"),
        ("vms?cursor=nonsense", "cursor"),
        ("vms?cursor=%00", "cursor"),
        ("vms?name=%00", "name"),
        ("operations?state=x", "state"),
        ("operations?object_uuid=x", "object_uuid"),
        ("activity?object_id=%00", "object_id"),
        ("vms/not-a-uuid", "uuid"),
    ],
)
def test_an_invalid_filter_is_named(cast: Cast, query: str, field: str) -> None:
    answer = client_of(cast.alice).get(f"/api/v1/{query}")
    assert answer.status_code == 422
    assert field in answer.json()["errors"]


@pytest.mark.parametrize("path", ["vm", "vm_delete", "vm_change", "vm_nics", "operation", "trace"])
def test_an_id_that_nobody_has_and_one_of_another_team_are_the_same_404(cast: Cast, path: str) -> None:
    vm, trace = made_vm(cast), made_trace(cast)
    operation = Operation.objects.get(object_uuid=vm.uuid)
    theirs = {
        "vm": vm.uuid,
        "vm_delete": vm.uuid,
        "vm_change": vm.uuid,
        "vm_nics": vm.uuid,
        "operation": operation.uuid,
        "trace": trace.uuid,
    }[path]
    client = client_of(cast.dana)
    pages = [client.get(reverse(path, args=[uuid])) for uuid in (theirs, uuid4())]
    assert [page.status_code for page in pages] == [404, 404]
    said = [page.content.decode().split("<main")[1].split("</main>")[0] for page in pages]  # the clock is below
    assert said[0] == said[1]


def test_a_page_that_is_not_there_shows_a_stranger_nothing_of_the_inside(cast: Cast, client: Client) -> None:
    answer = client.get("/no/such/page/")
    page = answer.content.decode()
    assert answer.status_code == 404 and reverse("login") in page and reverse("logout") not in page
    assert reverse("logout") in client_of(cast.dana).get("/no/such/page/").content.decode()


@pytest.mark.parametrize(
    "next_url", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_the_log_in_sends_nobody_to_another_site(cast: Cast, next_url: str) -> None:
    cast.alice.set_password("correct horse battery")
    cast.alice.save()
    given = {"username": "alice", "password": "correct horse battery", "next": next_url}
    assert client_of(None).post(reverse("login"), given).url == reverse("dashboard")  # type: ignore[attr-defined]


def test_hostile_names_run_on_no_page(cast: Cast) -> None:
    """Rows that got past every check, by an older version or by hand, are still only text."""
    made_host()
    vm, trace = made_vm(cast), made_trace(cast)
    User.objects.filter(pk=cast.alice.pk).update(username=HOSTILE)
    Team.objects.filter(pk=cast.payments.pk).update(name=HOSTILE[:60])
    VM.objects.filter(pk=vm.pk).update(name=HOSTILE[:63], state_reason=HOSTILE)
    Network.objects.filter(pk=cast.network.pk).update(name=HOSTILE[:40])
    vm.ports.update(name=HOSTILE[:63])
    Operation.objects.update(object_name=HOSTILE[:63], error=HOSTILE)
    trace.title = trace.error = HOSTILE
    trace.save()
    Host.objects.update(libvirt_error=HOSTILE, accelerator_reason=HOSTILE)
    cast.image.name = cast.image.note = HOSTILE[:60]
    cast.image.save()
    alice = User.objects.get(pk=cast.alice.pk)
    alice.is_operator = True
    alice.save()
    KeyPair.objects.create(user=alice, name=HOSTILE[:60], public_key="ssh-ed25519 A", fingerprint=HOSTILE[:60])
    client = client_of(alice)
    operation = Operation.objects.get(object_uuid=vm.uuid)
    urls = [
        *(reverse(name) for name in (
            "dashboard", "vm_list", "vm_create", "networks", "keys", "tokens", "sessions", "members", "activity",
            "operations", "trace_new", "hosts", "flow_hosts", "status_line", "api_docs",
        )),
        *(reverse(name, args=[vm.uuid]) for name in ("vm", "vm_delete", "vm_change", "vm_nics", "vm_snapshots", "vm_backups", "console")),
        reverse("backup_restore", args=[made_backup(vm).uuid]),
        reverse("backups"),
        reverse("volume", args=[made_volume(cast, HOSTILE[:60]).uuid]),
        reverse("operation", args=[operation.uuid]),
        reverse("trace", args=[trace.uuid]),
        reverse("vm_effect") + "?name=%3Cscript%3Ealert(%22x%22)%3C/script%3E",
    ]  # fmt: skip
    shown = 0
    for url in urls:
        answer = client.get(url)
        body = answer.content.decode()
        assert answer.status_code == 200, url
        assert "<script>alert" not in body and "<img src=x" not in body, url
        shown += "&lt;script&gt;alert" in body
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert shown >= 15


def test_a_member_who_was_removed_gets_no_vm_made(cast: Cast) -> None:
    client = client_of(cast.bob)
    Membership.objects.filter(user=cast.bob).delete()
    answer = client.post(reverse("vm_create"), form())
    assert answer.status_code == 403
    assert not VM.objects.exists()


def test_json_that_is_deep_or_has_numbers_beyond_all_measure_breaks_nothing(cast: Cast) -> None:
    client = client_of(cast.alice)
    for key in (10**30, -1, 2**63, "1e400"):
        body: Any = json.dumps(form() | {"key": key})
        assert client.post("/api/v1/vms", body, content_type="application/json").status_code == 422
