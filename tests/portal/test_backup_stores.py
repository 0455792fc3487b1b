"""Stores of backups as operators set them up: what is refused has words, and a secret is told by nothing."""

from __future__ import annotations

import json
import logging

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.accounts.sealing import SealBroken, seal, unseal
from portal.api.models import KeptAnswer
from portal.backups.models import BackupStore
from portal.backups.stores import StoreSpec
from portal.operations.models import Operation
from tests.portal.clients import STRAY, client_of, made_store

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
S3 = {
    "name": "cloud", "kind": "s3", "endpoint": "https://s3.example.net:9000/", "bucket": "backups", "prefix": "/hop/one/",
    "access_key": "AKIDEXAMPLE", "secret": SECRET,
}  # fmt: skip
PAGE = "/backup-stores/"
API = "/api/v1/backup-stores"


def send(client, method, path, body, **headers):
    return client.generic(method, path, json.dumps(body), content_type="application/json", headers=headers)


@pytest.fixture
def olga(cast):
    return client_of(cast.olga)


def test_an_operator_sets_up_a_bucket_and_its_secret_is_told_by_nothing(
    olga, caplog, django_capture_on_commit_callbacks
):
    caplog.set_level(logging.DEBUG)
    answer = send(olga, "POST", API, S3, **{"Idempotency-Key": "once"})
    assert answer.status_code == 201, answer.content
    row = BackupStore.objects.get()
    assert row.place == "https://s3.example.net:9000/backups/hop/one" == answer.json()["place"]
    assert (row.region, row.access_key, unseal(row.sealed_secret)) == ("us-east-1", "AKIDEXAMPLE", SECRET)
    told = [
        answer.content.decode(), olga.get(API).content.decode(), olga.get(PAGE).content.decode(), caplog.text, repr(row),
        repr(StoreSpec(**S3)), *(str(vars(one)) for one in AuditRow.objects.all()),
        *(str(vars(one)) for one in KeptAnswer.objects.all()), str(BackupStore.objects.values().get()),
    ]  # fmt: skip
    assert not [text for text in told if SECRET in text]


def test_a_secret_is_not_told_back_with_what_is_wrong(olga):
    wrong = S3 | {
        "name": "No!",
        "secret": "short",
        "bucket": "B",
        "endpoint": "ftp://x",
        "prefix": "a/../b",
        "region": "?",
    }
    for secret in ("short é", SECRET * 9):
        answer = send(olga, "POST", API, wrong | {"secret": secret})
        assert answer.status_code == 422 and secret not in answer.content.decode()
    answer = send(olga, "POST", API, wrong)
    assert {*answer.json()["errors"]} == {"name", "secret", "bucket", "endpoint", "prefix", "region"}
    page = olga.post(f"{PAGE}?kind=s3", wrong | {"what": "make", "secret": SECRET})
    assert page.status_code == 422 and SECRET not in page.content.decode() and "ftp://x" in page.content.decode()
    assert not BackupStore.objects.exists()


@pytest.mark.parametrize(
    "endpoint",
    ["s3.example.net", "https://user:pass@host", "https://host/path", "https://host?x=1", "https://host#x", "https://",
     "https://host:0", "https://host:99999", "https://ho st", "file:///etc/passwd", "https://[::1", "https://a\nb"],
)  # fmt: skip
def test_an_endpoint_is_a_scheme_a_host_and_a_port(olga, endpoint):
    answer = send(olga, "POST", API, S3 | {"endpoint": endpoint})
    assert answer.status_code == 422 and [*answer.json()["errors"]] == ["endpoint"]


def test_no_store_lies_in_another(olga):
    assert send(olga, "POST", API, S3).status_code == 201
    for prefix in ("hop/one", "hop", "", "hop/one/more"):
        answer = send(olga, "POST", API, S3 | {"name": "other", "prefix": prefix})
        assert answer.status_code == 422 and "cloud" in answer.json()["errors"]["prefix"][0]
    for name, other in (("two", {"prefix": "hop/two"}), ("three", {"bucket": "another"})):
        assert send(olga, "POST", API, S3 | {"name": name} | other).status_code == 201


def test_a_key_is_changed_and_the_change_is_told_without_its_secret(olga):
    send(olga, "POST", API, S3)
    row = BackupStore.objects.get()
    assert (
        olga.post(PAGE, {"what": "keys", "store": row.uuid, "access_key": "OTHER", "secret": "n" * 20}).status_code
        == 302
    )
    row.refresh_from_db()
    assert (row.access_key, unseal(row.sealed_secret)) == ("OTHER", "n" * 20)
    assert AuditRow.objects.order_by("id").last().after == {"access_key": "OTHER", "secret": "another one"}
    answer = send(olga, "PATCH", f"{API}/{row.uuid}", {"access_key": "THIRD", "is_enabled": False})
    assert answer.status_code == 422 and [*answer.json()["errors"]] == ["secret"]
    row.refresh_from_db()
    assert row.is_enabled and row.access_key == "OTHER", "all or nothing"
    folder = made_store()
    answer = send(olga, "PATCH", f"{API}/{folder.uuid}", {"access_key": "OTHER", "secret": SECRET})
    assert "a folder, which has no keys" in answer.json()["errors"]["access_key"][0]


def test_a_try_is_asked_for_once_and_what_it_found_is_on_the_page(olga):
    row = made_store()
    for _ in range(2):
        assert send(olga, "POST", f"{API}/{row.uuid}/try", {}).status_code == 202
    assert AuditRow.objects.filter(action="backup_store.try").count() == 1
    assert "A try is asked for" in olga.get(PAGE).content.decode()
    found = {"at": "2026-01-01T00:00:00+00:00", "steps": [{"step": "write", "words": "8 MiB written in 0.1 s"}], "problem": "store shelf: <b>denied</b>"}  # fmt: skip
    strays = [{"folder": "hopsight/a/b", "files": 2, "size_bytes": 2048}]
    BackupStore.objects.update(try_asked_at=None, tried=found, strays=strays)
    page = olga.get(PAGE).content.decode()
    assert "8 MiB written in 0.1 s" in page and "&lt;b&gt;denied" in page and "hopsight/a/b" in page
    told = olga.get(API).json()[0]
    assert told["tried"]["problem"] == found["problem"] and told["strays"] == strays


def test_only_operators_read_where_a_store_is_and_name_endpoints(cast, olga):
    send(olga, "POST", API, S3)
    alice = client_of(cast.alice)
    told = alice.get(API).json()[0]
    assert (told["place"], told["access_key"], told["tried"], told["strays"]) == ("", "", None, [])
    assert send(alice, "POST", API, S3 | {"name": "mine"}).status_code == 403
    assert alice.get(reverse("backup_stores")).status_code in (403, 404)


def test_a_sealed_secret_is_never_twice_the_same_and_opens_with_its_own_key_alone(settings):
    first, second = seal(SECRET), seal(SECRET)
    assert first != second and unseal(first) == unseal(second) == SECRET
    with pytest.raises(SealBroken):
        unseal(first[:-4] + "AAA=")
    settings.SECRET_KEY = "another one, of this test alone"
    with pytest.raises(SealBroken):
        unseal(first)


def test_what_no_backup_explains_is_removed_only_by_operators_who_tick_it_and_type_the_stores_name(cast):
    row, olga = made_store(), client_of(cast.olga)
    page = reverse("backup_stores")
    asked = {"what": "clean", "store": str(row.uuid), "stray": [STRAY, "hopsight/gone/gone"], "typed": "shell"}
    refused = olga.post(page, asked)
    assert refused.status_code == 422 and not Operation.objects.exists()
    text = refused.content.decode()
    for words in ("1 of them is not among what was found there", "type shelf to consent; “shell” was typed", STRAY):
        assert words in text
    api = f"/api/v1/backup-stores/{row.uuid}/clean"
    body = {"folders": [], "typed": "shelf"}
    answer = olga.post(api, body, content_type="application/json")
    assert answer.status_code == 422 and "tick what is to be removed" in answer.content.decode()
    assert (
        client_of(cast.alice).post(api, {**body, "folders": [STRAY]}, content_type="application/json").status_code
        == 403
    )
    assert client_of(cast.alice).get(page).status_code in (403, 404)
    taken = olga.post(page, {**asked, "stray": [STRAY], "typed": "shelf"})
    made = Operation.objects.get(kind="store.clean")
    assert taken.status_code == 302 and taken.url == reverse("operation", args=[made.uuid])
    assert (made.team, made.params) == (None, {"folders": [STRAY]})
    row = AuditRow.objects.get(action="store.clean")
    assert (row.actor, row.object_name, row.after) == ("olga", "shelf", {"folders": [STRAY]})
    shown = olga.get(page).content.decode()
    assert reverse("operation", args=[made.uuid]) in shown and f'value="{STRAY}"' in shown
