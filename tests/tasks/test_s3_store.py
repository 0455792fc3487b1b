"""A store in a bucket, against a real S3 service: what is put is read back the same, nothing half is left, and each failure has words.

[worker's file] --parts, each with its SHA-256--> [bucket: prefix/hopsight/<vm>/<backup>/disk.qcow2] --> [worker's file]
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from uuid import uuid4

import pytest
from django.utils import timezone

from portal.accounts.sealing import seal
from portal.backups.models import Backup, BackupStore
from tasks.backups.look import look_at
from tasks.backups.s3 import MARK, PART_BYTES, PARTS_MOST, Access, S3Store, part_bytes
from tasks.backups.store import StoreProblem
from tasks.sagas.engine import Cancelled
from tests.s3 import Gate, answering

UUID = uuid4()
FOLDER = f"hopsight/{uuid4()}/{uuid4()}"
KEY = f"{FOLDER}/disk.qcow2"


@pytest.fixture
def bucket(s3):
    return s3.bucket(f"b-{uuid4().hex[:12]}")


def store_at(service, bucket, endpoint="", keys=None, uuid=UUID, prefix="attic/vms"):
    access = Access(endpoint or service.endpoint, "us-east-1", *(keys or (service.access_key, service.secret)))
    return S3Store("cloud", access, bucket, prefix, uuid)


@pytest.fixture
def disk(tmp_path):
    """Two parts and a bit."""
    path = tmp_path / "disk"
    path.write_bytes(os.urandom(2 * PART_BYTES + 12345))
    return path


def test_a_file_goes_up_in_parts_and_comes_back_the_same(s3, bucket, disk):
    store, told = store_at(s3, bucket), []
    put = store.put(KEY, disk, told.append)
    content = disk.read_bytes()
    assert (put.size_bytes, put.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert told == [PART_BYTES, 2 * PART_BYTES, len(content)]
    assert b"".join(store.read(KEY)) == content
    store.put_text(f"{FOLDER}/manifest.json", "{}")
    assert s3.keys(bucket) == [f"attic/vms/{KEY}", f"attic/vms/{FOLDER}/manifest.json"]
    ((one,)) = store.inventory()
    assert (one.folder, one.files, one.size_bytes, one.uploads) == (FOLDER, 2, len(content) + 2, 0)
    store.remove_all(FOLDER)
    store.remove_all(FOLDER)
    assert s3.keys(bucket) == [] and store.inventory() == []


def test_no_more_of_a_file_is_in_memory_than_a_part_and_no_more_parts_are_made_than_s3_takes():
    assert [part_bytes(size) for size in (0, 1, PART_BYTES * PARTS_MOST)] == [PART_BYTES] * 3
    for tib in (1, 2, 5):
        part = part_bytes(tib * 1024**4)
        assert -(-tib * 1024**4 // part) <= PARTS_MOST and part % 1024**2 == 0
    assert part_bytes(1024**4) < 128 * 1024**2


def test_an_upload_that_is_cancelled_leaves_no_part_behind(s3, bucket, disk):
    def cancel(done):
        if done > PART_BYTES:
            raise Cancelled("Cancelled by alice.")

    with pytest.raises(Cancelled):
        store_at(s3, bucket).put(KEY, disk, cancel)
    assert s3.uploads(bucket) == [] and s3.keys(bucket) == []


def test_what_a_killed_worker_left_is_ended_by_the_next_try_and_by_an_undo(s3, bucket, disk):
    store, client = store_at(s3, bucket), s3.client()
    full = f"attic/vms/{KEY}"
    for end in (lambda: store.put(KEY, disk, lambda _: None), lambda: store.remove_all(FOLDER)):
        upload = client.create_multipart_upload(Bucket=bucket, Key=full)["UploadId"]
        client.upload_part(Bucket=bucket, Key=full, UploadId=upload, PartNumber=1, Body=b"x")
        assert [one.uploads for one in store.inventory()] == [1]
        end()
        assert s3.uploads(bucket) == []


def test_a_download_whose_connection_breaks_goes_on_where_it_was(s3, bucket, disk):
    gate = Gate(s3.endpoint)
    try:
        store = store_at(s3, bucket, gate.endpoint)
        store.put(KEY, disk, lambda _: None)
        gate.cut_after = PART_BYTES
        assert b"".join(store.read(KEY)) == disk.read_bytes()
        assert gate.cut_after == 0, "it was cut"
    finally:
        gate.close()


def test_a_new_store_gets_our_mark_and_one_that_lost_it_or_is_anothers_is_refused(s3, bucket):
    store = store_at(s3, bucket)
    with pytest.raises(StoreProblem, match=r"has no attic/vms/\.hopsight-store \(any more\): was it emptied\?"):
        store.look(may_mark=False)
    assert store.look(may_mark=True).free_bytes is None
    store.look(may_mark=False)
    assert s3.keys(bucket) == [f"attic/vms/{MARK}"]
    with pytest.raises(StoreProblem, match="another installation's store"):
        store_at(s3, bucket, uuid=uuid4()).look(may_mark=True)


def test_keys_that_are_not_ours_are_never_asked_for(s3, bucket):
    for key in ("other/x", "hopsight/../x", "/etc/passwd", ""):
        with pytest.raises(StoreProblem, match="no key of ours"):
            store_at(s3, bucket).put_text(key, "x")


def certificate(folder):
    path = folder / "both.pem"
    asked = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=store", "-days", "1"]  # fmt: skip
    subprocess.run(["openssl", *asked, "-keyout", folder / "k", "-out", folder / "c"], check=True, capture_output=True)
    path.write_text((folder / "k").read_text() + (folder / "c").read_text())
    return path


def failing(store):
    with pytest.raises(StoreProblem) as caught:
        store.look(may_mark=True)
    return str(caught.value)


def test_each_failure_says_what_it_is_and_none_tells_the_secret(s3, bucket, tmp_path):
    closed = "http://127.0.0.1:1"
    tls = s3.endpoint.replace("http://", "https://")
    wrong, other = "w" * 40, ("AKIAUNKNOWN", "z" * 40)
    cases = [
        (store_at(s3, "no-such-bucket"), "there is no such bucket: make it first"),
        (store_at(s3, bucket, keys=s3.powerless), "denied: the key may not do this there"),
        (store_at(s3, bucket, keys=other), "denied: the store does not know the access key"),
        (store_at(s3, bucket, keys=(s3.access_key, wrong)), "denied: the secret is not the access key's"),
        (store_at(s3, bucket, closed), "unreachable: nothing listens there"),
        (store_at(s3, bucket, "http://no-such-host.invalid"), "unreachable: its name"),
        (store_at(s3, bucket, tls), "TLS: it does not speak TLS there: is it http://?"),
    ]
    for store, words in cases:
        said = failing(store)
        assert said.startswith("store cloud: could not look at it: ") and words in said
        assert not any(secret in said + repr(vars(store)) for secret in (s3.secret, s3.powerless[1], wrong, other[1]))
    answers = [
        (403, _error("RequestTimeTooSkewed"), None, "this machine's clock and the store's differ too much"),
        (400, _error("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"), None, "another region: eu-west-1"),
        (503, _error("SlowDown"), None, "the store is too busy"),
        (507, _error("XMinioStorageFull"), None, "the store is full"),
        (404, b"<html>nothing here", None, "or what answers there is no S3 store"),
        (418, _error("Odd", "<Message>short and stout</Message>"), None, "the store answers Odd: short and stout"),
        (200, b"", certificate(tmp_path), "TLS: its certificate is signed by nobody known here"),
    ]
    for status, body, over_tls, words in answers:
        with answering(status, body, over_tls) as endpoint:
            assert words in failing(store_at(s3, bucket, endpoint))


def _error(code, more=""):
    return f"<?xml version='1.0'?><Error><Code>{code}</Code>{more}</Error>".encode()


@pytest.fixture
def row(db, s3, bucket):
    return BackupStore.objects.create(
        name="cloud", kind="s3", endpoint=s3.endpoint, bucket=bucket, prefix="attic", region="us-east-1",
        access_key=s3.access_key, sealed_secret=seal(s3.secret),
    )  # fmt: skip


def looked_at(row):
    look_at(BackupStore.objects.get(pk=row.pk))
    row.refresh_from_db()
    return row


def test_a_try_goes_every_way_that_a_backup_goes_and_leaves_nothing(row, s3, bucket):
    BackupStore.objects.update(try_asked_at=timezone.now())
    looked_at(row)
    assert (row.problem, row.try_asked_at, row.tried["problem"]) == ("", None, "")
    assert [one["step"] for one in row.tried["steps"]] == ["reach", "write", "read", "list", "remove"]
    assert s3.keys(bucket) == [f"attic/{MARK}"] and s3.uploads(bucket) == []


def test_a_try_that_fails_tells_where_it_stopped(row, s3):
    BackupStore.objects.update(try_asked_at=timezone.now(), sealed_secret=seal("x" * 40))
    looked_at(row)
    assert row.tried["steps"] == [] and "the secret is not the access key's" in row.tried["problem"]
    assert row.problem == row.tried["problem"]


def test_a_secret_that_was_sealed_with_another_key_is_asked_for_again(row, settings):
    settings.SECRET_KEY = "another one of the same length as it was made, once"
    assert "HOPSIGHT_SECRET) is another one: give it again" in looked_at(row).problem


def test_what_no_backup_explains_is_shown_and_left_alone_and_uploads_that_nobody_is_at_are_ended(
    row, s3, bucket, world
):
    vm = world.make_vm()
    known = Backup.objects.create(
        team=vm.team, vm=vm, vm_uuid=vm.uuid, vm_name=vm.name, store=row, image=vm.image, flavor=vm.flavor, disk_gib=1,
        state="taking",
    )  # fmt: skip
    client = s3.client()
    for key in (known.disk_key, KEY, f"{FOLDER}/manifest.json"):
        client.put_object(Bucket=bucket, Key=f"attic/{key}", Body=b"12345")
    client.put_object(Bucket=bucket, Key="somebody/elses", Body=b"1")
    for key in (known.disk_key, KEY):
        client.create_multipart_upload(Bucket=bucket, Key=f"attic/{key}")
    assert looked_at(row).strays == [{"folder": FOLDER, "files": 2, "size_bytes": 10}]
    assert s3.uploads(bucket) == [f"attic/{known.disk_key}"] and len(s3.keys(bucket)) == 5
    listed = row.listed_at
    client.delete_object(Bucket=bucket, Key=f"attic/{KEY}")
    assert looked_at(row).listed_at == listed, "an hour goes by before it is looked through again"
