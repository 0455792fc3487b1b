"""The API of operators' moves: a host's maintenance, its evacuation, one VM's migration."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.schemas import Accepted, HostOut
from portal.compute.api import BulkResult
from portal.compute.models import VM
from portal.compute.moves import evacuate, request_move, set_maintenance, targets_of
from portal.compute.requests import VMProblem
from portal.hosts.models import Host
from portal.operations.serialize import operation_as_json

router = Router()


class MaintenanceIn(Given):
    in_maintenance: bool
    note: str = Field("", max_length=120)


class MaintenanceOut(Schema):
    in_maintenance: bool
    note: str


class MoveIn(Given):
    vm: UUID
    host: str = Field("", max_length=40, description="none: the best one")


class TargetOut(Schema):
    host: str
    problems: list[str] = Field(description="all that is missing there; none: the VM can go there")
    volumes: list[str] = Field(description="what becomes of each of its volumes there")


@router.get("/hosts/{host}/maintenance", response=MaintenanceOut, summary="Whether a host is in maintenance")
def get_maintenance(request: HttpRequest, host: str) -> Any:
    require(request, "host.see")
    row = _host(host)
    return {"in_maintenance": row.in_maintenance, "note": row.maintenance_note}


@router.put("/hosts/{host}/maintenance", response=HostOut, summary="Put a host into maintenance, or out of it")
def put_maintenance(request: HttpRequest, host: str, asked: MaintenanceIn) -> Any:
    require(request, "host.change")
    return set_maintenance(_host(host), person(request), asked.in_maintenance, asked.note)


@router.post("/hosts/{host}/evacuate", response=list[BulkResult], summary="Move every VM away from a host")
def post_evacuate(request: HttpRequest, host: str) -> Any:
    require(request, "host.change")
    return [
        {"uuid": one.uuid, "name": one.name, "operation": one.operation and one.operation.uuid, "problem": one.problem}
        for one in evacuate(_host(host), person(request))
    ]


@router.get(
    "/migrations/{uuid}/targets", response=list[TargetOut], summary="Where a VM can go, and what is missing where not"
)
def get_targets(request: HttpRequest, uuid: UUID) -> Any:
    require(request, "host.change")
    vm = get_object_or_404(VM.objects.select_related("team", "host", "image", "flavor"), uuid=uuid)
    return [
        {"host": one.host.name, "problems": list(one.problems), "volumes": list(one.volumes)} for one in targets_of(vm)
    ]


@router.post("/migrations", response={202: Accepted}, summary="Move a VM to another host, live if it runs")
def post_migration(request: HttpRequest, asked: MoveIn) -> Any:
    require(request, "host.change")
    vm = get_object_or_404(VM.objects.select_related("team"), uuid=asked.vm)
    target = _host(asked.host) if asked.host else None
    return Status(202, {"operation": operation_as_json(request_move(vm, person(request), target))})


def _host(name: str) -> Host:
    found = Host.objects.filter(name=name).first() if "\0" not in name else None
    if found is None:
        raise VMProblem(
            {
                "host": [
                    f"there is no host “{name[:40]}”: {', '.join(Host.objects.values_list('name', flat=True)) or 'none'}"
                ]
            }
        )
    return found
