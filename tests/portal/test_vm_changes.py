"""Rename, resize, rebuild, clone and the bin as they are asked for: quota under the lock, refusals in words, 404 for strangers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import AuditRow
from portal.compute.changes import CHANGES, bin_vm, changes_of, clone_vm, purge_deleted, rename_vm, resize_vm
from portal.compute.models import VM, Flavor, KeyPair, VMState
from portal.compute.requests import VMProblem, use_of
from portal.networks.models import Port
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm


@pytest.fixture
def vm(cast: Cast) -> VM:
    vm, host = made_vm(cast), made_host()
    Operation.objects.update(state="done")
    VM.objects.update(host=host, state=VMState.RUNNING)
    vm.refresh_from_db()
    return vm


@pytest.fixture
def big(db: None) -> Flavor:
    return Flavor.objects.create(name="roomy", vcpus=2, ram_mib=512, disk_gib=3)


def test_a_rename_is_there_at_once_by_dns_too_and_is_in_the_audit(cast: Cast, vm: VM) -> None:
    client = client_of(cast.bob)
    answer = client.patch(f"/api/v1/vms/{vm.uuid}", '{"name": "shop"}', content_type="application/json")
    assert answer.json()["name"] == "shop" and Port.objects.get(vm=vm).name == "shop"
    row = AuditRow.objects.get(action="vm.rename")
    assert (row.before, row.after, row.actor) == ({"name": "web-1"}, {"name": "shop"}, "bob")


@pytest.mark.parametrize("name", ["", "Web", "-a", "a" * 64, "web-2", "<b>"])
def test_a_name_that_cannot_be_is_refused_and_the_form_comes_back_filled(cast: Cast, vm: VM, name: str) -> None:
    made_vm(cast, "web-2")
    Operation.objects.update(state="done")
    page = client_of(cast.bob).post(reverse("vm_change", args=[vm.uuid]), {"what": "rename", "name": name})
    assert page.status_code == 422 and b'role="alert"' in page.content
    vm.refresh_from_db()
    assert vm.name == "web-1"


def test_a_resize_reserves_what_it_grows_by_and_a_disk_never_shrinks(cast: Cast, vm: VM, big: Flavor) -> None:
    before = use_of(cast.payments)
    client = client_of(cast.bob)
    path = f"/api/v1/vms/{vm.uuid}/resize"
    assert client.post(path, '{"flavor": "roomy"}', content_type="application/json").status_code == 202
    after = use_of(cast.payments)
    assert (after.vcpus - before.vcpus, after.disk_gib - before.disk_gib) == (
        2 - cast.flavor.vcpus,
        3 - cast.flavor.disk_gib,
    )
    assert Operation.objects.get(kind="vm.resize").params["before"]["ram_mib"] == cast.flavor.ram_mib
    Operation.objects.update(state="done")
    assert client.post(path, f'{{"flavor": "{cast.flavor.name}"}}', content_type="application/json").status_code == 202
    vm.refresh_from_db()
    assert (vm.vcpus, vm.disk_gib) == (cast.flavor.vcpus, 3)


def test_a_resize_over_quota_or_over_its_hosts_memory_stores_nothing(cast: Cast, vm: VM, big: Flavor) -> None:
    cast.payments.max_vcpus = cast.flavor.vcpus
    cast.payments.save()
    vm.host.ram_mib = cast.flavor.ram_mib + 10  # type: ignore[union-attr]
    vm.host.save()  # type: ignore[union-attr]
    with pytest.raises(VMProblem) as refused:
        resize_vm(vm, cast.bob, big)
    words = str(refused.value)
    assert "over quota" in words and "hv1 has 10 MiB left" in words
    assert not Operation.objects.filter(kind="vm.resize").exists()
    vm.refresh_from_db()
    assert vm.vcpus == cast.flavor.vcpus


def test_what_a_running_guest_has_not_yet_is_said(vm: VM) -> None:
    vm.live_vcpus, vm.live_ram_mib = vm.vcpus, vm.ram_mib - 64
    assert "from its next start on" in vm.pending
    vm.state = VMState.STOPPED
    assert vm.pending == ""


def test_a_clone_needs_its_source_off_and_room_in_the_quota_and_twice_is_once(cast: Cast, vm: VM) -> None:
    with pytest.raises(VMProblem, match="only a VM that is crashed or stopped takes this"):
        clone_vm(vm, cast.bob, "web-2")
    VM.objects.update(state=VMState.STOPPED)
    vm.refresh_from_db()
    first = clone_vm(vm, cast.bob, "web-2", "k")
    assert clone_vm(vm, cast.bob, "web-2", "k").vm == first.vm
    assert first.vm.ports.get().mac != vm.ports.get().mac
    assert set(first.vm.ports.get().groups.all()) == set(vm.ports.get().groups.all())
    assert "Clone VM" in changes_of(vm)["rename"], "the source is held while its disk is copied"
    Operation.objects.update(state="done")
    cast.payments.max_vms = 2
    cast.payments.save()
    with pytest.raises(VMProblem, match="over quota: 1 VMs asked"):
        clone_vm(vm, cast.bob, "web-3")


def test_a_rebuild_can_put_in_another_key_of_ones_own_and_a_vm_without_any_says_so(cast: Cast, vm: VM) -> None:
    client, path = client_of(cast.bob), reverse("vm_change", args=[vm.uuid])
    words = "No SSH key was put in"
    VM.objects.update(public_key="", user_data="")
    assert words in client.get(reverse("vm", args=[vm.uuid])).content.decode()
    mine, other = (
        KeyPair.objects.create(user=user, name="laptop", public_key=f"ssh-ed25519 {user.username}", fingerprint="-")
        for user in (cast.bob, cast.dana)
    )
    for wrong in (str(other.pk), "9" * 40, "x"):
        answer = client.post(path, {"what": "rebuild", "image": vm.image.slug, "key": wrong})
        assert answer.status_code == 422 and "not one of yours" in answer.content.decode()
    assert client.post(path, {"what": "rebuild", "image": vm.image.slug, "key": mine.pk}).status_code == 302
    params = Operation.objects.get(kind="vm.rebuild").params
    assert (params["public_key"], params["before"]["public_key"]) == ("ssh-ed25519 bob", "")
    VM.objects.update(public_key="ssh-ed25519 bob")
    assert words not in client.get(reverse("vm", args=[vm.uuid])).content.decode()


def test_a_protected_vm_is_neither_rebuilt_nor_binned(cast: Cast, vm: VM) -> None:
    VM.objects.update(is_protected=True)
    client = client_of(cast.bob)
    path = f"/api/v1/vms/{vm.uuid}"
    for answer in (
        client.post(f"{path}/rebuild", "{}", content_type="application/json"),
        client.delete(f"{path}?keep=true"),
    ):
        assert answer.status_code == 422 and "protection" in str(answer.json())
    assert not Operation.objects.filter(kind__in=("vm.rebuild", "vm.bin")).exists()


def test_a_deleted_vm_can_be_had_back_until_its_time_is_over_and_then_goes_by_itself(cast: Cast, vm: VM) -> None:
    bin_vm(vm, cast.bob)
    Operation.objects.update(state="done")
    VM.objects.update(state=VMState.DELETED)
    assert use_of(cast.payments).vms == 1, "it holds its quota until then"
    page = client_of(cast.bob).get(reverse("vm", args=[vm.uuid])).content.decode()
    assert "Undelete takes it back until" in page
    assert purge_deleted() == 0
    VM.objects.update(purge_at=timezone.now() - timedelta(seconds=1))
    assert purge_deleted() == 1
    gone = Operation.objects.get(kind="vm.delete")
    assert gone.created_by is None and VM.objects.get().state == VMState.DELETING


@pytest.mark.parametrize("what", ["rename", "resize", "rebuild", "clone", "explode"])
def test_a_viewer_may_not_and_a_stranger_finds_nothing(cast: Cast, vm: VM, what: str) -> None:
    path = reverse("vm_change", args=[vm.uuid])
    posted = {"what": what, "name": "x", "flavor": "nano", "image": "tiny"}
    assert client_of(cast.charlie).post(path, posted).status_code == 403
    assert client_of(cast.dana).post(path, posted).status_code == 404
    assert Operation.objects.count() == 1


@pytest.mark.parametrize("state", [VMState.CREATING, VMState.DELETING, VMState.DELETED])
def test_a_vm_that_comes_or_goes_takes_no_change_and_each_says_why(vm: VM, state: VMState) -> None:
    vm.state = state
    reasons = changes_of(vm)
    assert set(reasons) == set(CHANGES) and all(state.label.lower() in reason for reason in reasons.values())


def test_two_renames_to_one_name_are_one_and_a_refusal(cast: Cast, vm: VM) -> None:
    other = made_vm(cast, "web-2")
    Operation.objects.update(state="done")
    VM.objects.update(state=VMState.RUNNING)
    rename_vm(vm, cast.bob, "shop")
    with pytest.raises(VMProblem, match="has a VM shop already"):
        rename_vm(other, cast.bob, "shop")
