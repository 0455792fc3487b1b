"""An image of a VM as people ask for it: the VM is held meanwhile, what cannot be is refused in words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.compute.models import VM
from portal.images.models import ImageImport
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_vm


@pytest.fixture
def vm(cast: Cast) -> VM:
    vm = made_vm(cast)
    VM.objects.update(host=made_host(), state="stopped")
    Operation.objects.update(state="done")
    return vm


def ask(cast: Cast, vm: VM, name: str, person: str = "bob") -> Any:
    body = json.dumps({"name": name})
    return client_of(getattr(cast, person)).post(f"/api/v1/vms/{vm.uuid}/image", body, content_type="application/json")


def test_a_vm_is_held_until_its_image_is_made(cast: Cast, vm: VM) -> None:
    assert ask(cast, vm, "Golden").status_code == 202
    row = ImageImport.objects.get()
    assert (row.source, row.min_disk_gib, row.size_bytes) == ("vm", vm.disk_gib, vm.disk_gib * 2**30)
    assert AuditRow.objects.filter(action="image.from_vm", after={"vm": "web-1"}).exists()
    started = client_of(cast.bob).post(f"/api/v1/vms/{vm.uuid}/actions/start")
    assert started.status_code == 422 and "“Make image” is under way" in str(started.json())
    assert ask(cast, vm, "Another").status_code == 422


def test_what_cannot_be_is_refused_and_nothing_is_stored(cast: Cast, vm: VM, settings: Any) -> None:
    assert "1 to 60 that can be printed" in str(ask(cast, vm, "x" * 61).json()["errors"]["name"])
    settings.IMAGE_TEAM_GIB = 0
    assert "the team's images may hold 0 GiB" in str(ask(cast, vm, "Golden").json()["errors"])
    settings.IMAGE_TEAM_GIB = 10
    VM.objects.update(state="running")
    assert "only a VM that is crashed or stopped takes this" in str(ask(cast, vm, "Golden").json()["errors"])
    page = client_of(cast.bob).post(reverse("vm_change", args=[vm.uuid]), {"what": "image", "name": "Golden"})
    assert page.status_code == 422 and "only a VM that is crashed or stopped" in page.content.decode()
    assert not ImageImport.objects.exists()


def test_a_stranger_finds_nothing_and_a_viewer_may_not(cast: Cast, vm: VM) -> None:
    assert ask(cast, vm, "Golden", "dana").status_code == 404
    assert ask(cast, vm, "Golden", "charlie").status_code == 403
