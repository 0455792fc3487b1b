"""Snapshots as people ask for them: what is refused and in which words, the tree, the plan, who may."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import AuditRow, Team
from portal.compute.models import VM, Image
from portal.compute.requests import use_of
from portal.operations.models import Operation
from portal.snapshots.models import Snapshot, SnapshotPlan, SnapshotVolume
from portal.snapshots.plans import keep_plans
from portal.snapshots.requests import MOST
from portal.snapshots.tree import tree_of
from portal.volumes.models import Pool, Volume
from portal.volumes.quota import use_of_volumes
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_snapshot, made_vm, made_volume


@pytest.fixture
def vm(cast: Cast) -> VM:
    vm = made_vm(cast)
    VM.objects.update(host=made_host(), state="running")
    Operation.objects.update(state="done")
    vm.refresh_from_db()
    return vm


def ask(cast: Cast, vm: VM, method: str, path: str, body: dict[str, Any] | None = None, person: str = "bob") -> Any:
    url = f"/api/v1/vms/{vm.uuid}/snapshot{path}"
    return client_of(getattr(cast, person)).generic(
        method, url, json.dumps(body or {}), content_type="application/json"
    )


def words(answer: Any) -> str:
    assert answer.status_code == 422, answer.content
    return " ".join(line for lines in answer.json()["errors"].values() for line in lines)


def test_a_snapshot_is_asked_for_and_holds_as_much_of_the_quota_as_the_disk(cast: Cast, vm: VM) -> None:
    before = use_of(cast.payments).disk_gib
    assert ask(cast, vm, "POST", "s", {"name": "before-upgrade", "memory": True}).status_code == 202
    made = Snapshot.objects.get()
    assert (made.has_memory, made.state, made.disk_gib) == (True, "taking", vm.disk_gib)
    assert use_of(cast.payments).disk_gib == before + vm.disk_gib
    assert AuditRow.objects.filter(action="vm.snapshot", object_id=str(vm.uuid)).exists()
    assert "is under way" in words(ask(cast, vm, "POST", "s", {"name": "another"}))
    for name in ("vm_snapshots", "vm_backups"):  # whose button comes back although the end came before the socket
        page = client_of(cast.bob).get(reverse(name, args=[vm.uuid])).content.decode()
        assert "data-fresh" in page and "is under way" in page.partition('data-part="take"')[2].partition("</div>")[0]


def test_what_cannot_be_is_refused_and_nothing_is_stored(cast: Cast, vm: VM) -> None:
    made_snapshot(vm, "taken")
    assert "1 to 63 of a-z" in words(ask(cast, vm, "POST", "s", {"name": "<script>"}))
    assert "has a snapshot taken already" in words(ask(cast, vm, "POST", "s", {"name": "taken"}))
    VM.objects.update(state="stopped")
    assert "only a running VM has a memory" in words(ask(cast, vm, "POST", "s", {"name": "a", "memory": True}))
    VM.objects.update(rescue_image=Image.objects.get())
    assert "it is in rescue" in words(ask(cast, vm, "POST", "s", {"name": "a"}))
    VM.objects.update(rescue_image=None)
    Team.objects.update(max_disk_gib=2)
    assert "over quota: 1 GiB disk asked" in words(ask(cast, vm, "POST", "s", {"name": "a"}))
    Team.objects.update(max_disk_gib=100)
    for number in range(MOST - 1):
        made_snapshot(vm, f"s{number}")
    assert "that is the most" in words(ask(cast, vm, "POST", "s", {"name": "a"}))
    assert Snapshot.objects.count() == MOST and not Operation.objects.exclude(state="done").exists()


def attached(cast: Cast, vm: VM, name: str = "data", kind: str = "dir") -> Volume:
    volume = made_volume(cast, name, vm.host)
    if kind != "dir":
        told = {"host": vm.host, "name": kind, "kind": kind, "is_active": True, "is_offered": True}
        volume.pool = Pool.objects.create(**told)
    volume.vm, volume.target, volume.state = vm, f"vd{'defgh'[vm.volumes.count()]}", "attached"
    volume.save()
    return volume


def test_volumes_are_in_it_count_in_the_quota_and_stay_attached_while_they_are(cast: Cast, vm: VM) -> None:
    volume = attached(cast, vm)
    Team.objects.update(max_volume_gib=3)
    assert "over quota: 2 GiB of volumes asked, 1 GiB of 3 GiB left" in words(ask(cast, vm, "POST", "s", {"name": "a"}))
    Team.objects.update(max_volume_gib=4)
    assert ask(cast, vm, "POST", "s", {"name": "a", "memory": True}).status_code == 202
    assert use_of_volumes(cast.payments).gib == 4 and use_of_volumes(cast.payments).volumes == 1
    Operation.objects.update(state="done")
    (told,) = ask(cast, vm, "GET", "s").json()
    assert [(one["name"], one["size_gib"]) for one in told["volumes"]] == [("data", 2)] and told["stays"] == []
    refused = client_of(cast.bob).post(f"/api/v1/volumes/{volume.uuid}/detach")
    assert "it is in snapshots of web-1" in words(refused) and "delete a first" in words(refused)
    assert "data" in client_of(cast.bob).get(reverse("vm_snapshots", args=[vm.uuid])).content.decode()


def test_a_volume_that_cannot_be_in_it_is_named_beforehand_and_a_memory_would_not_fit_it(cast: Cast, vm: VM) -> None:
    attached(cast, vm), attached(cast, vm, "fast", "logical")
    page = client_of(cast.bob).get(reverse("vm_snapshots", args=[vm.uuid])).content.decode()
    assert "Left out: in a pool of LVM it is raw, and only a qcow2 file has layers" in page
    assert "fast would not be" in words(ask(cast, vm, "POST", "s", {"name": "a", "memory": True}))
    said = words(ask(cast, vm, "POST", "s", {"name": "a", "volumes": ["fast", "none"]}))
    assert "“none” was given; web-1 has data, fast" in said and "fast: in a pool of LVM" in said
    assert not Snapshot.objects.exists()
    assert ask(cast, vm, "POST", "s", {"name": "a"}).status_code == 202
    assert [one.volume.name for one in SnapshotVolume.objects.all()] == ["data"]


def test_what_a_revert_leaves_as_it_is_is_said_and_a_memory_that_does_not_know_a_volume_is_refused(
    cast: Cast, vm: VM
) -> None:
    one = made_snapshot(vm)
    attached(cast, vm, "since")
    (told,) = ask(cast, vm, "GET", "s").json()
    assert (told["stays"], told["no_revert"]) == (["since"], "")
    page = client_of(cast.bob).get(reverse("vm_snapshots", args=[vm.uuid])).content.decode()
    assert "a revert leaves it as it is: since" in page
    Snapshot.objects.update(has_memory=True)
    assert "which does not know since: detach that first" in words(ask(cast, vm, "POST", f"s/{one.uuid}/revert"))


def test_a_form_takes_the_volumes_that_are_ticked_and_a_plan_all_or_none(cast: Cast, vm: VM) -> None:
    attached(cast, vm), attached(cast, vm, "logs")
    page, bob = reverse("vm_snapshots", args=[vm.uuid]), client_of(cast.bob)
    refused = bob.post(page, {"what": "take", "name": "a", "chosen": "1", "volume": ["logs"], "memory": "1"})
    assert refused.status_code == 422 and "data would not be" in refused.content.decode()
    assert bob.post(page, {"what": "take", "name": "a", "chosen": "1", "volume": ["logs"]}).status_code == 302
    assert [one.volume.name for one in SnapshotVolume.objects.all()] == ["logs"]
    Operation.objects.update(state="done")
    for posted, expected in (({"volumes": "1"}, 2), ({}, 0)):
        assert bob.post(page, {"what": "plan", "every_hours": "1", "keep": "9", **posted}).status_code == 302
        SnapshotPlan.objects.update(next_at=timezone.now() - timedelta(hours=1))
        assert keep_plans() == 1
        assert Snapshot.objects.latest("id").volumes.count() == expected
        Operation.objects.update(state="done")
        Snapshot.objects.latest("id").delete()


def test_a_snapshot_that_two_lines_lie_on_is_not_deleted_and_the_tree_shows_both(cast: Cast, vm: VM) -> None:
    first, second = made_snapshot(vm, "first"), made_snapshot(vm, "second")
    Snapshot.objects.filter(pk=second.pk).update(is_current=False)
    Snapshot.objects.filter(pk=first.pk).update(is_current=True)
    said = words(ask(cast, vm, "DELETE", f"s/{first.uuid}"))
    assert "second and the VM's disk lie on it: delete all but one of them first" in said
    assert [(line.depth, str(line.snapshot)) for line in tree_of(vm)] == [(0, "first"), (1, "second"), (1, "None")]
    page = client_of(cast.bob).get(reverse("vm_snapshots", args=[vm.uuid])).content.decode()
    assert "lie on it: delete all but one of them first" in page and "what web-1 writes now" in page
    assert ask(cast, vm, "DELETE", f"s/{second.uuid}").status_code == 202


def test_a_snapshot_whose_deletion_began_can_only_be_deleted(cast: Cast, vm: VM) -> None:
    one = made_snapshot(vm)
    Snapshot.objects.update(state="deleting")
    assert "its deletion has begun" in words(ask(cast, vm, "POST", f"s/{one.uuid}/revert"))
    assert ask(cast, vm, "DELETE", f"s/{one.uuid}").status_code == 202


def test_a_rebuild_would_pull_the_disk_from_under_its_snapshots(cast: Cast, vm: VM) -> None:
    made_snapshot(vm)
    answer = client_of(cast.bob).post(f"/api/v1/vms/{vm.uuid}/rebuild", "{}", content_type="application/json")
    assert "has snapshots, which lie under its disk: delete them first" in words(answer)


def test_a_plan_takes_what_is_due_and_deletes_the_oldest_of_its_own(cast: Cast, vm: VM) -> None:
    assert ask(cast, vm, "PUT", "-plan", {"every_hours": 6, "keep": 2}).json()["keep"] == 2
    assert keep_plans() == 0, "nothing is due yet"
    mine = made_snapshot(vm, "mine")
    for name in ("a", "b", "c"):
        made_snapshot(vm, name)
    Snapshot.objects.exclude(pk=mine.pk).update(is_scheduled=True)
    assert keep_plans() == 1
    (operation,) = Operation.objects.exclude(state="done")
    assert (operation.kind, operation.params["name"], operation.created_by) == ("vm.snapshot_delete", "a", None)
    Snapshot.objects.filter(name="a").delete()
    Operation.objects.update(state="done")
    SnapshotPlan.objects.update(next_at=timezone.now() - timedelta(hours=1))
    assert keep_plans() == 1
    assert Snapshot.objects.last().name.startswith("auto-") and Snapshot.objects.last().is_scheduled  # type: ignore[union-attr]
    assert SnapshotPlan.objects.get().next_at > timezone.now() + timedelta(hours=5)
    for wrong in ({"every_hours": -1}, {"every_hours": 24, "keep": 0}, {"every_hours": 10**6}):
        assert "allowed" in words(ask(cast, vm, "PUT", "-plan", wrong))
    assert ask(cast, vm, "PUT", "-plan", {"every_hours": 0}).status_code == 200 and not SnapshotPlan.objects.exists()


def test_a_stranger_finds_nothing_and_a_viewer_may_not(cast: Cast, vm: VM) -> None:
    one = made_snapshot(vm)
    for method, path in (("DELETE", f"s/{one.uuid}"), ("POST", f"s/{one.uuid}/revert")):
        assert ask(cast, vm, method, path, person="dana").status_code == 404
        assert ask(cast, vm, method, path, person="charlie").status_code == 403
    assert ask(cast, vm, "DELETE", f"s/{uuid4()}").status_code == 404
    page = reverse("vm_snapshots", args=[vm.uuid])
    posted = {"what": "delete", "snapshot": str(one.uuid)}
    assert client_of(cast.dana).post(page, posted).status_code == 404
    assert client_of(cast.charlie).post(page, posted).status_code == 403
    assert client_of(cast.bob).post(page, posted).status_code == 302


def test_a_volume_shows_its_files_as_the_tree_that_they_are(cast: Cast, vm: VM) -> None:
    """[first] ← [second]; and [first] ← what is written since a revert. `third` is only being taken."""
    volume = made_volume(cast, "data", vm.host)
    Volume.objects.update(vm=vm, state="attached", target="vdd", path=f"/pool/hs-vol-{volume.uuid}-b.qcow2", layer="b")
    url = f"/api/v1/volumes/{volume.uuid}"
    first, second, third = (made_snapshot(vm, name) for name in ("first", "second", "third"))
    below = SnapshotVolume.objects.create(snapshot=first, volume=volume, size_gib=1, file_name="a", is_current=True)
    SnapshotVolume.objects.create(snapshot=second, volume=volume, size_gib=2, file_name="c", parent=below)
    SnapshotVolume.objects.create(snapshot=third, volume=volume, size_gib=2)
    told = client_of(cast.bob).get(url).json()["layers"]
    assert [(one["file_name"], one["below"], one["size_gib"], one["snapshot"]) for one in told] == [
        ("a", None, 1, "first"),
        ("c", "a", 2, "second"),
        ("b", "a", volume.size_gib, None),
    ]
    for page in (reverse("volume", args=[volume.uuid]), reverse("vm_snapshots", args=[vm.uuid])):
        text = client_of(cast.bob).get(page).content.decode()
        assert f"what {vm.name} writes now" in text
        assert text.index(">a</code>") < text.index(">c</code>") < text.index(">b</code>")


def test_a_volume_in_no_snapshot_is_one_file_and_one_that_is_not_made_yet_none(cast: Cast, vm: VM) -> None:
    volume = made_volume(cast, "data", vm.host)
    url = f"/api/v1/volumes/{volume.uuid}"
    Volume.objects.update(path="")
    assert client_of(cast.bob).get(url).json()["layers"] == []
    Volume.objects.update(path=f"/pool/{volume.first_name}")
    (told,) = client_of(cast.bob).get(url).json()["layers"]
    assert (told["file_name"], told["below"], told["snapshot"]) == (volume.first_name, None, None)
