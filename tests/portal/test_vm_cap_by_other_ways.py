"""The largest VM of a team also bounds what comes by other ways than a create: a restored backup, an adopted domain."""

from __future__ import annotations

from typing import Any

import pytest

from portal.accounts.models import Team
from portal.compute.models import VM
from portal.networks.models import FixedAddress
from portal.operations.models import Operation
from tests.cast import Cast
from tests.portal.clients import client_of, made_backup, made_foreign, made_host, made_vm

JSON: dict[str, Any] = {"content_type": "application/json"}
SIZES = ("vcpus", "ram_mib", "disk_gib")


@pytest.mark.parametrize("size", SIZES)
def test_a_restore_makes_no_vm_larger_than_a_team_may_have(cast: Cast, size: str) -> None:
    vm = made_vm(cast)
    path = f"/api/v1/backups/{made_backup(vm).uuid}/restore"
    client, asked = client_of(cast.bob), {"name": "web-again"}
    Team.objects.filter(pk=cast.payments.pk).update(**{f"max_vm_{size}": getattr(vm, size) - 1})
    Operation.objects.update(state="done")
    addresses = FixedAddress.objects.count()
    refused = client.post(path, asked, **JSON)
    assert refused.status_code == 422 and "too large for one VM" in refused.json()["errors"]["backup"][0]
    assert VM.objects.get() == vm and FixedAddress.objects.count() == addresses, "nothing is kept of it"
    Team.objects.filter(pk=cast.payments.pk).update(**{f"max_vm_{size}": getattr(vm, size)})
    assert client.post(path, asked, **JSON).status_code == 202, "one that is as large as allowed is made"


@pytest.mark.parametrize("size", SIZES)
def test_no_domain_is_adopted_that_is_larger_than_a_team_may_have(cast: Cast, size: str) -> None:
    domain = made_foreign(made_host())
    client = client_of(cast.olga)
    asked = {"domain": str(domain.uuid), "team": "payments", "name": "legacy-db"}
    Team.objects.filter(pk=cast.payments.pk).update(**{f"max_vm_{size}": 0})
    refused = client.post("/api/v1/adoptions", asked, **JSON)
    assert refused.status_code == 422 and "too large for one VM" in refused.json()["errors"]["team"][0]
    assert "too large for one VM" in str(client.post("/api/v1/adoption-plans", asked, **JSON).json()["problems"])
    assert not VM.objects.exists() and not Operation.objects.exists()
