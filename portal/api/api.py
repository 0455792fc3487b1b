"""The REST API: session and CSRF, JSON in and out, problems as application/problem+json with every field's errors."""

from __future__ import annotations

import secrets
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from ninja import NinjaAPI, Schema
from ninja.errors import ValidationError
from ninja.security import django_auth

from portal.accounts.access import active_team, require_operator, require_role
from portal.accounts.models import Role
from portal.accounts.views import person
from portal.compute.actions import change_flags, offers_of, request_action
from portal.compute.forms import images_for
from portal.compute.models import Flavor
from portal.compute.requests import VMProblem, VMSpec, create_vm, delete_vm
from portal.compute.serialize import vm_as_json
from portal.compute.views import vms_of
from portal.hosts.models import Host
from portal.live.topics import refusal_of, snapshot_of
from portal.networks.models import Network
from portal.operations.models import Operation
from portal.operations.serialize import operation_as_json
from portal.traces.models import TraceRequest
from portal.traces.presentation import probe_data
from portal.traces.requests import TraceProblem, TraceSpec, create_trace, find_target, is_uuid, ports_of

api = NinjaAPI(title="Hopsight", version="1", auth=django_auth)


class VMIn(Schema):
    name: str
    image: str
    flavor: str
    network: str
    key: int | None = None
    user_data: str = ""
    address: str | None = None
    request_key: str = ""


class VMFlags(Schema):
    is_autostarted: bool | None = None
    is_protected: bool | None = None


class TraceIn(Schema):
    """`target` is a port's uuid, a VM's name or an IP address."""

    source: UUID
    target: str
    protocol: str = "icmp"
    port_dst: int = 0
    moment: str = "as_is"
    size_bytes: int = 84


def problem(status: int, title: str, errors: dict[str, list[str]] | None = None) -> HttpResponse:
    """RFC 9457's form."""
    body = {"type": "about:blank", "title": title, "status": status, "errors": errors or {}}
    return JsonResponse(body, status=status, content_type="application/problem+json")


@api.exception_handler(PermissionDenied)
def _denied(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
    return problem(403, str(error))


@api.exception_handler(Http404)
def _missing(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem(404, "Nothing of that name is in your teams")


@api.exception_handler(VMProblem)
def _vm_problem(request: HttpRequest, error: VMProblem) -> HttpResponse:
    return problem(422, "Nothing was changed", error.errors)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors: dict[str, list[str]] = {}
    for one in error.errors:
        errors.setdefault(str(one["loc"][-1]), []).append(str(one["msg"]))
    return problem(422, "The request does not have the right form", errors)


@api.get("/vms")
def list_vms(request: HttpRequest) -> Any:
    return [vm_as_json(vm) for vm in vms_of(active_team(request))]


@api.get("/vms/{uuid}")
def get_vm(request: HttpRequest, uuid: UUID) -> Any:
    return vm_as_json(get_object_or_404(vms_of(active_team(request)), uuid=uuid))


@api.post("/vms", response={202: Any})
def post_vm(request: HttpRequest, asked: VMIn) -> Any:
    team, user = active_team(request), person(request)
    require_role(request, team, Role.MEMBER)
    key = user.keys.filter(pk=asked.key).first() if asked.key is not None else None
    if asked.key is not None and key is None:
        raise VMProblem({"key": [f"key {asked.key} was given; it is not one of yours"]})
    spec = VMSpec(
        name=asked.name,
        image=next((row for row in images_for(team) if row.slug == asked.image), None),
        flavor=Flavor.objects.filter(name=asked.flavor).first(),
        network=Network.objects.filter(team=team, name=asked.network).first(),
        request_key=asked.request_key[:64] or secrets.token_hex(16),
        key=key,
        user_data=asked.user_data,
        address=asked.address,
    )
    made = create_vm(team, user, spec)
    return 202, {"vm": vm_as_json(made.vm), "operation": operation_as_json(made.operation)}


@api.delete("/vms/{uuid}", response={202: Any})
def remove_vm(request: HttpRequest, uuid: UUID) -> Any:
    team = active_team(request)
    row = get_object_or_404(vms_of(team), uuid=uuid)
    require_role(request, team, Role.MEMBER)
    return 202, {"operation": operation_as_json(delete_vm(row, person(request)))}


@api.get("/vms/{uuid}/actions")
def list_actions(request: HttpRequest, uuid: UUID) -> Any:
    row = get_object_or_404(vms_of(active_team(request)), uuid=uuid)
    return [
        {"name": offer.action.name, "title": offer.action.title, "disabled_reason": offer.disabled_reason}
        for offer in offers_of(row)
    ]


@api.post("/vms/{uuid}/actions/{action}", response={202: Any})
def post_action(request: HttpRequest, uuid: UUID, action: str) -> Any:
    team = active_team(request)
    row = get_object_or_404(vms_of(team), uuid=uuid)
    require_role(request, team, Role.MEMBER)
    return 202, {"operation": operation_as_json(request_action(row, person(request), action))}


@api.patch("/vms/{uuid}")
def patch_vm(request: HttpRequest, uuid: UUID, asked: VMFlags) -> Any:
    team = active_team(request)
    row = get_object_or_404(vms_of(team), uuid=uuid)
    require_role(request, team, Role.MEMBER)
    changed = change_flags(row, person(request), autostart=asked.is_autostarted, protected=asked.is_protected)
    return vm_as_json(changed)


@api.get("/operations")
def list_operations(request: HttpRequest) -> Any:
    rows = Operation.objects.filter(team=active_team(request)).prefetch_related("stages")[:100]
    return [operation_as_json(one) for one in rows]


@api.get("/operations/{uuid}")
def get_operation(request: HttpRequest, uuid: UUID) -> Any:
    return operation_as_json(get_object_or_404(Operation, uuid=uuid, team=active_team(request)))


@api.get("/networks")
def list_networks(request: HttpRequest) -> Any:
    rows = Network.objects.filter(team=active_team(request)).prefetch_related("subnets")
    return [
        {"uuid": str(row.uuid), "name": row.name, "vni": row.vni, "subnets": [one.cidr for one in row.subnets.all()]}
        for row in rows
    ]


@api.get("/images")
def list_images(request: HttpRequest) -> Any:
    return [{"slug": row.slug, "name": row.name, "note": row.note} for row in images_for(active_team(request))]


@api.get("/flavors")
def list_flavors(request: HttpRequest) -> Any:
    return list(Flavor.objects.values("name", "vcpus", "ram_mib", "disk_gib"))


@api.get("/hosts")
def list_hosts(request: HttpRequest) -> Any:
    require_operator(request)
    names = ("name", "enabled", "vcpus", "ram_mib", "accelerator", "libvirt_seen_at", "ovs_seen_at")
    return list(Host.objects.values(*names))


@api.get("/live/{path:topic}")
def live_snapshot(request: HttpRequest, topic: str) -> Any:
    if refusal_of(person(request), topic):
        raise Http404
    return snapshot_of(topic)


@api.post("/traces", response={202: Any})
def post_trace(request: HttpRequest, asked: TraceIn) -> Any:
    team = active_team(request)
    require_role(request, team, Role.MEMBER)
    source = get_object_or_404(ports_of(team), uuid=asked.source)
    target, address, unknown = find_target(team, source, asked.target)
    if unknown and is_uuid(asked.target):
        raise Http404
    if unknown:
        raise VMProblem({"target": [unknown]})
    spec = TraceSpec(source, target, asked.protocol, asked.port_dst, address, asked.moment, asked.size_bytes)
    try:
        row = create_trace(team, person(request), spec)
    except TraceProblem as refused:
        raise VMProblem(refused.errors) from None
    return 202, {"uuid": str(row.uuid), "state": row.state}


@api.get("/traces/{uuid}")
def get_trace(request: HttpRequest, uuid: UUID) -> Any:
    row = get_object_or_404(TraceRequest, uuid=uuid, team=active_team(request))
    return {
        "uuid": str(row.uuid),
        "title": row.title,
        "state": row.state,
        "result": row.result,
        "reply": row.reply,
        "probe": probe_data(row),
        "error": row.error,
    }
