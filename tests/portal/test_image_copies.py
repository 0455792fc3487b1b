"""Operators see which hosts have a copy of an image, have one pulled, and evict what no VM needs; members see where it is."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.compute.models import VM, Image
from portal.images.copies import copies
from portal.images.models import ImageCopy
from tests.cast import Cast
from tests.portal.clients import client_of, made_copy, made_host, made_vm

URL = "/api/v1/image-copies"


def listed(cast: Cast, **asked: str) -> Any:
    return client_of(cast.olga).get(URL, asked).json()


def test_a_copy_that_a_vm_lies_on_stays_and_the_page_says_why(cast: Cast) -> None:
    row, vm = made_copy(cast), made_vm(cast)
    VM.objects.filter(pk=vm.pk).update(host=row.host)
    olga = client_of(cast.olga)
    (told,) = listed(cast)
    assert (told["vms"], told["needed"]) == (1, "1 VM of this host lies on it")
    refused = olga.post(reverse("image_copy_evict", args=[row.pk]))
    assert refused.status_code == 422 and "Tiny Linux on hv1 stays: 1 VM" in refused.content.decode()
    assert 'title="1 VM of this host lies on it"' in olga.get(reverse("host", args=["hv1"])).content.decode()
    VM.objects.filter(pk=vm.pk).update(host=None)
    assert olga.delete(f"{URL}/{row.pk}").status_code == 204
    row.refresh_from_db()
    assert row.state == ImageCopy.State.LEAVING
    assert AuditRow.objects.get(action="image.evict").before == {"host": "hv1"}


def test_a_pull_is_wished_for_once_and_taken_back(cast: Cast) -> None:
    Image.objects.filter(pk=cast.image.pk).update(disk_path="/images/tiny.qcow2")
    made_host(), made_host("hv2")
    olga, asked = client_of(cast.olga), {"image": "tiny", "host": "hv2"}
    first, second = (olga.post(URL, asked, content_type="application/json") for _ in range(2))
    assert first.status_code == second.status_code == 202 and first.json()["id"] == second.json()["id"]
    page = olga.get(reverse("image", args=["tiny"])).content.decode()
    assert "to be pulled" in page and "<option>hv1</option>" in page and "<option>hv2</option>" not in page
    assert listed(cast, host="hv1") == [] and [row["state"] for row in listed(cast, image="tiny")] == ["wanted"]
    olga.post(reverse("image_copy_evict", args=[first.json()["id"]]))
    assert not ImageCopy.objects.exists()
    wrong = olga.post(URL, {"image": "none", "host": "hv9"}, content_type="application/json")
    assert wrong.json()["errors"] == {"image": ["no image none"], "host": ["no host hv9"]}


def test_an_image_without_a_file_is_not_pulled(cast: Cast) -> None:
    made_host()
    page = client_of(cast.olga).post(reverse("image_pull", args=["tiny"]), {"host": "hv1"})
    assert page.status_code == 422 and "there is nothing to pull" in page.content.decode()


def test_a_member_sees_where_a_copy_is_and_evicts_none(cast: Cast) -> None:
    row = made_copy(cast)
    page = client_of(cast.bob).get(reverse("image", args=["tiny"])).content.decode()
    assert "hv1" in page and "Evict" not in page and "Pull it to" not in page
    assert client_of(cast.bob).post(reverse("image_copy_evict", args=[row.pk])).status_code == 403


def test_the_copies_are_told_in_as_many_queries_however_many_there_are(
    cast: Cast, django_assert_num_queries: Any
) -> None:
    for number in range(1, 9):
        ImageCopy.objects.create(image=cast.image, host=made_host(f"hv{number}"), path=f"/tmp/images/{number}")
    for rows in (ImageCopy.objects.filter(host__name="hv1"), ImageCopy.objects.all()):
        with django_assert_num_queries(6):
            assert len(copies(rows)) == rows.count()
