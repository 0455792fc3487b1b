"""How many snapshots a team's VMs may have together, and how large one VM of a team may be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import Team
from portal.compute.changes import clone_vm, resize_vm
from portal.compute.models import VM, Flavor
from portal.compute.requests import VMProblem, VMSpec, create_vm
from portal.operations.models import Operation
from portal.snapshots.models import Snapshot, SnapshotPlan
from portal.snapshots.plans import keep_plans
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_snapshot, made_vm

JSON: dict[str, Any] = {"content_type": "application/json"}


@pytest.fixture
def vm(cast: Cast) -> VM:
    vm = made_vm(cast)
    VM.objects.update(host=made_host(), state="running")
    Operation.objects.update(state="done")
    vm.refresh_from_db()
    return vm


@pytest.fixture
def big(db: None) -> Flavor:
    return Flavor.objects.create(name="big", vcpus=2, ram_mib=1024, disk_gib=8)


def test_a_snapshot_over_the_teams_limit_is_refused_before_the_click_too(cast: Cast, vm: VM) -> None:
    made_snapshot(made_vm(cast, "web-2"), "other")
    Operation.objects.update(state="done")
    Team.objects.update(max_snapshots=1)
    client, url = client_of(cast.bob), f"/api/v1/vms/{vm.uuid}/snapshots"
    refused = client.post(url, {"name": "second"}, **JSON)
    words = "over quota: 1 of 1 snapshots of the team are there; delete one, or ask an operator for more"
    assert refused.status_code == 422 and refused.json()["errors"]["snapshot"] == [f"web-1: {words}"]
    page = client.get(reverse("vm_snapshots", args=[vm.uuid])).content.decode()
    assert "1 of 1 snapshots of Payments are there" in page and words in page
    assert client.get("/api/v1/usage").json()["snapshots"] == {"used": 1, "limit": 1}
    Snapshot.objects.all().delete()
    assert client.post(url, {"name": "second"}, **JSON).status_code == 202


def due_plan(vm: VM, keep: int) -> SnapshotPlan:
    return SnapshotPlan.objects.create(
        vm=vm, every_hours=6, keep=keep, next_at=timezone.now() - timedelta(hours=1), is_with_volumes=True
    )


def test_a_plan_over_the_limit_takes_none_and_says_so_until_there_is_room(cast: Cast, vm: VM) -> None:
    made_snapshot(vm, "mine")
    Team.objects.update(max_snapshots=1)
    due_plan(vm, keep=2)
    assert keep_plans() == 0 and not Operation.objects.exclude(state="done").exists()
    client = client_of(cast.bob)
    assert "1 of 1 snapshots" in client.get(f"/api/v1/vms/{vm.uuid}/snapshot-plan").json()["problem"]
    page = client.get(reverse("vm_snapshots", args=[vm.uuid])).content.decode()
    assert "None was taken when it was due: over quota: 1 of 1 snapshots" in page
    Team.objects.update(max_snapshots=2)
    assert keep_plans() == 1 and SnapshotPlan.objects.get().problem == ""


def test_a_plan_that_keeps_as_many_as_there_may_be_drops_its_oldest_first(cast: Cast, vm: VM) -> None:
    for name in ("a", "b"):
        made_snapshot(vm, name)
    Snapshot.objects.update(is_scheduled=True)
    Team.objects.update(max_snapshots=2)
    due_plan(vm, keep=2)
    assert keep_plans() == 1
    (operation,) = Operation.objects.exclude(state="done")
    assert (operation.kind, operation.params["name"]) == ("vm.snapshot_delete", "a")
    Snapshot.objects.filter(name="a").delete()
    Operation.objects.update(state="done")
    assert keep_plans() == 1 and Snapshot.objects.filter(name__startswith="auto-").count() == 1


def test_no_vm_is_made_larger_than_one_of_the_team_may_be(cast: Cast, vm: VM, big: Flavor) -> None:
    Team.objects.update(max_vm_vcpus=1, max_vm_ram_mib=1000, max_vm_disk_gib=7)
    with pytest.raises(VMProblem) as refused:
        create_vm(cast.payments, cast.bob, VMSpec("web-9", cast.image, big, cast.network, "key-9"))
    assert refused.value.errors["flavor"] == [
        "too large for one VM: 2 vCPU asked, one of Payments has at most 1",
        "too large for one VM: 1024 MiB RAM asked, one of Payments has at most 1000 MiB",
        "too large for one VM: 8 GiB disk asked, one of Payments has at most 7 GiB",
    ]
    with pytest.raises(VMProblem, match="too large for one VM: 2 vCPU asked"):
        resize_vm(vm, cast.bob, big)
    page = client_of(cast.bob).get(reverse("vm_create")).content.decode()
    assert "too large for one VM: 2 vCPU asked" in page
    assert client_of(cast.bob).get("/api/v1/usage").json()["vm_vcpus"] == {"used": vm.vcpus, "limit": 1}


def test_a_vm_that_is_larger_already_may_shrink_and_is_not_cloned(cast: Cast, vm: VM) -> None:
    VM.objects.update(vcpus=4, disk_gib=20, state="stopped")
    vm.refresh_from_db()
    Team.objects.update(max_vm_vcpus=1, max_vm_disk_gib=10)
    with pytest.raises(VMProblem, match="one of Payments has at most 10 GiB"):
        clone_vm(vm, cast.bob, "web-2")
    assert resize_vm(vm, cast.bob, cast.flavor).kind == "vm.resize"


def test_operators_set_and_see_what_is_used_of_every_limit(cast: Cast, vm: VM) -> None:
    made_snapshot(vm)
    client = client_of(cast.olga)
    told = client.patch(
        "/api/v1/teams/payments", {"limits": {"max_snapshots": 7, "max_vm_ram_mib": 512}}, **JSON
    ).json()
    assert (told["limits"]["max_snapshots"], told["limits"]["max_vm_ram_mib"]) == (7, 512)
    used = ("max_snapshots", "max_networks", "max_vm_vcpus", "max_vms")
    assert {name: told["used"][name] for name in used} == dict.fromkeys(used, 1)
    page = client.get(reverse("team", args=["payments"])).content.decode()
    assert "Memory of one VM, MiB" in page and "Snapshots" in page
