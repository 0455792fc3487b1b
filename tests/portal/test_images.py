"""Images are asked for with every wrong field named, uploaded in chunks that resume, held to the team's room, and deleted
only when no disk lies on them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import AuditRow
from portal.compute.models import VM
from portal.images.models import ImageImport
from portal.images.requests import ABANDONED_AFTER, abandon_old
from portal.images.store import incoming_folder, source_file
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_image, made_import, made_vm

URL = "/api/v1/image-imports"
GOOD = {"name": "Alpine", "url": "https://images.example/alpine.qcow2"}
# field, value → words of the refusal.
FIELDS: list[tuple[str, Any, str]] = [
    ("name", "", "1 to 60 that can be printed are allowed"),
    ("name", "x" * 61, "61 characters were given"),
    ("name", "a\0b", "can be printed"),
    ("url", "file:///etc/passwd", "an http:// or https:// address is allowed"),
    ("url", "http://", "an http:// or https:// address is allowed"),
    ("url", "http://[::1", "this is not a URL"),
    (
        "url",
        "http://169.254.169.254/latest/meta-data",
        "169.254.169.254 is not on the internet: upload the file instead",
    ),
    ("url", "https://[::ffff:10.0.0.1]/x", "::ffff:10.0.0.1 is not on the internet"),
    ("url", "http://LocalHost.:8000/x", "localhost. is not on the internet"),
    ("url", "https://me:word@images.example/x", "a name or password in the URL"),
    ("disk_format", "vmdk", "qcow2 and raw are allowed"),
    ("checksum", "abc", "64 (SHA-256) or 128 (SHA-512) hex digits"),
    ("login_user", "Root; rm", "allowed are 1 to 32 of a-z"),
    ("min_ram_mib", 0, "16 to 1048576 are allowed"),
    ("min_disk_gib", 10**6, "1 to 16384 are allowed"),
]


def test_a_wrong_field_is_named_with_what_is_allowed_on_the_page_and_in_the_api(cast: Cast) -> None:
    client = client_of(cast.alice)
    for field, value, words in FIELDS:
        told = client.post(URL, GOOD | {field: value}, content_type="application/json")
        assert told.status_code == 422 and words in " ".join(told.json()["errors"].get(field, [])), (
            field,
            value,
            told.content,
        )
        page = client.post(reverse("images"), GOOD | {"disk_format": "qcow2"} | {field: value})
        assert page.status_code == 422, (field, value)
        assert words in " ".join(page.context["errors"].get(field, [])) or "\0" in str(value), (
            field,
            page.context["errors"],
        )
    for size in (0, 10**15):
        told = client.post(URL, {"name": "big", "size_bytes": size}, content_type="application/json")
        assert told.status_code == 422 and "size_bytes" in told.json()["errors"]
    assert not ImageImport.objects.exists() and not Operation.objects.exists()


def test_an_import_by_url_is_an_operation_and_is_audited(cast: Cast) -> None:
    answer = client_of(cast.alice).post(reverse("images"), GOOD | {"disk_format": "qcow2"})
    operation = Operation.objects.get(kind="image.import")
    assert answer.headers["Location"] == reverse("operation", args=[operation.uuid])
    assert AuditRow.objects.get(action="image.import").actor == "alice"
    assert b"Import image Alpine" in client_of(cast.alice).get(answer.headers["Location"]).content


def put(client: Any, row: ImageImport, offset: int, chunk: bytes) -> Any:
    url = f"{URL}/{row.uuid}/bytes?offset={offset}"
    return client.put(url, chunk, content_type="application/octet-stream")


def test_an_upload_goes_on_where_it_was_cut_off_and_starts_the_import_with_its_last_byte(cast: Cast) -> None:
    client, row = client_of(cast.bob), made_import(cast)
    assert put(client, row, 0, b"abcd").json()["received_bytes"] == 4
    for offset, chunk, field in ((0, b"abcd", "offset"), (6, b"gh", "offset"), (4, b"efghi", "body"), (4, b"", "body")):
        refused = put(client, row, offset, chunk)
        assert refused.status_code == 422 and field in refused.json()["errors"], (offset, chunk)
    assert b"upload stopped at 50 %" in client.get(reverse("images")).content
    assert client.get(f"{URL}/{row.uuid}").json()["received_bytes"] == 4 and not Operation.objects.exists()
    assert put(client, row, 4, b"efgh").status_code == 200
    assert source_file(row.uuid).read_bytes() == b"abcdefgh"
    assert Operation.objects.get().kind == "image.import"
    assert "takes no more bytes" in put(client, row, 8, b"i").json()["errors"]["offset"][0]


def test_a_chunk_may_be_larger_than_other_requests_but_not_than_a_chunk(cast: Cast) -> None:
    client, row = client_of(cast.alice), made_import(cast, size_bytes=6 * 1024**2)
    assert put(client, row, 0, bytes(4 * 1024**2)).json()["received_bytes"] == 4 * 1024**2
    assert put(client, row, 4 * 1024**2, bytes(4 * 1024**2 + 1)).status_code == 413


def test_images_of_a_team_and_its_uploads_share_one_room(cast: Cast, settings: Any) -> None:
    settings.IMAGE_TEAM_GIB = settings.IMAGE_MAX_GIB = 1
    made_import(cast, size_bytes=1024**3 - 5)
    asked = {"name": "more", "size_bytes": 6}
    refused = client_of(cast.bob).post(URL, asked, content_type="application/json")
    assert "5 bytes are left" in refused.json()["errors"]["size_bytes"][0]
    assert client_of(cast.dana).post(URL, asked, content_type="application/json").status_code == 202


def test_an_upload_is_given_up_by_hand_or_when_nobody_goes_on_with_it(cast: Cast) -> None:
    client, first, second = client_of(cast.alice), made_import(cast), made_import(cast, "Other")
    for row in (first, second):
        put(client, row, 0, b"abcd")
    client.post(reverse("image_delete", args=[first.uuid]))
    assert [row.name for row in ImageImport.objects.all()] == ["Other"] and not incoming_folder(first.uuid).exists()
    assert abandon_old() == 0
    ImageImport.objects.update(touched_at=timezone.now() - ABANDONED_AFTER - timedelta(minutes=1))
    assert abandon_old() == 1 and not incoming_folder(second.uuid).exists()


def test_an_image_that_disks_lie_on_or_that_is_everybodys_is_not_deleted(cast: Cast) -> None:
    row, vm, client = made_image(cast), made_vm(cast), client_of(cast.alice)
    VM.objects.filter(pk=vm.pk).update(image=row.image)
    page = client.post(reverse("image_delete", args=[row.uuid]))
    assert page.status_code == 422 and "what the disks of web-1 lie on" in page.content.decode()
    assert "everybody's" in client.delete("/api/v1/images/tiny").json()["errors"]["image"][0]
    VM.objects.filter(pk=vm.pk).update(image=cast.image)
    first = client.delete(f"/api/v1/images/{row.slug}").json()["operation"]["uuid"]
    assert client.delete(f"/api/v1/images/{row.slug}").json()["operation"]["uuid"] == first


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "{{ 7|add:7 }}'\"--"])
def test_a_hostile_name_is_shown_as_text_and_names_no_file(cast: Cast, hostile: str) -> None:
    row = made_image(cast, hostile)
    made_import(cast, hostile)
    page = client_of(cast.alice).get(reverse("images")).content
    assert b"<script>alert" not in page and b">14'" not in page
    assert row.slug.replace("-", "").isalnum() and hostile not in str(source_file(row.uuid))


def test_another_teams_images_do_not_exist(cast: Cast) -> None:
    row = made_image(cast, "Secret")
    client = client_of(cast.dana)
    assert b"Secret" not in client.get(reverse("images")).content
    assert client.get(f"{URL}/{row.uuid}").status_code == 404
    assert client.delete(f"/api/v1/images/{row.slug}").status_code == 404
    assert client.get(URL).json() == []
