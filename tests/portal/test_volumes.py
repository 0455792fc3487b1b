"""Volumes as people ask for them: what is reserved, what is refused and in which words, who may."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow, Team
from portal.compute.models import VM
from portal.hosts.models import Host
from portal.live.topics import snapshot_of
from portal.operations.models import Operation
from portal.volumes.models import Pool, Volume
from portal.volumes.quota import MOST_VOLUMES
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm, made_volume


@pytest.fixture
def vm(cast: Cast) -> VM:
    vm = made_vm(cast)
    VM.objects.update(host=made_host(), state="running")
    Operation.objects.update(state="done")
    vm.refresh_from_db()
    return vm


@pytest.fixture
def volume(cast: Cast, vm: VM) -> Volume:
    return made_volume(cast)


def ask(cast: Cast, method: str, path: str, body: dict[str, Any] | None = None, person: str = "bob") -> Any:
    url = f"/api/v1/volumes{path}"
    return client_of(getattr(cast, person)).generic(
        method, url, json.dumps(body or {}), content_type="application/json"
    )


def words(answer: Any) -> str:
    assert answer.status_code == 422, answer.content
    return " ".join(line for lines in answer.json()["errors"].values() for line in lines)


def test_a_volume_is_asked_for_with_a_vm_and_is_its_from_then_on(cast: Cast, vm: VM, volume: Volume) -> None:
    answer = ask(cast, "POST", "", {"name": "logs", "size_gib": 3, "vm": "web-1", "bus": "scsi"})
    assert answer.status_code == 202, answer.content
    made = Volume.objects.get(name="logs")
    assert (made.vm, made.bus, made.target, made.state) == (vm, "scsi", "sdd", "creating")
    operation = Operation.objects.get(kind="vm.volume_add")
    assert (operation.object_uuid, operation.params["volume"]) == (vm.uuid, str(made.uuid))
    assert snapshot_of("team:payments")["state"][f"volume:{made.uuid}"]["vm"] == "web-1"
    assert AuditRow.objects.filter(action="vm.volume_add", object_id=str(vm.uuid)).exists()


def test_what_is_attached_cannot_be_attached_again_nor_deleted(cast: Cast, vm: VM, volume: Volume) -> None:
    path = f"/{volume.uuid}"
    assert ask(cast, "POST", f"{path}/attach", {"vm": "web-1"}).status_code == 202
    assert "is under way" in words(ask(cast, "POST", f"{path}/attach", {"vm": "web-1"}))
    Operation.objects.update(state="done")
    for method, change, body in (("POST", f"{path}/attach", {"vm": "web-1"}), ("DELETE", path, {})):
        assert "it is attached to web-1: detach it first" in words(ask(cast, method, change, body))
    page = client_of(cast.bob).get(reverse("volume", args=[volume.uuid])).content.decode()
    assert "it is attached to web-1: detach it first" in page


def test_a_volume_of_another_host_is_refused_in_words(cast: Cast, vm: VM) -> None:
    far = made_volume(cast, "far", made_host("hv2"))
    said = words(ask(cast, "POST", f"/{far.uuid}/attach", {"vm": "web-1"}))
    assert "far lies on hv2, and web-1 is on hv1: a volume goes to another host only with a VM that has it" in said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "A_b"}, "allowed are 1 to 63 of a-z"),
        ({"name": "data"}, "Payments has a volume data already"),
        ({"size_gib": 0}, "0 GiB were given; 1 to 16384 are allowed"),
        ({"size_gib": -5}, "-5 GiB were given"),
        ({"size_gib": 2**31 - 1}, "2147483647 GiB were given"),
        ({"size_gib": 99}, "over quota: 99 GiB of volumes asked, 98 GiB of 100 GiB left"),
        ({"vm": "db-9"}, "no VM of that name in team Payments"),
        ({"vm": "web-1", "bus": "ide"}, "its machine (q35) has no IDE: sata is the emulated bus"),
        ({"vm": "web-1", "bus": "floppy"}, "virtio, scsi, sata are allowed"),
        ({"vm": "web-1", "bus": "sata"}, "a SATA disk is not hot-plugged: shut it down first"),
        ({"pool": "hv1/secret"}, "no pool “hv1/secret” is offered"),
        ({"pool": "hv2/hopsight", "vm": "web-1"}, "hv2/hopsight is not on hv1, where web-1 runs"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_stored(
    cast: Cast, volume: Volume, body: dict[str, Any], said: str
) -> None:
    Pool.objects.create(host=Host.objects.get(), name="secret", kind="dir", is_active=True)
    Pool.objects.create(host=made_host("hv2"), name="hopsight", kind="dir", is_active=True, is_offered=True)
    asked = {"name": "logs", "size_gib": 1, **body}
    assert said in words(ask(cast, "POST", "", asked))
    posted = client_of(cast.bob).post(reverse("volumes"), asked)
    assert posted.status_code == 422
    assert Volume.objects.count() == 1 and Operation.objects.filter(state="queued").count() == 0


def test_the_quota_counts_volumes_and_gib_on_every_way_to_grow(cast: Cast, volume: Volume) -> None:
    Team.objects.filter(pk=cast.payments.pk).update(max_volumes=1, max_volume_gib=4)
    assert "1 volumes asked, 0 of 1 left" in words(ask(cast, "POST", "", {"name": "logs", "size_gib": 1}))
    assert "1 volumes asked" in words(ask(cast, "POST", f"/{volume.uuid}/clone", {"name": "copy"}))
    assert "3 GiB of volumes asked, 2 GiB of 4 GiB left" in words(
        ask(cast, "POST", f"/{volume.uuid}/grow", {"size_gib": 5})
    )
    assert ask(cast, "POST", f"/{volume.uuid}/grow", {"size_gib": 4}).status_code == 202
    usage = client_of(cast.bob).get("/api/v1/usage").json()
    assert usage["volume_gib"] == {"used": 4, "limit": 4} and usage["volumes"] == {"used": 1, "limit": 1}


def test_a_volume_never_shrinks_and_lvm_says_that_it_cannot_grow(cast: Cast, volume: Volume) -> None:
    assert "a volume never shrinks" in words(ask(cast, "POST", f"/{volume.uuid}/grow", {"size_gib": 1}))
    Pool.objects.update(kind="logical")
    assert "libvirt cannot grow a volume of LVM" in words(ask(cast, "POST", f"/{volume.uuid}/grow", {"size_gib": 9}))


def test_a_volume_that_a_running_vm_may_write_to_is_not_cloned(cast: Cast, vm: VM, volume: Volume) -> None:
    Volume.objects.update(vm=vm, target="vdd", state="attached")
    said = words(ask(cast, "POST", f"/{volume.uuid}/clone", {"name": "copy"}))
    assert "web-1 may write to it: shut web-1 down, or detach it first" in said
    VM.objects.update(state="stopped")
    assert ask(cast, "POST", f"/{volume.uuid}/clone", {"name": "copy"}).status_code == 202
    operation = Operation.objects.get(kind="volume.clone")
    assert operation.object_uuid == vm.uuid, "a start of the VM waits for the copy"
    assert Volume.objects.get(name="copy").vm is None
    assert "is under way" in words(ask(cast, "POST", f"/{volume.uuid}/detach"))


def test_a_vm_has_so_many_volumes_at_most_each_in_a_place_of_its_own(cast: Cast, vm: VM) -> None:
    for number in range(MOST_VOLUMES):
        assert ask(cast, "POST", "", {"name": f"d{number}", "size_gib": 1, "vm": "web-1"}).status_code == 202
        Operation.objects.update(state="done")
    assert len({row.target for row in Volume.objects.all()}) == MOST_VOLUMES
    assert "that is the most" in words(ask(cast, "POST", "", {"name": "more", "size_gib": 1, "vm": "web-1"}))


def test_a_pool_that_can_hold_no_volumes_of_ours_is_not_offered(cast: Cast, volume: Volume) -> None:
    pool = Pool.objects.create(host=Host.objects.get(), name="paths", kind="mpath", is_active=True)
    client = client_of(cast.olga)
    body = json.dumps({"is_offered": True})
    answer = client.patch(f"/api/v1/pools/{pool.uuid}", body, content_type="application/json")
    assert "volumes in a pool of type mpath are not known here" in words(answer)
    assert "volumes in a pool of type mpath are not known here" in client.get(reverse("pools")).content.decode()
    posted = client.post(reverse("pools"), {"pool": str(Pool.objects.get(name="hopsight").uuid), "is_offered": "0"})
    assert posted.status_code == 302 and not Pool.objects.filter(is_offered=True).exists()
    assert client_of(cast.bob).get("/api/v1/pools").json() == []
    assert AuditRow.objects.filter(action="pool.offer").count() == 1


def test_a_stranger_finds_nothing_and_a_viewer_may_not(cast: Cast, volume: Volume) -> None:
    for method, path in (("DELETE", ""), ("POST", "/detach")):
        assert ask(cast, method, f"/{volume.uuid}{path}", person="dana").status_code == 404
        assert ask(cast, method, f"/{volume.uuid}{path}", person="charlie").status_code == 403
    assert ask(cast, "DELETE", f"/{uuid4()}").status_code == 404
    page = reverse("volume", args=[volume.uuid])
    assert client_of(cast.dana).post(page, {"what": "delete"}).status_code == 404
    assert client_of(cast.charlie).post(page, {"what": "delete"}).status_code == 403
    shown = client_of(cast.charlie).get(page).content.decode()
    assert "You are a viewer of Payments; this needs the role member." in shown


def test_a_change_that_failed_is_asked_for_again_with_the_same_values(cast: Cast, vm: VM, volume: Volume) -> None:
    ask(cast, "POST", f"/{volume.uuid}/grow", {"size_gib": 7})
    Volume.objects.update(size_gib=2)
    failed = Operation.objects.get(kind="volume.grow")
    Operation.objects.filter(pk=failed.pk).update(state="failed", error="the disk was full")
    answer = client_of(cast.bob).post(f"/api/v1/operations/{failed.uuid}/retry", content_type="application/json")
    assert answer.status_code == 202, answer.content
    assert Operation.objects.get(retry_of=failed).params["size_gib"] == 7
    ask(cast, "POST", "", {"name": "logs", "size_gib": 3, "vm": "web-1", "bus": "scsi"})
    lost = Operation.objects.get(kind="vm.volume_add")
    Volume.objects.filter(name="logs").delete()
    Operation.objects.update(state="failed")
    assert client_of(cast.bob).post(f"/api/v1/operations/{lost.uuid}/retry").status_code == 202
    assert (made := Volume.objects.get(name="logs")).bus == "scsi" and made.vm == vm
