"""Volumes on the create page, in the API: what is reserved with the VM, what is refused and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.compute.models import VM
from portal.hosts.models import Host
from portal.operations.models import Operation
from portal.volumes.models import Volume
from tests.cast import Cast
from tests.portal.clients import client_of, form, made_host, made_volume


@pytest.fixture
def kept(cast: Cast) -> Volume:
    """A free volume of Payments on hv1, with hv2 beside it."""
    made_host()
    made_host("hv2")
    return made_volume(cast)


def post(cast: Cast, **fields: Any) -> Any:
    return client_of(cast.bob).post(reverse("vm_create"), form() | fields)


def three(*rows: tuple[str, str, str]) -> dict[str, list[str]]:
    """The form's rows of volumes."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return dict(zip(("volume_size_gib", "volume_name", "volume_bus"), columns, strict=True))


def ask(cast: Cast, **fields: Any) -> Any:
    body = {"name": "web-1", "image": "tiny", "flavor": "nano", "network": "payments-net"} | fields
    return client_of(cast.bob).post("/api/v1/vms", json.dumps(body), "application/json")


def test_the_page_offers_a_row_with_a_name_and_the_volumes_that_are_free(cast: Cast, kept: Volume) -> None:
    page = client_of(cast.bob).get(reverse("vm_create")).content.decode()
    assert 'name="volume_size_gib" value=""' in page and 'name="volume_name" value="data"' in page
    assert f'name="attach" value="{kept.name}"' in page
    Volume.objects.update(state="deleting")
    assert 'name="attach"' not in client_of(cast.bob).get(reverse("vm_create")).content.decode()


def test_a_vm_is_asked_for_with_new_volumes_and_a_free_one(cast: Cast, kept: Volume) -> None:
    rows = three(("3", "data", "virtio"), ("", "data-2", "virtio"), ("5", "", "scsi"))
    assert post(cast, **rows, attach=[kept.name]).status_code == 302
    vm, operation = VM.objects.get(), Operation.objects.get(kind="vm.create")
    found = {row.name: row for row in vm.volumes.all()}
    assert set(found) == {"web-1-data", "web-1-data-2", kept.name}
    made = [found["web-1-data"], found["web-1-data-2"]]
    assert [(row.size_gib, row.bus, row.state, row.target) for row in made] == [
        (3, "virtio", "creating", "vdd"), (5, "scsi", "creating", "sdd"),
    ]  # fmt: skip
    assert operation.params["new_volumes"] == [str(row.uuid) for row in made]
    assert (found[kept.name].state, found[kept.name].vm) == ("attached", vm)
    assert set(AuditRow.objects.get(action="vm.create").after["volumes"]) == set(found)


def test_several_vms_get_one_each(cast: Cast) -> None:
    assert post(cast, name="web-1", count="2", **three(("2", "data", "virtio"))).status_code == 302
    told = {row.name: row.vm and row.vm.name for row in Volume.objects.select_related("vm")}
    assert told == {"web-1-data": "web-1", "web-2-data": "web-2"}


def test_the_effect_tells_quota_names_host_and_command_and_stores_nothing(cast: Cast, kept: Volume) -> None:
    sent = form(count="2") | three(("3", "data", "virtio"))
    body = client_of(cast.bob).post(reverse("vm_effect"), sent).content.decode()
    assert "web-1-data, 3" in body and "web-2-data, 3" in body and "pool=hopsight,size=3,bus=virtio" in body
    assert "Volumes</span>" in body and "On volumes</span>" in body and '<b class="med">8</b>' in body
    body = client_of(cast.bob).post(reverse("vm_effect"), form() | {"attach": [kept.name]}).content.decode()
    assert "lies on hv1" in body and "fits on hv1<" in body and f"vol=hopsight/{kept.file_name}" in body
    assert not VM.objects.exists() and Volume.objects.count() == 1


def test_all_that_is_wrong_is_told_by_field_in_a_form_that_is_open_and_filled(cast: Cast, kept: Volume) -> None:
    rows = three(
        ("0", "a", "virtio"), ("many", "b", "virtio"), ("4", "No", "ide"), ("6", "c", "virtio"), ("6", "c", "virtio")
    )
    answer = post(cast, **rows, attach=["nobodys"], host="hv9")
    page = answer.content.decode()
    assert answer.status_code == 422 and '<details class="fs" open>' in page
    for words in (
        "0 GiB were given", "“many” was given; a whole number from 1 to 16384 is allowed", "“No” was given; allowed are a-z", "“ide” was given; virtio",
        "two volumes would be called web-1-c", "no volume “nobodys” in team Payments", "hosts that take VMs are",
    ):  # fmt: skip
        assert words in page, words
    assert 'value="many"' in page and page.count('value="c"') == 2
    assert not VM.objects.exists() and Volume.objects.count() == 1


@pytest.mark.parametrize(("limit", "value", "count", "words"), [
    ("max_volumes", 2, "1", "2 volumes asked, 1 of 2 left"), ("max_volume_gib", 5, "1", "8 GiB of volumes asked"),
    ("max_volumes", 4, "2", "4 volumes asked, 3 of 4 left"),
])  # fmt: skip
def test_over_quota_nothing_is_made(cast: Cast, kept: Volume, limit: str, value: int, count: str, words: str) -> None:
    setattr(cast.payments, limit, value)
    cast.payments.save()
    answer = post(cast, count=count, **three(("4", "a", "virtio"), ("4", "b", "virtio")))
    assert answer.status_code == 422 and words in answer.content.decode()
    assert not VM.objects.exists() and Volume.objects.count() == 1


def test_a_volume_pins_the_vm_to_its_host_and_a_contradiction_is_told(cast: Cast, kept: Volume) -> None:
    answer = ask(cast, attach=[kept.name], host="hv2")
    assert answer.status_code == 422
    assert answer.json()["errors"]["host"] == [f"hv2 was given; {kept.name} lies on hv1: choose that, or the best one"]
    Host.objects.filter(name="hv1").update(in_maintenance=True)
    assert "which takes no new VMs now" in ask(cast, attach=[kept.name]).json()["errors"]["attach"][0]
    Host.objects.update(in_maintenance=False)
    assert ask(cast, attach=[str(kept.uuid)], host="hv1").status_code == 202
    words = ask(cast, name="web-2", attach=[kept.name]).json()["errors"]["attach"]
    assert words == [f"{kept.name}: it is attached to web-1: detach it first"]


def test_a_volume_is_for_one_vm_and_once(cast: Cast, kept: Volume) -> None:
    assert "was given twice" in ask(cast, attach=[kept.name, str(kept.uuid)]).json()["errors"]["attach"][0]
    assert "2 VMs cannot have the same volume" in post(cast, count="2", attach=[kept.name]).content.decode()
    many = [{"size_gib": 1}] * 9
    assert "9 were given; 8 are the most" in ask(cast, volumes=many).json()["errors"]["volumes"][0]
    assert not VM.objects.exists()


def test_another_teams_volume_is_unknown(cast: Cast, kept: Volume) -> None:
    Volume.objects.update(team=cast.search, name="theirs")
    for named in ("theirs", str(kept.uuid)):
        words = ask(cast, attach=[named]).json()["errors"]["attach"]
        assert words == [f"no volume “{named}” in team Payments: choose of the list"]
    kept.refresh_from_db()
    assert kept.vm is None and not VM.objects.exists()
    assert "theirs" not in client_of(cast.bob).get(reverse("vm_create")).content.decode()


def test_the_same_request_again_and_a_retry_have_the_same_volumes(cast: Cast, kept: Volume) -> None:
    body = {"volumes": [{"size_gib": 2}], "attach": [kept.name], "request_key": "once"}
    assert [ask(cast, **body).status_code for _ in range(2)] == [202, 202]
    assert Volume.objects.count() == 2 and VM.objects.count() == 1
    # it failed, and nothing is left
    Operation.objects.update(state="failed")
    Volume.objects.filter(name="web-1-data").delete()
    Volume.objects.update(vm=None, state="available", target="")
    uuid = Operation.objects.get().uuid
    VM.objects.get().ports.all().delete()
    VM.objects.all().delete()
    answer = client_of(cast.bob).post(f"/api/v1/operations/{uuid}/retry")
    assert answer.status_code == 202, answer.content
    assert {row.name for row in VM.objects.get().volumes.all()} == {"web-1-data", kept.name}


def test_a_name_that_is_taken_or_too_long_is_told(cast: Cast, kept: Volume) -> None:
    Volume.objects.update(name="web-1-data")
    errors = ask(cast, volumes=[{"size_gib": 1, "name": "data"}, {"size_gib": 1, "name": "x" * 60}]).json()["errors"]
    assert "Payments has a volume web-1-data already" in errors["volume_1_name"][0]
    assert "it has 66 characters; 63 are allowed" in errors["volume_2_name"][0]
    for name in ("a" * 60000, "a\0b"):
        assert ask(cast, name=name, volumes=[{"size_gib": 1}]).status_code == 422
    assert ask(cast, volumes=[{"size_gib": 1}]).status_code == 202, "without a name it gets the next one"
    assert Volume.objects.filter(name="web-1-data-2").exists()
