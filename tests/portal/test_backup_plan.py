"""A VM's plan of backups: what is due is taken, and one that is not says why."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.backups.models import Backup, BackupPlan, BackupStore
from portal.backups.requests import keep_plans
from portal.compute.models import VM
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_store, made_vm


@pytest.fixture
def vm(cast: Cast) -> VM:
    vm = made_vm(cast)
    VM.objects.update(host=made_host(), state="running")
    Operation.objects.update(state="done")
    made_store()
    return vm


def test_what_is_due_is_taken_and_one_that_is_not_says_why_until_it_is(cast: Cast, vm: VM) -> None:
    bob, path = client_of(cast.bob), f"/api/v1/vms/{vm.uuid}/backup-plan"
    page = reverse("vm_backups", args=[vm.uuid])
    answer = bob.put(path, json.dumps({"every_hours": 24}), content_type="application/json")
    assert answer.status_code == 200 and answer.json()["problem"] == ""
    assert keep_plans() == 0, "nothing is due yet"
    BackupPlan.objects.update(next_at=timezone.now() - timedelta(hours=1))
    BackupStore.objects.update(is_enabled=False)
    assert keep_plans() == 0 and not Backup.objects.exists()
    told = "there is no backup store: an operator sets one up"
    assert bob.get(path).json()["problem"] == told
    assert f"None was taken when it was due: {told}" in bob.get(page).content.decode()
    BackupStore.objects.update(is_enabled=True)
    assert keep_plans() == 1 and Backup.objects.get().is_scheduled
    plan = BackupPlan.objects.get()
    assert plan.problem == "" and plan.next_at > timezone.now() + timedelta(hours=23)


def test_a_plan_that_is_refused_is_shown_as_it_was_typed(cast: Cast, vm: VM) -> None:
    typed = {"what": "plan", "every_hours": "daily", "full_every": "3", "keep": "0"}
    answer = client_of(cast.bob).post(reverse("vm_backups", args=[vm.uuid]), typed)
    text = answer.content.decode()
    assert answer.status_code == 422 and "“daily” was given; 0 (none) to" in text and "0 was given; 1 to" in text
    assert 'value="daily"' in text and 'value="3"' in text and not BackupPlan.objects.exists()
