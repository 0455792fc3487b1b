"""Snapshots over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.schemas import Accepted
from portal.compute.models import VM
from portal.compute.views import vms_of
from portal.operations.models import Operation
from portal.operations.serialize import operation_as_json
from portal.snapshots.models import Snapshot, SnapshotVolume
from portal.snapshots.plans import plan_of, set_plan
from portal.snapshots.requests import SnapshotSpec, delete_snapshot, revert_to, take_snapshot
from portal.snapshots.tree import tree_of

router = Router()
NO_PLAN = {"every_hours": 0, "keep": 0, "is_with_volumes": True, "next_at": None, "problem": ""}
BIG = 2**31 - 1


class SnapshotIn(Given):
    name: str = Field(max_length=200)
    memory: bool = Field(False, description="keep the running guest's memory too: it pauses while that is written")
    volumes: list[str] | None = Field(
        None, max_length=64, description="the volumes of the VM that are in it, by name; null: all that can be"
    )


class KeptVolumeOut(Schema):
    name: str
    size_gib: int
    file_name: str


class SnapshotOut(Schema):
    uuid: UUID
    name: str
    state: str
    parent: UUID | None = Field(description="the snapshot whose file its own lies on")
    is_current: bool = Field(description="what the VM writes lies on it")
    has_memory: bool
    disk_name: str
    disk_gib: int
    volumes: list[KeptVolumeOut] = Field(description="those that are in it, as they were at the same moment")
    stays: list[str] = Field(description="volumes of the VM that a revert leaves as they are")
    is_scheduled: bool
    created_at: datetime
    no_revert: str = Field(description="why it cannot be reverted to now")
    no_delete: str = Field(description="why it cannot be deleted now")


class VolumePlanIn(Given):
    every_hours: int = Field(ge=-BIG, le=BIG, description="0: none")
    keep: int = Field(7, ge=-BIG, le=BIG, description="so many of those that the plan took")


class PlanIn(VolumePlanIn):
    volumes: bool = Field(True, description="with all volumes that can be in a snapshot")


class VolumePlanOut(Schema):
    every_hours: int
    keep: int
    next_at: datetime | None
    problem: str = Field(description="why one that is due is not taken, or nothing")


class PlanOut(VolumePlanOut):
    volumes: bool = Field(alias="is_with_volumes")


@router.get("/vms/{uuid}/snapshots", response=list[SnapshotOut], summary="A VM's snapshots, each after what it lies on")
def list_snapshots(request: HttpRequest, uuid: UUID) -> Any:
    shown = []
    for line in tree_of(_vm(request, uuid, "vm.see")):
        if line.snapshot is not None:
            row = line.snapshot
            names = (
                "uuid",
                "name",
                "state",
                "is_current",
                "has_memory",
                "disk_name",
                "disk_gib",
                "is_scheduled",
                "created_at",
            )
            told = {name: getattr(row, name) for name in names} | {"parent": row.parent.uuid if row.parent else None}
            told |= {"volumes": [_kept(one) for one in line.volumes], "stays": list(line.stays)}
            shown.append(told | {"no_revert": line.no_revert, "no_delete": line.no_delete})
    return shown


def _kept(one: SnapshotVolume) -> dict[str, Any]:
    return {"name": one.volume.name, "size_gib": one.size_gib, "file_name": one.file_name}


@router.post("/vms/{uuid}/snapshots", response={202: Accepted}, summary="Take a snapshot of a VM, also while it runs")
def post_snapshot(request: HttpRequest, uuid: UUID, asked: SnapshotIn) -> Any:
    row = _vm(request, uuid)
    volumes = None if asked.volumes is None else [name.replace("\0", "?") for name in asked.volumes]
    spec = SnapshotSpec(asked.name.replace("\0", "?"), asked.memory, volumes)
    return _accepted(take_snapshot(row, person(request), spec))


@router.post(
    "/vms/{uuid}/snapshots/{snapshot}/revert", response={202: Accepted}, summary="Give a VM the disk of that moment"
)
def revert(request: HttpRequest, uuid: UUID, snapshot: UUID) -> Any:
    return _accepted(revert_to(_snapshot(request, uuid, snapshot), person(request)))


@router.delete(
    "/vms/{uuid}/snapshots/{snapshot}", response={202: Accepted}, summary="Forget a snapshot; the disk stays"
)
def remove_snapshot(request: HttpRequest, uuid: UUID, snapshot: UUID) -> Any:
    return _accepted(delete_snapshot(_snapshot(request, uuid, snapshot), person(request)))


@router.get("/vms/{uuid}/snapshot-plan", response=PlanOut, summary="How often a snapshot of a VM is taken")
def get_plan(request: HttpRequest, uuid: UUID) -> Any:
    return plan_of(_vm(request, uuid, "vm.see")) or NO_PLAN


@router.put("/vms/{uuid}/snapshot-plan", response=PlanOut, summary="Take a snapshot every so often, and keep so many")
def put_plan(request: HttpRequest, uuid: UUID, asked: PlanIn) -> Any:
    plan = set_plan(_vm(request, uuid), person(request), asked.every_hours, asked.keep, asked.volumes)
    return plan or NO_PLAN


def _vm(request: HttpRequest, uuid: UUID, right: str = "vm.change") -> VM:
    team = team_for(request, "vm.see")
    row = get_object_or_404(vms_of(team), uuid=uuid)
    require(request, right, team)
    return row


def _snapshot(request: HttpRequest, uuid: UUID, snapshot: UUID) -> Snapshot:
    vm = _vm(request, uuid)
    return get_object_or_404(Snapshot.objects.select_related("vm__team"), uuid=snapshot, vm=vm)


def _accepted(operation: Operation) -> Any:
    return Status(202, {"operation": operation_as_json(operation)})
