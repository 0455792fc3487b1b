"""The REST API: session with CSRF or token, JSON in and out, problems as application/problem+json."""

from __future__ import annotations

import secrets
from typing import Annotated, Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Status

from portal.accounts.access import require, team_for, token_of
from portal.accounts.activity_api import router as activity_router
from portal.accounts.api import router as accounts_router
from portal.accounts.members_api import router as members_router
from portal.accounts.services_api import router as services_router
from portal.accounts.team_admin_api import router as team_admin_router
from portal.accounts.views import person
from portal.alerts.api import router as alerts_router
from portal.api.auth import PersonAuth, TokenAuth
from portal.api.document import HopsightAPI
from portal.api.networks import routes as network_routes
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.api.problems import NO_ADDRESS, FieldProblem, install, problem
from portal.api.provider_networks import routes as provider_routes
from portal.api.schemas import (
    Accepted,
    ActionOut,
    FlavorOut,
    ImageOut,
    StatusOut,
    TopicOut,
    TraceAsked,
    TraceIn,
    TraceOut,
    UsageOut,
    VMCreated,
    VMFlags,
    VMIn,
    VMOut,
)
from portal.backups.api import router as backups_router
from portal.bundles.api import router as bundles_router
from portal.captures.api import router as captures_router
from portal.checks.api import router as checks_router
from portal.checks.flow_api import router as flow_what_ifs_router
from portal.compute.actions import change_flags, offers_of, request_action
from portal.compute.adopt_api import router as adopt_router
from portal.compute.api import router as compute_router
from portal.compute.changes import bin_vm, changes_of, rename_vm
from portal.compute.forms import images_for
from portal.compute.hardware import HARDWARE_FIELDS, Hardware
from portal.compute.leases import set_lease
from portal.compute.listing import Asked, filtered
from portal.compute.models import Flavor, VMState
from portal.compute.moves_api import router as moves_router
from portal.compute.requests import VMProblem, VMSpec, create_vm, delete_vm, use_of
from portal.compute.serialize import vm_as_json
from portal.compute.size_cap import largest_vm
from portal.compute.tags import set_tags
from portal.compute.views import vms_of
from portal.console.api import router as console_router
from portal.dashboards.api import router as boards_router
from portal.drops.api import router as drops_router
from portal.history.api import router as history_router
from portal.hosts.api import router as hosts_router
from portal.hosts.models import Host
from portal.hosts.orphans_api import router as orphans_router
from portal.images.api import router as images_router
from portal.images.presentation import image_as_json
from portal.live.api import router as live_router
from portal.live.topics import refusal_of, snapshot_of
from portal.networks.groups_api import groups_named
from portal.networks.groups_api import router as groups_router
from portal.networks.hints_api import router as hints_router
from portal.networks.ipam_api import router as ipam_router
from portal.networks.limits_api import router as limits_router
from portal.networks.mirrors_api import router as mirrors_router
from portal.networks.owners import network_named
from portal.networks.quota import use_of_network
from portal.operations.api import router as operations_router
from portal.operations.serialize import operation_as_json
from portal.search.api import router as search_router
from portal.snapshots.api import router as snapshots_router
from portal.snapshots.requests import snapshots_of
from portal.snapshots.volume_api import router as volume_snapshots_router
from portal.topology.history_api import router as flow_history_router
from portal.topology.topology_history_api import router as topology_history_router
from portal.traces.api import TraceLine, list_traces
from portal.traces.asked import spec_of
from portal.traces.diagnosis_api import router as diagnosis_router
from portal.traces.models import TraceRequest
from portal.traces.observed_api import router as observed_router
from portal.traces.port_trace_api import router as port_traces_router
from portal.traces.presentation import answer_text
from portal.traces.probing_api import router as probings_router
from portal.traces.requests import create_trace
from portal.traces.waiting import WAITING, preferred_wait_s, wait_for
from portal.usage.api import router as usage_router
from portal.volumes.api import router as volumes_router
from portal.volumes.quota import use_of_volumes
from portal.volumes.with_vm import NewVolume, VolumesAsked

api = HopsightAPI(title="Hopsight", version="1", auth=[TokenAuth(), PersonAuth()], docs_url=None)
install(api)
JSON = "application/json; charset=utf-8"
elsewhere = Router()  # added last: what it matches is everything


@api.get("/status", response=StatusOut, summary="How old is what is known of each host")
def status(request: HttpRequest) -> Any:
    require(request, "status.see")
    rows = Host.objects.filter(enabled=True).values_list("name", "libvirt_seen_at")
    return {"hosts": [{"name": name, "seen_at": seen_at} for name, seen_at in rows]}


@api.get("/vms", response=Page[VMOut], summary="The team's VMs")
def list_vms(
    request: HttpRequest,
    paging: Query[PageQuery],
    state: Annotated[str | None, Query(description="only VMs in this state")] = None,
    name: Annotated[str | None, Query(description="only the VM of this name")] = None,
    host: Annotated[str | None, Query(description="only VMs on this host")] = None,
    tag: Annotated[str | None, Query(description="only VMs with this tag")] = None,
    q: Annotated[str, Query(max_length=100, description="words that name, tags, image, host or address have")] = "",
) -> Any:
    rows = filtered(vms_of(team_for(request, "vm.see")), Asked(q=_text("q", q), tag=_text("tag", tag or "")))
    wanted = {"state": _choice("state", state, VMState.values), "name": name, "host__name": host}
    rows = rows.filter(**{field: _text(field, value) for field, value in wanted.items() if value is not None})
    found, after = page_of(rows, paging)
    return as_page([vm_as_json(vm) for vm in found], after)


@api.get("/vms/{uuid}", response=VMOut, summary="One VM")
def get_vm(request: HttpRequest, uuid: UUID) -> Any:
    return vm_as_json(get_object_or_404(vms_of(team_for(request, "vm.see")), uuid=uuid))


@api.post("/vms", response={202: VMCreated}, summary="Ask for a VM; the operation tells how it goes")
def post_vm(request: HttpRequest, asked: VMIn) -> Any:
    team, user = team_for(request, "vm.create"), person(request)
    key = user.keys.filter(pk=asked.key).first() if asked.key is not None else None
    if asked.key is not None and key is None:
        raise VMProblem({"key": [f"key {asked.key} was given; it is not one of yours"]})
    spec = VMSpec(
        name=asked.name,
        image=next((row for row in images_for(team) if row.slug == asked.image), None),
        flavor=Flavor.objects.filter(name=_text("flavor", asked.flavor)).first(),
        network=network_named(team, _text("network", asked.network)),
        request_key=_text("request_key", asked.request_key) or secrets.token_hex(16),
        key=key,
        user_data=_text("user_data", asked.user_data),
        address=asked.address,
        groups=None if asked.groups is None else groups_named(team, asked.groups),
        hardware=Hardware(**{name: getattr(asked, name) for name in HARDWARE_FIELDS}),
        host=asked.host,
        apart=asked.apart,
        apart_must=asked.apart_must,
        lease_days=asked.lease_days,
        is_autostarted=asked.is_autostarted,
        volumes=VolumesAsked(
            tuple(NewVolume(one.size_gib, one.name, one.bus) for one in asked.volumes), tuple(asked.attach)
        ),
    )
    made = create_vm(team, user, spec)
    return Status(202, {"vm": vm_as_json(made.vm), "operation": operation_as_json(made.operation)})


@api.delete("/vms/{uuid}", response={202: Accepted}, summary="Delete a VM with its disk, for good or to be had back")
def remove_vm(
    request: HttpRequest,
    uuid: UUID,
    keep: Annotated[bool, Query(description="keep it for a while: the action undelete takes it back")] = False,
) -> Any:
    team = team_for(request, "vm.see")
    row = get_object_or_404(vms_of(team), uuid=uuid)
    require(request, "vm.delete", team)
    return Status(202, {"operation": operation_as_json((bin_vm if keep else delete_vm)(row, person(request)))})


@api.get("/vms/{uuid}/actions", response=list[ActionOut], summary="What can be done with a VM now, and why not")
def list_actions(request: HttpRequest, uuid: UUID) -> Any:
    row = get_object_or_404(vms_of(team_for(request, "vm.see")), uuid=uuid)
    return [
        {"name": offer.action.name, "title": offer.action.title, "disabled_reason": offer.disabled_reason}
        for offer in offers_of(row)
    ] + [{"name": name, "title": name.capitalize(), "disabled_reason": why} for name, why in changes_of(row).items()]


@api.post("/vms/{uuid}/actions/{action}", response={202: Accepted}, summary="Start, stop, restart, … a VM")
def post_action(request: HttpRequest, uuid: UUID, action: str) -> Any:
    team = team_for(request, "vm.see")
    row = get_object_or_404(vms_of(team), uuid=uuid)
    require(request, "vm.power", team)
    return Status(202, {"operation": operation_as_json(request_action(row, person(request), action))})


@api.patch(
    "/vms/{uuid}", response=VMOut, summary="Rename a VM, let it start with its host, protect it from being deleted"
)
def patch_vm(request: HttpRequest, uuid: UUID, asked: VMFlags) -> Any:
    team = team_for(request, "vm.see")
    row = get_object_or_404(vms_of(team), uuid=uuid)
    require(request, "vm.power", team)
    if asked.name is not None:
        row = rename_vm(row, person(request), asked.name)
    if asked.lease_days is not None:
        row = set_lease(row, person(request), asked.lease_days)
    if asked.tags is not None:
        row = set_tags(row, person(request), [_text("tags", tag) for tag in asked.tags])
    changed = change_flags(row, person(request), autostart=asked.is_autostarted, protected=asked.is_protected)
    return vm_as_json(changed)


@api.get("/images", response=list[ImageOut], summary="Images that the team may boot")
def list_images(request: HttpRequest) -> Any:
    team = team_for(request, "image.see")
    return [image_as_json(row) for row in images_for(team)]


@api.get("/flavors", response=list[FlavorOut], summary="Sizes")
def list_flavors(request: HttpRequest) -> Any:
    require(request, "person.see")
    return list(Flavor.objects.values("name", "vcpus", "ram_mib", "disk_gib"))


@api.get("/live/{path:topic}", response=TopicOut, summary="A live topic's state as of one number")
def live_snapshot(request: HttpRequest, topic: str) -> Any:
    if refusal_of(person(request), topic, token_of(request)):
        raise Http404
    return snapshot_of(topic)


api.get("/traces", response=Page[TraceLine], summary="The team's traces, newest first")(list_traces)


@api.post("/traces", response={200: TraceOut, 202: TraceAsked}, summary="Ask which way a packet takes", description=WAITING)  # fmt: skip
def post_trace(request: HttpRequest, asked: TraceIn) -> Any:
    wait_s = preferred_wait_s(request.headers.get("Prefer", ""))
    team = team_for(request, "trace.ask")
    if asked.deliver:
        require(request, "trace.deliver", team)
    spec = spec_of(team, asked)
    if spec is None:
        raise Http404
    row = create_trace(team, person(request), spec)
    if wait_s and (text := wait_for(row, wait_s)):
        return HttpResponse(text, content_type=JSON, headers={"Preference-Applied": "wait"})
    return Status(202, {"uuid": row.uuid, "state": row.state})


@api.get("/traces/{uuid}", response=TraceOut, summary="A trace with its answer")
def get_trace(request: HttpRequest, uuid: UUID) -> Any:
    row = get_object_or_404(TraceRequest, uuid=uuid, team=team_for(request, "trace.see"))
    return HttpResponse(answer_text(row), content_type=JSON)


@api.get("/usage", response=UsageOut, summary="What the team uses of its quota")
def usage(request: HttpRequest) -> Any:
    team = team_for(request, "team.see")
    use = use_of(team)
    volumes = use_of_volumes(team)
    used = {name: getattr(use, name) for name in ("vcpus", "ram_mib", "disk_gib", "vms")}
    used |= {"volumes": volumes.volumes, "volume_gib": volumes.gib, **use_of_network(team)}
    used |= {"snapshots": snapshots_of(team), **largest_vm(team)}
    return {"team": team.slug} | {
        name: {"used": value, "limit": getattr(team, f"max_{name}")} for name, value in used.items()
    }


@elsewhere.api_operation(["GET", "POST", "PUT", "PATCH", "DELETE"], "/{path:rest}", include_in_schema=False)
def nothing_here(request: HttpRequest, rest: str) -> HttpResponse:
    return problem(404, NO_ADDRESS)


api.add_router("", accounts_router)
api.add_router("", activity_router)
api.add_router("", members_router)
api.add_router("", services_router)
api.add_router("", team_admin_router)
api.add_router("", usage_router)
api.add_router("", hosts_router)
api.add_router("", orphans_router)
api.add_router("", console_router)
api.add_router("", live_router)
api.add_router("", network_routes)
api.add_router("", provider_routes)
api.add_router("", groups_router)
api.add_router("", checks_router)
api.add_router("", drops_router)
api.add_router("", ipam_router)
api.add_router("", limits_router)
api.add_router("", hints_router)
api.add_router("", mirrors_router)
api.add_router("", compute_router)
api.add_router("", operations_router)
api.add_router("", moves_router)
api.add_router("", adopt_router)
api.add_router("", images_router)
api.add_router("", volumes_router)
api.add_router("", snapshots_router)
api.add_router("", volume_snapshots_router)
api.add_router("", backups_router)
api.add_router("", observed_router)
api.add_router("", diagnosis_router)
api.add_router("", bundles_router)
api.add_router("", port_traces_router)
api.add_router("", flow_history_router)
api.add_router("", flow_what_ifs_router)
api.add_router("", topology_history_router)
api.add_router("", captures_router)
api.add_router("", history_router)
api.add_router("", boards_router)
api.add_router("", probings_router)
api.add_router("", alerts_router)
api.add_router("", search_router)
api.add_router("", elsewhere)


def _choice(field: str, value: str | None, allowed: list[str]) -> str | None:
    if value is not None and value not in allowed:
        raise FieldProblem(field, f"“{value[:40]}” was given; {', '.join(allowed)} are allowed")
    return value


def _text(field: str, value: str) -> str:
    """The text, which a database can hold: PostgreSQL takes no NUL, and no lone surrogate is UTF-8."""
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise FieldProblem(field, "a NUL or a lone surrogate was given; plain text is allowed")
    return value
