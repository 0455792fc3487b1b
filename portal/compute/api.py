"""The API of a VM's changes: size, image, clone."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.schemas import MAX_ID, Accepted, PortOut, VMCreated
from portal.compute.bulk import MOST, act_on_many
from portal.compute.changes import clone_vm, rebuild_vm, resize_vm
from portal.compute.devices import report_as_json, reports_of, set_devices, warning_of
from portal.compute.forms import images_for
from portal.compute.models import VM, Flavor, Snippet
from portal.compute.nics import add_nic, move_nic, remove_nic, set_nic_model
from portal.compute.requests import VMProblem
from portal.compute.serialize import port_as_json, vm_as_json
from portal.compute.snippets import entries_of, forget_snippet, keep_snippet
from portal.compute.views import vms_of
from portal.images.from_vm import image_of_vm
from portal.networks.models import Network, Port
from portal.operations.models import Operation
from portal.operations.serialize import operation_as_json

router = Router()
Number = Annotated[int, Path(ge=1, le=MAX_ID)]


class ResizeIn(Given):
    flavor: str = Field(max_length=20)


class RebuildIn(Given):
    image: str = Field("", max_length=40, description="none given: the image it has")
    key: int | None = Field(None, ge=1, le=MAX_ID, description="id of one of your SSH keys; none given: the key it has")


class DevicesIn(Given):
    disk_bus: str = Field("", max_length=20, description="virtio, scsi or sata; nothing: as it is")
    nic_model: str = Field(
        "",
        max_length=20,
        description="virtio, e1000e, e1000, rtl8139 or vmxnet3, of all its NICs; nothing: as they are",
    )


class DevicesAccepted(Accepted):
    warning: str = Field(description="what to know before its next start")


class EmulatedOut(Schema):
    name: str
    model: str
    kind: str
    next_start: str = Field(description="the model from its next start on; nothing when it stays")


class ReportOut(Schema):
    uuid: UUID
    team: str
    name: str
    state: str
    host: str | None
    image: str
    warning: str = Field(description="what to know before it is switched to virtio")
    devices: list[EmulatedOut]


class CloneIn(Given):
    name: str = Field(max_length=200)
    request_key: str = Field("", max_length=64, description="the same key again gives the same VM")


class ImageIn(Given):
    name: str = Field(max_length=200)
    note: str = Field("", max_length=200)


class NicIn(Given):
    network: str = Field(max_length=40)
    model: str = Field("virtio", max_length=20)
    address: str | None = Field(None, max_length=100)


class NicChange(Given):
    network: str | None = Field(None, max_length=40)
    address: str | None = Field(None, max_length=100, description="with a network: the address to have there")
    model: str | None = Field(None, max_length=20)


class SnippetIn(Given):
    name: str = Field(max_length=60)
    text: str = Field(max_length=20000)


class SnippetOut(Schema):
    id: int | None = Field(description="none: it comes along")
    name: str
    text: str


class BulkIn(Given):
    action: str = Field(max_length=40)
    uuids: list[UUID] = Field(max_length=MOST)


class BulkResult(Schema):
    uuid: UUID
    name: str
    operation: UUID | None
    problem: str


@router.post("/bulk/vms", response=list[BulkResult], summary="One action for many VMs, with a result for each")
def bulk(request: HttpRequest, asked: BulkIn) -> Any:
    team = team_for(request, "vm.power")
    if asked.action == "delete":
        require(request, "vm.delete", team)
    return [
        {"uuid": one.uuid, "name": one.name, "operation": one.operation and one.operation.uuid, "problem": one.problem}
        for one in act_on_many(team, person(request), asked.action, asked.uuids)
    ]


@router.get("/snippets", response=list[SnippetOut], summary="The library of user-data")
def list_snippets(request: HttpRequest) -> Any:
    return [
        {"id": entry.number, "name": entry.name, "text": entry.text}
        for entry in entries_of(team_for(request, "snippet.see"))
    ]


@router.post("/snippets", response={201: SnippetOut}, summary="Keep user-data in the team's library")
def post_snippet(request: HttpRequest, asked: SnippetIn) -> Any:
    row = keep_snippet(team_for(request, "snippet.change"), person(request), _plain(asked.name), _plain(asked.text))
    return Status(201, {"id": row.pk, "name": row.name, "text": row.text})


@router.delete("/snippets/{number}", response={204: None}, summary="Keep user-data no longer")
def delete_snippet(request: HttpRequest, number: Number) -> Any:
    team = team_for(request, "snippet.see")
    row = get_object_or_404(Snippet.objects.select_related("team"), pk=number, team=team)
    require(request, "snippet.change", team)
    forget_snippet(row, person(request))
    return Status(204, None)


@router.post("/vms/{uuid}/resize", response={202: Accepted}, summary="Give a VM another size")
def resize(request: HttpRequest, uuid: UUID, asked: ResizeIn) -> Any:
    row = _vm(request, uuid, "vm.change")
    flavor = Flavor.objects.filter(name=_plain(asked.flavor)).first()
    return _accepted(resize_vm(row, person(request), flavor))


@router.post("/vms/{uuid}/devices", response={202: DevicesAccepted}, summary="Another disk bus and NIC model for a VM")
def devices(request: HttpRequest, uuid: UUID, asked: DevicesIn) -> Any:
    row = _vm(request, uuid, "vm.change")
    operation = set_devices(row, person(request), asked.disk_bus, asked.nic_model)
    warned = "virtio" in (asked.disk_bus, asked.nic_model) or asked.disk_bus == "scsi"
    return Status(202, {"operation": operation_as_json(operation), "warning": warning_of(row) if warned else ""})


@router.get("/emulated-devices", response=list[ReportOut], summary="The team's VMs on emulated devices")
def list_emulated_devices(request: HttpRequest) -> Any:
    return [report_as_json(one) for one in reports_of(team_for(request, "vm.see").vms.all())]


@router.get("/emulated-devices/all", response=list[ReportOut], summary="VMs of all teams on emulated devices")
def list_all_emulated_devices(request: HttpRequest) -> Any:
    require(request, "host.see")
    return [report_as_json(one) for one in reports_of(VM.objects.all())]


@router.post("/vms/{uuid}/rebuild", response={202: Accepted}, summary="Give a VM a fresh disk of an image")
def rebuild(request: HttpRequest, uuid: UUID, asked: RebuildIn) -> Any:
    row = _vm(request, uuid, "vm.change")
    slug = asked.image or row.image.slug
    image = next((one for one in images_for(row.team) if one.slug == slug), None)
    return _accepted(rebuild_vm(row, person(request), image, str(asked.key or "")))


@router.post("/vms/{uuid}/clone", response={202: VMCreated}, summary="A VM like this one, with a copy of its disk")
def clone(request: HttpRequest, uuid: UUID, asked: CloneIn) -> Any:
    made = clone_vm(_vm(request, uuid, "vm.create"), person(request), asked.name, _plain(asked.request_key))
    return Status(202, {"vm": vm_as_json(made.vm), "operation": operation_as_json(made.operation)})


@router.post("/vms/{uuid}/image", response={202: Accepted}, summary="Make an image of a VM's disk, which must be off")
def make_image(request: HttpRequest, uuid: UUID, asked: ImageIn) -> Any:
    row = _vm(request, uuid, "image.change")
    return _accepted(image_of_vm(row, person(request), _plain(asked.name), _plain(asked.note)))


@router.post("/vms/{uuid}/nics", response={202: Accepted}, summary="Give a VM one more NIC, also while it runs")
def post_nic(request: HttpRequest, uuid: UUID, asked: NicIn) -> Any:
    row = _vm(request, uuid, "vm.change")
    network = Network.objects.filter(team=row.team, name=_plain(asked.network)).first()
    return _accepted(add_nic(row, person(request), network, model=asked.model, address=asked.address))


@router.get("/vms/{uuid}/nics/{port}", response=PortOut, summary="One NIC of a VM")
def get_nic(request: HttpRequest, uuid: UUID, port: UUID) -> Any:
    row = _vm(request, uuid, "vm.see")
    return port_as_json(get_object_or_404(Port.objects.select_related("network"), uuid=port, vm=row))


@router.patch(
    "/vms/{uuid}/nics/{port}", response={202: Accepted}, summary="Move a NIC to another network, or replace its model"
)
def patch_nic(request: HttpRequest, uuid: UUID, port: UUID, asked: NicChange) -> Any:
    row = _vm(request, uuid, "vm.change")
    found = get_object_or_404(Port.objects.select_related("network"), uuid=port, vm=row)
    if (asked.network is None) == (asked.model is None):
        raise VMProblem({"network": ["give a network or a model: one change at a time"]})
    if asked.model is not None:
        return _accepted(set_nic_model(row, person(request), found, asked.model))
    network = Network.objects.filter(team=row.team, name=_plain(asked.network or "")).first()
    return _accepted(move_nic(row, person(request), found, network, asked.address))


@router.delete("/vms/{uuid}/nics/{port}", response={202: Accepted}, summary="Take a NIC away, also while the VM runs")
def delete_nic(request: HttpRequest, uuid: UUID, port: UUID) -> Any:
    row = _vm(request, uuid, "vm.change")
    found = get_object_or_404(Port.objects.select_related("network"), uuid=port, vm=row)
    return _accepted(remove_nic(row, person(request), found))


def _vm(request: HttpRequest, uuid: UUID, right: str) -> VM:
    team = team_for(request, "vm.see")
    row = get_object_or_404(vms_of(team), uuid=uuid)
    require(request, right, team)
    return row


def _accepted(operation: Operation) -> Any:
    return Status(202, {"operation": operation_as_json(operation)})


def _plain(text: str) -> str:
    """What no row is called, for what no database can hold."""
    return text.encode(errors="replace").decode().replace("\0", "?")
