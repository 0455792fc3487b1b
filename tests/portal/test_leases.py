"""Leases: reminded of, extended by one click, and at their end a shutdown, then the bin after a grace."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from portal.compute.leases import end_leases, reminder_of, set_lease
from portal.compute.models import VM, VMState
from portal.compute.requests import MAX_LEASE_DAYS, VMProblem
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm

GRACE = timedelta(hours=settings.LEASE_GRACE_HOURS)


@pytest.fixture
def vm(cast: Cast) -> VM:
    vm, host = made_vm(cast), made_host()
    Operation.objects.update(state="done")
    VM.objects.update(host=host, state=VMState.RUNNING)
    vm.refresh_from_db()
    return vm


def over_since(vm: VM, since: timedelta, state: VMState = VMState.RUNNING) -> VM:
    VM.objects.update(lease_until=timezone.now() - since, state=state)
    vm.refresh_from_db()
    return vm


def kinds() -> list[str]:
    return list(Operation.objects.exclude(kind="vm.create").order_by("id").values_list("kind", flat=True))


def test_a_vm_without_a_lease_or_with_a_long_one_is_left_alone(cast: Cast, vm: VM) -> None:
    assert end_leases() == 0 and reminder_of(vm) == ""
    set_lease(vm, cast.bob, 30)
    vm.refresh_from_db()
    assert end_leases() == 0 and reminder_of(vm) == ""


def test_before_its_end_the_page_and_the_list_remind_and_one_click_extends(cast: Cast, vm: VM) -> None:
    set_lease(vm, cast.bob, 1)
    client = client_of(cast.bob)
    page = reverse("vm", args=[vm.uuid])
    assert "Its lease ends at" in client.get(page).content.decode()
    assert "lease ends" in client.get(reverse("vm_list")).content.decode()
    client.post(reverse("vm_lease", args=[vm.uuid]), {"days": "7"})
    assert "Its lease ends at" not in client.get(page).content.decode()


def test_at_its_end_it_is_shut_down_once_and_forced_off_when_the_guest_does_not_listen(vm: VM) -> None:
    over_since(vm, timedelta(seconds=9))
    assert end_leases() == 1 and end_leases() == 1
    assert kinds() == ["vm.stop"], "asked twice it is one"
    Operation.objects.filter(kind="vm.stop").update(state="failed")
    end_leases()
    assert kinds() == ["vm.stop", "vm.force_off"]
    assert Operation.objects.get(kind="vm.force_off").created_by is None


def test_after_the_grace_it_is_deleted_to_be_had_back_but_a_protected_one_stays(vm: VM) -> None:
    over_since(vm, GRACE - timedelta(minutes=1), VMState.STOPPED)
    assert end_leases() == 0
    over_since(vm, GRACE + timedelta(minutes=1), VMState.STOPPED)
    VM.objects.update(is_protected=True)
    assert end_leases() == 0
    VM.objects.update(is_protected=False)
    assert end_leases() == 1 and kinds() == ["vm.bin"]
    vm.refresh_from_db()
    assert vm.state == VMState.DELETING and vm.purge_at is not None


def test_a_vm_whose_lease_is_over_starts_only_after_it_was_extended(cast: Cast, vm: VM) -> None:
    over_since(vm, timedelta(minutes=1), VMState.STOPPED)
    client = client_of(cast.bob)
    path = f"/api/v1/vms/{vm.uuid}"
    refused = client.post(f"{path}/actions/start", "{}", content_type="application/json")
    assert refused.status_code == 422 and "extend it first" in str(refused.json())
    told = client.patch(path, '{"lease_days": 7}', content_type="application/json").json()
    assert told["lease_until"] is not None
    assert client.post(f"{path}/actions/start", "{}", content_type="application/json").status_code == 202


@pytest.mark.parametrize("days", ["-1", "x", str(MAX_LEASE_DAYS + 1), "", "9" * 30, "\u0663"])
def test_a_lease_that_can_not_be_is_refused(cast: Cast, vm: VM, days: str) -> None:
    answer = client_of(cast.bob).post(reverse("vm_lease", args=[vm.uuid]), {"days": days}, follow=True)
    assert "0 (none) to 3650 are allowed" in answer.content.decode()
    with pytest.raises(VMProblem):
        set_lease(vm, cast.bob, MAX_LEASE_DAYS + 1)
    vm.refresh_from_db()
    assert vm.lease_until is None


def test_a_viewer_may_not_and_a_stranger_finds_nothing(cast: Cast, vm: VM) -> None:
    path = reverse("vm_lease", args=[vm.uuid])
    assert client_of(cast.charlie).post(path, {"days": "7"}).status_code == 403
    assert client_of(cast.dana).post(path, {"days": "7"}).status_code == 404
