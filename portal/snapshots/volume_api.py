"""A volume's own snapshots over REST."""

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
from portal.operations.models import Operation
from portal.operations.serialize import operation_as_json
from portal.snapshots.api import NO_PLAN, VolumePlanIn, VolumePlanOut
from portal.snapshots.models import SnapshotVolume
from portal.snapshots.of_volumes import (
    OwnSnapshot,
    clone_snapshot,
    delete_volume_snapshot,
    revert_volume,
    snapshots_of_volume,
    take_volume_snapshot,
)
from portal.snapshots.plans import plan_of, set_plan
from portal.volumes.api import VolumeCloneIn, VolumeMade
from portal.volumes.lookup import volumes_of
from portal.volumes.models import Volume
from portal.volumes.serialize import volume_as_json

router = Router()


class VolumeSnapshotIn(Given):
    name: str = Field(max_length=200)


class VolumeSnapshotOut(Schema):
    uuid: UUID
    name: str
    state: str
    size_gib: int
    file_name: str = Field(description="the file that froze then; none while it is being taken")
    is_current: bool = Field(description="what is written to the volume lies on it")
    is_scheduled: bool = Field(description="the volume's plan took it")
    created_at: datetime
    no_revert: str = Field(description="why the volume cannot be reverted to it now")
    no_delete: str = Field(description="why it cannot be deleted now")
    no_clone: str = Field(description="why no volume can be made of it now")


@router.get("/volumes/{uuid}/snapshots", response=list[VolumeSnapshotOut], summary="A volume's own snapshots")
def list_volume_snapshots(request: HttpRequest, uuid: UUID) -> Any:
    return [_as_json(one) for one in snapshots_of_volume(_volume(request, uuid, "volume.see"))]


@router.post(
    "/volumes/{uuid}/snapshots",
    response={202: Accepted},
    summary="Take a snapshot of one volume, also while a guest writes to it",
)
def post_volume_snapshot(request: HttpRequest, uuid: UUID, asked: VolumeSnapshotIn) -> Any:
    return _accepted(take_volume_snapshot(_volume(request, uuid), person(request), _plain(asked.name)))


@router.post(
    "/volumes/{uuid}/snapshots/{snapshot}/revert",
    response={202: Accepted},
    summary="Give a volume what it held then; no running VM may have it",
)
def revert_volume_snapshot(request: HttpRequest, uuid: UUID, snapshot: UUID) -> Any:
    return _accepted(revert_volume(_moment(request, uuid, snapshot), person(request)))


@router.delete(
    "/volumes/{uuid}/snapshots/{snapshot}", response={202: Accepted}, summary="Forget a snapshot; the volume stays"
)
def remove_volume_snapshot(request: HttpRequest, uuid: UUID, snapshot: UUID) -> Any:
    return _accepted(delete_volume_snapshot(_moment(request, uuid, snapshot), person(request)))


@router.post(
    "/volumes/{uuid}/snapshots/{snapshot}/clone",
    response={202: VolumeMade},
    summary="A volume with what another one held then",
)
def clone_volume_snapshot(request: HttpRequest, uuid: UUID, snapshot: UUID, asked: VolumeCloneIn) -> Any:
    moment = _moment(request, uuid, snapshot)
    made, operation = clone_snapshot(moment, person(request), _plain(asked.name), asked.size_gib)
    return Status(202, {"volume": volume_as_json(made), "operation": operation_as_json(operation)})


@router.get(
    "/volumes/{uuid}/snapshot-plan", response=VolumePlanOut, summary="How often a snapshot of a volume alone is taken"
)
def get_volume_plan(request: HttpRequest, uuid: UUID) -> Any:
    return plan_of(_volume(request, uuid, "volume.see")) or NO_PLAN


@router.put(
    "/volumes/{uuid}/snapshot-plan",
    response=VolumePlanOut,
    summary="Take a snapshot of a volume alone every so often, and keep so many",
)
def put_volume_plan(request: HttpRequest, uuid: UUID, asked: VolumePlanIn) -> Any:
    return set_plan(_volume(request, uuid), person(request), asked.every_hours, asked.keep) or NO_PLAN


def _as_json(one: OwnSnapshot) -> dict[str, Any]:
    names = ("uuid", "name", "state", "size_gib", "file_name", "is_current", "is_scheduled", "created_at")
    told = {name: getattr(one.moment, name) for name in names}
    return told | {"no_revert": one.no_revert, "no_delete": one.no_delete, "no_clone": one.no_clone}


def _volume(request: HttpRequest, uuid: UUID, right: str = "volume.change") -> Volume:
    team = team_for(request, "volume.see")
    row = get_object_or_404(volumes_of(team), uuid=uuid)
    require(request, right, team)
    return row


def _moment(request: HttpRequest, uuid: UUID, snapshot: UUID) -> SnapshotVolume:
    volume = _volume(request, uuid)
    found = get_object_or_404(SnapshotVolume, uuid=snapshot, volume=volume, snapshot=None)
    found.volume = volume
    return found


def _accepted(operation: Operation) -> Any:
    return Status(202, {"operation": operation_as_json(operation)})


def _plain(text: str) -> str:
    """What no row is called, for what no database can hold."""
    return text.encode(errors="replace").decode().replace("\0", "?")
