"""Volumes and storage pools over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.api.schemas import Accepted, OperationOut
from portal.api.tags import tag_changeable
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.operations.serialize import operation_as_json
from portal.snapshots.chain import chain_of, layer_as_json
from portal.volumes.lookup import offered_pools, pool_named, vm_named, volumes_of
from portal.volumes.luns import taken_luns
from portal.volumes.models import Bus, Pool, Volume
from portal.volumes.requests import (
    VolumeSpec,
    attach_volume,
    clone_volume,
    create_volume,
    delete_volume,
    detach_volume,
    grow_volume,
    offer_pool,
)
from portal.volumes.rules import refusals_of
from portal.volumes.serialize import pool_as_json, volume_as_json

router = Router()
BIG = 2**31 - 1


class VolumeIn(Given):
    name: str = Field(max_length=200)
    size_gib: int = Field(ge=-BIG, le=BIG)
    pool: str | None = Field(
        None, max_length=150, description="host/pool, as /pools tells; none: the one with most room"
    )
    vm: str | None = Field(None, max_length=63, description="name or uuid of the VM to attach it to at once")
    bus: str = Field(Bus.VIRTIO, max_length=40, description="virtio, scsi or sata")


class AttachIn(Given):
    vm: str = Field(max_length=63, description="name or uuid")
    bus: str = Field(Bus.VIRTIO, max_length=40, description="virtio, scsi or sata")


class GrowIn(Given):
    size_gib: int = Field(ge=-BIG, le=BIG)


class VolumeCloneIn(Given):
    name: str = Field(max_length=200)
    size_gib: int | None = Field(None, ge=-BIG, le=BIG, description="none: as its source")
    pool: str | None = Field(
        None, max_length=150, description="host/pool, as /pools tells, of the same host; none: that of its source"
    )


class PoolIn(Given):
    is_offered: bool


class VolumeOut(Schema):
    uuid: UUID
    name: str
    size_gib: int
    state: str
    pool: str | None
    kind: str | None
    lun: str = Field(description="the target’s name and the number of the LUN that it is; empty for other volumes")
    vm: str | None
    vm_uuid: UUID | None
    bus: str
    target: str
    serial: str = Field(description="in the guest: /dev/disk/by-id/virtio-<serial>")
    created_at: datetime


class LayerOut(Schema):
    file_name: str
    below: str | None = Field(description="the file that it lies on")
    size_gib: int
    snapshot: str | None = Field(description="the snapshot that froze it; none: it is what is written")
    snapshot_uuid: UUID | None
    snapshot_of: str | None = Field(description="vm or volume: whose snapshot that is")
    frozen_at: datetime | None


class VolumeWhole(VolumeOut):
    layers: list[LayerOut] = Field(description="its backing chain: each file after the one that it lies on")


class VolumeMade(Schema):
    volume: VolumeOut
    operation: OperationOut


class ChangeOut(Schema):
    name: str
    disabled_reason: str


class PoolOut(Schema):
    uuid: UUID
    name: str
    host: str
    kind: str
    target: str
    capacity_bytes: int
    available_bytes: int
    is_active: bool
    is_offered: bool
    refusal: str = Field(description="why it cannot be offered to teams")
    limits: list[str] = Field(description="what a volume there can never do, and why")
    free_luns_gib: list[int] = Field(description="of a pool that has LUNs (iSCSI): the sizes of those that are free")
    seen_at: datetime | None


@router.get("/volumes", response=Page[VolumeOut], summary="The team's volumes")
def list_volumes(request: HttpRequest, paging: Query[PageQuery]) -> Any:
    found, after = page_of(volumes_of(team_for(request, "volume.see")), paging)
    return as_page([volume_as_json(one) for one in found], after)


@router.post("/volumes", response={202: VolumeMade}, summary="Make a volume, and attach it to a VM if one is named")
def post_volume(request: HttpRequest, asked: VolumeIn) -> Any:
    team = team_for(request, "volume.change")
    pool, errors = _pool(asked.pool)
    vm = vm_named(team, _plain(asked.vm)) if asked.vm else None
    if asked.vm and vm is None:
        errors["vm"] = [_no_vm(team.name)]
    if errors:
        raise VMProblem(errors)
    spec = VolumeSpec(_plain(asked.name), asked.size_gib, pool, vm, _plain(asked.bus))
    return _made(*create_volume(team, person(request), spec))


@router.get("/volumes/{uuid}", response=VolumeWhole, summary="One volume, with its backing chain")
def get_volume(request: HttpRequest, uuid: UUID) -> Any:
    row = _volume(request, uuid, "volume.see")
    return volume_as_json(row) | {"layers": [layer_as_json(one) for one in chain_of(row)]}


@router.get("/volumes/{uuid}/changes", response=list[ChangeOut], summary="What can be done with a volume, and why not")
def list_changes(request: HttpRequest, uuid: UUID) -> Any:
    row = _volume(request, uuid, "volume.see")
    return [{"name": name, "disabled_reason": reason} for name, reason in refusals_of(row).items()]


@router.delete("/volumes/{uuid}", response={202: Accepted}, summary="Delete a volume with all that is on it")
def remove_volume(request: HttpRequest, uuid: UUID) -> Any:
    return _accepted(delete_volume(_volume(request, uuid), person(request)))


@router.post("/volumes/{uuid}/attach", response={202: Accepted}, summary="Give a volume to a VM, also while it runs")
def attach(request: HttpRequest, uuid: UUID, asked: AttachIn) -> Any:
    row = _volume(request, uuid)
    return _accepted(attach_volume(row, person(request), _vm(row, asked.vm), _plain(asked.bus)))


@router.post(
    "/volumes/{uuid}/detach", response={202: Accepted}, summary="Take a volume from its VM, also while it runs"
)
def detach(request: HttpRequest, uuid: UUID) -> Any:
    return _accepted(detach_volume(_volume(request, uuid), person(request)))


@router.post("/volumes/{uuid}/grow", response={202: Accepted}, summary="Make a volume larger, also while its VM runs")
def grow(request: HttpRequest, uuid: UUID, asked: GrowIn) -> Any:
    return _accepted(grow_volume(_volume(request, uuid), person(request), asked.size_gib))


@router.post("/volumes/{uuid}/clone", response={202: VolumeMade}, summary="A volume with the same content")
def post_volume_clone(request: HttpRequest, uuid: UUID, asked: VolumeCloneIn) -> Any:
    row = _volume(request, uuid)
    pool, errors = _pool(asked.pool)
    if errors:
        raise VMProblem(errors)
    return _made(*clone_volume(row, person(request), _plain(asked.name), asked.size_gib, pool))


@router.get("/pools", response=list[PoolOut], summary="Storage pools that teams may use; operators see all")
def list_pools(request: HttpRequest) -> Any:
    require(request, "person.see")
    rows = list(_pools(request))
    taken = taken_luns(rows)
    return [pool_as_json(one, taken) for one in rows]


@router.get("/pools/{uuid}", response=PoolOut, summary="One storage pool")
def get_pool(request: HttpRequest, uuid: UUID, answer: HttpResponse) -> Any:
    require(request, "person.see")
    row = get_object_or_404(_pools(request), uuid=uuid)
    tag_changeable(answer, row.uuid, row.is_offered)
    return pool_as_json(row)


def _pools(request: HttpRequest) -> QuerySet[Pool]:
    return Pool.objects.select_related("host") if person(request).is_operator else offered_pools()


@router.patch("/pools/{uuid}", response=PoolOut, summary="Offer a host's storage pool to teams, or no more")
def patch_pool(request: HttpRequest, uuid: UUID, asked: PoolIn) -> Any:
    require(request, "pool.manage")
    row = get_object_or_404(Pool.objects.select_related("host"), uuid=uuid)
    return pool_as_json(offer_pool(row, person(request), asked.is_offered))


def _volume(request: HttpRequest, uuid: UUID, right: str = "volume.change") -> Volume:
    team = team_for(request, "volume.see")
    row = get_object_or_404(volumes_of(team), uuid=uuid)
    require(request, right, team)
    return row


def _pool(text: str | None) -> tuple[Pool | None, dict[str, list[str]]]:
    """The pool that was named, if one was; what is wrong with the name."""
    pool = pool_named(_plain(text)) if text else None
    missing = f"no pool “{text[:60]}” is offered: choose one of /pools" if text and pool is None else ""
    return pool, {"pool": [missing]} if missing else {}


def _vm(volume: Volume, text: str) -> VM | None:
    return vm_named(volume.team, _plain(text))


def _no_vm(team: str) -> str:
    return f"no VM of that name in team {team}: choose one of the list"


def _made(volume: Volume, operation: Any) -> Any:
    return Status(202, {"volume": volume_as_json(volume), "operation": operation_as_json(operation)})


def _accepted(operation: Any) -> Any:
    return Status(202, {"operation": operation_as_json(operation)})


def _plain(text: str) -> str:
    """What no row is called, for what no database can hold."""
    return text.encode(errors="replace").decode().replace("\0", "?")
