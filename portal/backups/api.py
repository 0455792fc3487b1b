"""Backups and their stores over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import may, require, team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.api.schemas import Accepted, VMCreated
from portal.api.tags import tag_changeable
from portal.backups.listing import Line, backups_of, line_as_json, lines_of, store_as_json
from portal.backups.models import Backup, BackupPlan, BackupStore
from portal.backups.requests import PlanAsked, delete_backup, set_plan, take_backup
from portal.backups.restores import RestoreSpec, restore_backup
from portal.backups.stores import StoreSpec, ask_for_try, change_keys, enable_store, make_store, remove_store
from portal.backups.strays import MOST_AT_ONCE, clean_store
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.compute.serialize import vm_as_json
from portal.compute.views import vms_of
from portal.operations.models import Operation
from portal.operations.serialize import operation_as_json
from portal.volumes.lookup import pool_named

router = Router()
BIG = 2**31 - 1


class BackupIn(Given):
    store: str = Field("", max_length=200, description="none: the first that takes backups")
    full: bool = Field(False, description="not only what was written since the last one")
    volumes: list[Annotated[str, Field(max_length=200)]] | None = Field(
        None, max_length=50, description="names of its volumes; none: all that it has then; an empty list: without them"
    )


class BackupVolumeOut(Schema):
    name: str
    uuid: UUID = Field(description="of the volume that it was taken of")
    size_gib: int
    kind: str
    size_bytes: int
    sha256: str


class BackupOut(Schema):
    uuid: UUID
    vm: str
    vm_uuid: UUID
    vm_is_there: bool = Field(description="backups outlive their VM")
    kind: str = Field(description="full, or incremental: what was written since its parent")
    reason: str = Field(description="why it is a full one")
    state: str
    problem: str
    parent: UUID | None
    links: int = Field(description="how many backups a restore reads")
    store: str
    disk_gib: int
    size_bytes: int = Field(description="what it takes in the store, with its volumes")
    sha256: str = Field(description="of its own disk")
    volumes: list[BackupVolumeOut] = Field(description="that are in it")
    is_scheduled: bool
    created_at: datetime
    no_restore: str = Field(description="why no VM can be made of it now")
    no_delete: str = Field(description="why it cannot be deleted now")


class RestoreIn(Given):
    name: str = Field(max_length=200, description="of the new VM")
    network: str = Field("", max_length=200, description="none: the one that the VM was on")
    address: str | None = Field(None, max_length=100)
    request_key: str = Field("", max_length=64, description="the same key again gives the same VM")
    volumes: list[Annotated[str, Field(max_length=200)]] | None = Field(
        None,
        max_length=50,
        description="names of those in it that are made anew; none: all; an empty list: without them",
    )
    volume_pool: str | None = Field(
        None,
        max_length=150,
        description="host/pool, as /pools tells: where they are made; none: where the VM’s host has room",
    )


class BackupPlanIn(Given):
    every_hours: int = Field(ge=-BIG, le=BIG, description="0: none")
    full_every: int = Field(7, ge=-BIG, le=BIG, description="every so many-th is a full one; 1: each")
    keep: int = Field(4, ge=-BIG, le=BIG, description="so many full ones, with what lies on them")
    store: str = Field("", max_length=200)
    volumes: bool = Field(True, description="with all volumes that the VM then has")


class BackupPlanOut(Schema):
    every_hours: int
    volumes: bool
    full_every: int
    keep: int
    store: str
    next_at: datetime | None
    problem: str = Field(description="why one that is due is not taken, or nothing")


class StoreIn(Given):
    name: str = Field(max_length=200)
    kind: str = Field("directory", max_length=20, description="directory, or s3")
    folder: str = Field("", max_length=400, description="directory: an absolute path, where the worker has mounted it")
    endpoint: str = Field("", max_length=300, description="s3: https://host or https://host:port")
    bucket: str = Field("", max_length=200, description="s3: which is there already")
    prefix: str = Field("", max_length=300, description="s3: what all keys begin with; this store's alone")
    region: str = Field("", max_length=200, description="s3: none is us-east-1")
    access_key: str = Field("", max_length=300)
    secret: str = Field("", max_length=300, description="kept sealed, told by nothing")


class StoreChange(Given):
    is_enabled: bool | None = Field(None, description="whether new backups may go there")
    access_key: str = Field("", max_length=300, description="with the secret: another key from now on")
    secret: str = Field("", max_length=300)


class StoreCleanIn(Given):
    folders: list[Annotated[str, Field(max_length=300)]] = Field(
        max_length=MOST_AT_ONCE, description="of the store's `strays`"
    )
    typed: str = Field(max_length=100, description="the store's name: the consent")


class StepOut(Schema):
    step: str
    words: str


class TriedOut(Schema):
    at: datetime
    steps: list[StepOut] = Field(description="what went well, in order")
    problem: str = Field(description="what did not, or nothing")


class StrayOut(Schema):
    folder: str
    files: int
    size_bytes: int


class StoreOut(Schema):
    uuid: UUID
    name: str
    kind: str
    is_enabled: bool
    is_usable: bool
    place: str = Field(description="for operators")
    problem: str = Field(description="for operators")
    access_key: str = Field(description="for operators; its secret is told to nobody")
    free_bytes: int | None = Field(description="for operators")
    tried: TriedOut | None = Field(description="what the last try found; for operators")
    strays: list[StrayOut] = Field(description="what lies there of ours and no backup explains; for operators")
    seen_at: datetime | None


@router.get("/backups", response=Page[BackupOut], summary="The team's backups, also of VMs that are gone")
def list_backups(request: HttpRequest, paging: Query[PageQuery]) -> Any:
    team = team_for(request, "backup.see")
    found, after = page_of(backups_of(team), paging)
    every = backups_of(team).filter(vm_uuid__in={one.vm_uuid for one in found})
    by_id = {line.backup.pk: line for line in lines_of(team, every)}
    return as_page([line_as_json(by_id[one.pk]) for one in found if one.pk in by_id], after)


@router.get("/backups/{uuid}", response=BackupOut, summary="One backup")
def get_backup(request: HttpRequest, uuid: UUID) -> Any:
    return line_as_json(_line(_backup(request, uuid, "backup.see")))


@router.delete("/backups/{uuid}", response={202: Accepted}, summary="Delete a backup and those that lie on it")
def remove_backup(request: HttpRequest, uuid: UUID) -> Any:
    return _accepted(delete_backup(_backup(request, uuid), person(request)))


@router.post("/backups/{uuid}/restore", response={202: VMCreated}, summary="Make a new VM of a backup")
def restore(request: HttpRequest, uuid: UUID, asked: RestoreIn) -> Any:
    volumes = None if asked.volumes is None else tuple(_plain(name) for name in asked.volumes)
    row, text = _backup(request, uuid), asked.volume_pool
    pool = pool_named(_plain(text)) if text else None
    if text and pool is None:
        raise VMProblem({"volume_pool": [f"no pool “{text[:60]}” is offered: choose one of /pools"]})
    spec = RestoreSpec(_plain(asked.name), _plain(asked.network), asked.address, asked.request_key, volumes, pool)
    made = restore_backup(row, person(request), spec)
    return Status(202, {"vm": vm_as_json(made.vm), "operation": operation_as_json(made.operation)})


@router.get("/vms/{uuid}/backups", response=list[BackupOut], summary="A VM's backups")
def list_vm_backups(request: HttpRequest, uuid: UUID) -> Any:
    vm = _vm(request, uuid, "backup.see")
    return [line_as_json(line) for line in lines_of(vm.team, backups_of(vm.team).filter(vm_uuid=vm.uuid))]


@router.post("/vms/{uuid}/backups", response={202: Accepted}, summary="Back up a VM, also while it runs")
def post_backup(request: HttpRequest, uuid: UUID, asked: BackupIn) -> Any:
    vm = _vm(request, uuid)
    return _accepted(take_backup(vm, person(request), _plain(asked.store), asked.full, volumes=asked.volumes))


@router.get("/vms/{uuid}/backup-plan", response=BackupPlanOut, summary="How often a VM is backed up")
def get_backup_plan(request: HttpRequest, uuid: UUID) -> Any:
    rows = BackupPlan.objects.select_related("store")
    return _plan(rows.filter(vm=_vm(request, uuid, "backup.see")).first())


@router.put("/vms/{uuid}/backup-plan", response=BackupPlanOut, summary="Back up a VM every so often, and keep so many")
def put_backup_plan(request: HttpRequest, uuid: UUID, asked: BackupPlanIn) -> Any:
    wanted = PlanAsked(asked.every_hours, asked.full_every, asked.keep, _plain(asked.store), asked.volumes)
    return _plan(set_plan(_vm(request, uuid), person(request), wanted))


def _plan(plan: BackupPlan | None) -> dict[str, Any]:
    if plan is None:
        return {
            "every_hours": 0,
            "full_every": 0,
            "keep": 0,
            "volumes": False,
            "store": "",
            "next_at": None,
            "problem": "",
        }
    return {
        "every_hours": plan.every_hours, "full_every": plan.full_every, "keep": plan.keep, "store": plan.store.name,
        "next_at": plan.next_at, "volumes": plan.is_with_volumes, "problem": plan.problem,
    }  # fmt: skip


@router.get("/backup-stores", response=list[StoreOut], summary="Where backups are kept")
def list_stores(request: HttpRequest) -> Any:
    require(request, "person.see")
    is_operator = may(request, "store.manage")
    return [store_as_json(one, is_operator) for one in BackupStore.objects.all()]


@router.post("/backup-stores", response={201: StoreOut}, summary="Set up a store of backups")
def post_store(request: HttpRequest, asked: StoreIn) -> Any:
    require(request, "store.manage")
    return Status(201, store_as_json(make_store(person(request), StoreSpec(**asked.dict())), True))


@router.get("/backup-stores/{uuid}", response=StoreOut, summary="One store of backups")
def get_store(request: HttpRequest, uuid: UUID, answer: HttpResponse) -> Any:
    require(request, "person.see")
    row, is_told_all = get_object_or_404(BackupStore, uuid=uuid), may(request, "store.manage")
    tag_changeable(answer, row.uuid, row.is_enabled, *([row.access_key, row.sealed_secret] if is_told_all else []))
    return store_as_json(row, is_told_all)


@router.patch("/backup-stores/{uuid}", response=StoreOut, summary="Let a store take new backups, or change its keys")
def patch_store(request: HttpRequest, uuid: UUID, asked: StoreChange) -> Any:
    row = _store(request, uuid)
    with transaction.atomic():
        if asked.access_key or asked.secret:
            row = change_keys(row, person(request), asked.access_key, asked.secret)
        if asked.is_enabled is not None:
            row = enable_store(row, person(request), asked.is_enabled)
    return store_as_json(row, True)


@router.post("/backup-stores/{uuid}/try", response={202: StoreOut}, summary="Try a store: write, read, list and remove")
def post_store_try(request: HttpRequest, uuid: UUID) -> Any:
    return Status(202, store_as_json(ask_for_try(_store(request, uuid), person(request)), True))


@router.post("/backup-stores/{uuid}/clean", response={202: Accepted}, summary="Remove what no backup explains")
def post_store_clean(request: HttpRequest, uuid: UUID, asked: StoreCleanIn) -> Any:
    folders = [_plain(one) for one in asked.folders]
    return _accepted(clean_store(_store(request, uuid), person(request), folders, asked.typed))


@router.delete("/backup-stores/{uuid}", response={204: None}, summary="Know an empty store no more")
def delete_store(request: HttpRequest, uuid: UUID) -> Any:
    remove_store(_store(request, uuid), person(request))
    return Status(204, None)


def _store(request: HttpRequest, uuid: UUID) -> BackupStore:
    require(request, "store.manage")
    return get_object_or_404(BackupStore, uuid=uuid)


def _vm(request: HttpRequest, uuid: UUID, right: str = "backup.change") -> VM:
    team = team_for(request, "backup.see")
    row = get_object_or_404(vms_of(team), uuid=uuid)
    require(request, right, team)
    return row


def _backup(request: HttpRequest, uuid: UUID, right: str = "backup.change") -> Backup:
    team = team_for(request, "backup.see")
    row = get_object_or_404(backups_of(team), uuid=uuid)
    require(request, right, team)
    return row


def _line(row: Backup) -> Line:
    lines = lines_of(row.team, backups_of(row.team).filter(vm_uuid=row.vm_uuid))
    return next(line for line in lines if line.backup.pk == row.pk)


def _accepted(operation: Operation) -> Any:
    return Status(202, {"operation": operation_as_json(operation)})


def _plain(text: str) -> str:
    """NUL is in no name of ours, and PostgreSQL refuses it."""
    return text.replace("\0", "?")
