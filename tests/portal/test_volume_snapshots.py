"""A volume's own snapshots as people ask for them: what is reserved, what is refused and in which words, who may."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import CharField, F, Value
from django.db.models.functions import Concat
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import AuditRow, Team
from portal.accounts.team_admin_views import use_of_limits
from portal.compute.models import VM
from portal.operations.models import Operation
from portal.operations.retry import request_retry
from portal.snapshots.models import SnapshotPlan, SnapshotVolume
from portal.snapshots.plans import keep_plans
from portal.snapshots.requests import snapshots_of
from portal.usage.resources import held_by_team
from portal.volumes.models import Pool, Volume
from portal.volumes.quota import use_of_volumes
from portal.volumes.rules import MOST_SNAPSHOTS
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_snapshot, made_vm, made_volume, made_volume_snapshot

TEXT = CharField()


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


def ask(cast: Cast, method: str, volume: Volume, path: str = "", person: str = "bob", **body: object) -> Any:
    url = f"/api/v1/volumes/{volume.uuid}/snapshots{path}"
    return client_of(getattr(cast, person)).generic(method, url, json.dumps(body), content_type="application/json")


def words(answer: Any) -> str:
    assert answer.status_code == 422, answer.content
    return " ".join(line for lines in answer.json()["errors"].values() for line in lines)


def attach(volume: Volume, vm: VM) -> None:
    Volume.objects.filter(pk=volume.pk).update(vm=vm, target="vdd", state="attached")
    volume.refresh_from_db()


def page(cast: Cast, volume: Volume, **posted: str) -> Any:
    client, url = client_of(cast.bob), reverse("volume", args=[volume.uuid])
    return client.post(url, posted) if posted else client.get(url)


def test_one_is_taken_counted_and_told_and_holds_the_volume_meanwhile(cast: Cast, vm: VM, volume: Volume) -> None:
    before = use_of_volumes(volume.team).gib
    answer = ask(cast, "POST", volume, name="before-import")
    assert answer.status_code == 202, answer.content
    made, operation = SnapshotVolume.objects.get(), Operation.objects.get(kind="volume.snapshot")
    assert (made.name, made.state, made.size_gib, made.created_by) == ("before-import", "taking", 2, cast.bob)
    assert (operation.object_uuid, operation.params["snapshot"]) == (volume.uuid, str(made.uuid))
    assert AuditRow.objects.filter(action="volume.snapshot", object_id=str(volume.uuid)).exists()
    assert (snapshots_of(volume.team), use_of_volumes(volume.team).gib) == (1, before + 2)
    assert held_by_team([volume.team])[volume.team.pk]["snapshot_volume_gib"] == 2
    limits = use_of_limits([volume.team])[volume.team.pk]
    assert (limits["max_snapshots"], limits["max_volume_gib"]) == (1, before + 2), (
        "what is told is what is held against the limit"
    )
    (told,) = ask(cast, "GET", volume).json()
    busy = "“Take snapshot of volume” is under way"
    assert (told["no_revert"], told["no_delete"], told["no_clone"]) == (busy, busy, busy)
    assert busy in words(ask(cast, "POST", volume, name="again"))


def test_one_of_an_attached_volume_is_its_vms_operation_so_that_nothing_of_the_vm_runs_beside_it(
    cast: Cast, vm: VM, volume: Volume
) -> None:
    attach(volume, vm)
    assert ask(cast, "POST", volume, name="a").status_code == 202
    assert Operation.objects.get(kind="volume.snapshot").object_uuid == vm.uuid


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Not This", "“Not This” was given; allowed are 1 to 63 of a-z"),
        ("", "“” was given"),
        ("before", "data has a snapshot before already: choose another name"),
    ],
)
def test_a_name_that_cannot_be_is_refused(cast: Cast, vm: VM, volume: Volume, name: str, told: str) -> None:
    made_volume_snapshot(volume)
    assert told in words(ask(cast, "POST", volume, name=name))


def test_limits_raw_pools_and_a_rescue_are_refused_before_the_click(cast: Cast, vm: VM, volume: Volume) -> None:
    Team.objects.update(max_snapshots=2)
    made_snapshot(vm), made_volume_snapshot(volume)
    over = "over quota: 2 of 2 snapshots of the team are there; delete one, or ask an operator for more"
    assert over in words(ask(cast, "POST", volume, name="c")) and over in page(cast, volume).content.decode()
    Team.objects.update(max_snapshots=100, max_volume_gib=4)
    assert "over quota: 2 GiB of volumes asked, 0 GiB of 4 GiB left" in words(ask(cast, "POST", volume, name="c"))
    Team.objects.update(max_volume_gib=1000)
    for number in range(MOST_SNAPSHOTS - 1):
        made_volume_snapshot(volume, f"s{number}")
    assert "it has 16 snapshots; that is the most" in words(ask(cast, "POST", volume, name="c"))
    SnapshotVolume.objects.all().delete()
    attach(volume, vm)
    VM.objects.update(rescue_image=vm.image)
    assert "web-1: it is in rescue: end the rescue first" in words(ask(cast, "POST", volume, name="c"))
    VM.objects.update(rescue_image=None)
    Pool.objects.update(kind="logical")
    raw = "in a pool of LVM it is raw, and only a qcow2 file has layers"
    assert raw in words(ask(cast, "POST", volume, name="c")) and raw in page(cast, volume).content.decode()


def test_a_revert_waits_for_the_guest_and_a_clone_does_not(cast: Cast, vm: VM, volume: Volume) -> None:
    moment = made_volume_snapshot(volume)
    attach(volume, vm)
    writes = "web-1 may write to it: shut web-1 down, or detach it first"
    assert writes in words(ask(cast, "POST", volume, f"/{moment.uuid}/revert"))
    text = page(cast, volume).content.decode()
    assert writes in text and "Not as it is now" in text
    answer = ask(cast, "POST", volume, f"/{moment.uuid}/clone", name="data-then", size_gib=3)
    assert answer.status_code == 202, answer.content
    made, operation = Volume.objects.get(name="data-then"), Operation.objects.get(kind="volume.clone")
    assert (made.size_gib, made.vm, made.state) == (3, None, "creating")
    assert (operation.object_uuid, operation.params["source_snapshot"]) == (vm.uuid, str(moment.uuid))
    assert "its source has 2" in words(ask(cast, "POST", volume, f"/{moment.uuid}/clone", name="b", size_gib=1)) or (
        "under way" in words(ask(cast, "POST", volume, f"/{moment.uuid}/clone", name="b", size_gib=1))
    )
    Operation.objects.update(state="failed")
    made.delete()
    again = request_retry(operation_of("volume.clone"), cast.bob)
    assert (again.params["source_snapshot"], again.params["size_gib"]) == (str(moment.uuid), 3)


def operation_of(kind: str) -> Operation:
    return Operation.objects.select_related("team").get(kind=kind)


def test_the_page_takes_reverts_clones_and_deletes(cast: Cast, vm: VM, volume: Volume) -> None:
    first, second = made_volume_snapshot(volume, "first"), made_volume_snapshot(volume, "second")
    for posted, kind in (
        ({"what": "snapshot", "name": "third"}, "volume.snapshot"),
        ({"what": "snapshot_revert", "snapshot": str(first.uuid)}, "volume.snapshot_revert"),
        ({"what": "clone", "name": "copy", "snapshot": str(second.uuid)}, "volume.clone"),
        ({"what": "snapshot_delete", "snapshot": str(second.uuid)}, "volume.snapshot_delete"),
    ):
        assert page(cast, volume, **posted).status_code == 302, posted
        assert operation_of(kind).params.get("snapshot") in (
            *map(str, (first.uuid, second.uuid)),
            "second",
        ) or kind == ("volume.snapshot")
        Operation.objects.update(state="done")
    assert operation_of("volume.snapshot_revert").params["before"]["current"] == second.pk
    second.refresh_from_db()
    assert second.state == "deleting"
    refused = page(cast, volume, what="snapshot_revert", snapshot=str(second.uuid))
    assert refused.status_code == 422 and "its deletion has begun: it can only be deleted" in refused.content.decode()
    gone = page(cast, volume, what="snapshot_delete", snapshot="not a uuid")
    assert gone.status_code == 422 and "data has no such snapshot: choose one of the list" in gone.content.decode()
    text = page(cast, volume).content.decode()
    assert "frozen at" in text and "of its own" in text and "Revert to first" in text


def test_what_two_lines_lie_on_names_both_and_a_moment_of_the_vm_is_no_snapshot_of_the_volumes_own(
    cast: Cast, vm: VM, volume: Volume
) -> None:
    attach(volume, vm)
    own = made_volume_snapshot(volume, "own")
    of_vm = made_snapshot(vm, "of-vm")
    part = SnapshotVolume.objects.create(snapshot=of_vm, volume=volume, size_gib=2, file_name="b", parent=own)
    reason = "of-vm and what is written to volume data lie on it: delete all but one of them first"
    assert reason in words(ask(cast, "DELETE", volume, f"/{own.uuid}"))
    beside = SnapshotVolume.objects.create(volume=volume, name="x", size_gib=2, file_name="c", parent=part)
    SnapshotVolume.objects.create(volume=volume, name="y", size_gib=2, file_name="d", parent=part)
    told = client_of(cast.bob).get(f"/api/v1/vms/{vm.uuid}/snapshots").json()[0]["no_delete"]
    assert "snapshot x of volume data and snapshot y of volume data lie on it" in told
    assert ask(cast, "DELETE", volume, f"/{part.uuid}").status_code == 404
    other = made_volume(cast, "other")
    assert ask(cast, "DELETE", other, f"/{beside.uuid}").status_code == 404
    layers = client_of(cast.bob).get(f"/api/v1/volumes/{volume.uuid}").json()["layers"]
    assert [(one["snapshot"], one["snapshot_of"]) for one in layers if one["snapshot"] in ("own", "of-vm")] == [
        ("own", "volume"),
        ("of-vm", "vm"),
    ]


def test_one_is_nobodys_who_only_looks_or_is_of_another_team(cast: Cast, vm: VM, volume: Volume) -> None:
    moment = made_volume_snapshot(volume)
    assert ask(cast, "GET", volume, person="charlie").json()[0]["name"] == "before"
    assert ask(cast, "DELETE", volume, f"/{moment.uuid}", "charlie").status_code == 403
    assert ask(cast, "GET", volume, person="dana").status_code == 404


def plan(cast: Cast, volume: Volume, person: str = "bob", **body: object) -> Any:
    client, url = client_of(getattr(cast, person)), f"/api/v1/volumes/{volume.uuid}/snapshot-plan"
    return client.put(url, json.dumps(body), content_type="application/json") if body else client.get(url)


def due() -> None:
    Operation.objects.update(state="done")
    SnapshotVolume.objects.filter(state="taking").update(state="there")
    SnapshotPlan.objects.update(next_at=timezone.now() - timedelta(hours=1))


def test_a_plan_takes_what_is_due_of_a_volume_alone_and_deletes_the_oldest_of_its_own(
    cast: Cast, vm: VM, volume: Volume
) -> None:
    assert plan(cast, volume).json() == {"every_hours": 0, "keep": 0, "next_at": None, "problem": ""}
    mine = made_volume_snapshot(volume, "mine")
    assert plan(cast, volume, every_hours=6, keep=2).json()["keep"] == 2
    assert keep_plans() == 0, "nothing is due yet"
    for _ in range(3):
        due()
        SnapshotVolume.objects.filter(is_scheduled=True).update(name=Concat(Value("old-"), F("id"), output_field=TEXT))
        assert keep_plans() == 1
    own = list(SnapshotVolume.objects.filter(is_scheduled=True).order_by("id"))
    assert len(own) == 3 and own[-1].name.startswith("auto-") and own[-1].created_by is None
    assert SnapshotPlan.objects.get().next_at > timezone.now() + timedelta(hours=5)
    due()
    assert keep_plans() == 1
    operation = Operation.objects.get(state="queued")
    assert (operation.kind, operation.params["snapshot"]) == ("volume.snapshot_delete", str(own[0].uuid))
    assert ">plan</span>" in page(cast, volume).content.decode() and mine in SnapshotVolume.objects.all()
    assert plan(cast, volume, every_hours=0).status_code == 200 and not SnapshotPlan.objects.exists()


def test_a_plan_of_a_volume_says_why_it_took_none_and_makes_room_of_its_own(cast: Cast, vm: VM, volume: Volume) -> None:
    plan(cast, volume, every_hours=6, keep=1)
    own = made_volume_snapshot(volume, "old")
    Team.objects.update(max_volume_gib=4)
    due()
    assert keep_plans() == 0
    told = "over quota: 2 GiB of volumes asked, 0 GiB of 4 GiB left"
    assert told in plan(cast, volume).json()["problem"]
    assert f"None was taken when it was due: {told}" in page(cast, volume).content.decode()
    SnapshotVolume.objects.update(is_scheduled=True)
    assert keep_plans() == 1
    assert Operation.objects.get(state="queued").params["snapshot"] == str(own.uuid)


def test_the_page_sets_a_plan_and_one_that_is_refused_is_shown_as_it_was_typed(
    cast: Cast, vm: VM, volume: Volume
) -> None:
    posted = page(cast, volume, what="plan", every_hours="12", keep="3")
    assert posted.status_code == 302 and posted["Location"] == reverse("volume", args=[volume.uuid])
    assert AuditRow.objects.get(action="volume.snapshot_plan").after == {"every_hours": 12, "keep": 3}
    refused = page(cast, volume, what="plan", every_hours="7d", keep="16")
    text = refused.content.decode()
    assert refused.status_code == 422 and 'value="7d"' in text and 'value="16"' in text
    assert "“7d” was given; 0 (none) to 744 are allowed" in text and "16 was given; 1 to 15 are allowed" in text
    SnapshotPlan.objects.all().delete()
    Pool.objects.update(kind="logical")
    raw = "in a pool of LVM it is raw, and only a qcow2 file has layers"
    assert f"data: {raw}" in words(plan(cast, volume, every_hours=6)) and not SnapshotPlan.objects.exists()
    assert plan(cast, volume, "charlie", every_hours=6).status_code == 403
    assert plan(cast, volume, "dana", every_hours=6).status_code == 404
