"""VMs: list, create, one VM, delete."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from portal.accounts.access import active_team, can, require_role
from portal.accounts.models import Role, Team
from portal.accounts.views import person
from portal.compute.actions import offers_of, shown_of
from portal.compute.forms import form_values, images_for, quota_bars, size_tiles, spec_of
from portal.compute.models import VM, Flavor
from portal.compute.presentation import (
    commands_of,
    devices_of,
    ssh_line,
    timeline_of,
    timing_of,
    virt_install_lines,
)
from portal.compute.requests import VMProblem, check_spec, create_vm, delete_vm
from portal.config.context import url_or_nothing
from portal.networks.intent import domain_of
from portal.networks.models import Network
from portal.operations.models import Operation


def vms_of(team: Team) -> QuerySet[VM]:
    """The team's VMs with what lists and events show, in a fixed number of queries."""
    rows = VM.objects.filter(team=team).select_related("team", "image", "flavor", "host", "created_by")
    return rows.prefetch_related("ports__addresses", "ports__network")


def vm_list(request: HttpRequest) -> HttpResponse:
    """Every VM of the current team."""
    team = active_team(request)
    return render(request, "compute/vm_list.html", {"vms": vms_of(team), "team": team, "may": can(request, team)})


def vm_create(request: HttpRequest) -> HttpResponse:
    """The one page on which a VM is asked for."""
    team = active_team(request)
    require_role(request, team, Role.MEMBER)
    user = person(request)
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        spec, errors = spec_of(team, user, request.POST)
        if errors:
            errors = check_spec(team, user, spec) | errors
        else:
            try:
                return redirect("vm", create_vm(team, user, spec).vm.uuid)
            except VMProblem as problem:
                errors = problem.errors
    values = form_values(team, user, request.POST if request.method == "POST" else None)
    return render(
        request, "compute/vm_create.html", _create_context(team, request, values, errors), status=422 if errors else 200
    )


def _create_context(
    team: Team, request: HttpRequest, values: dict[str, Any], errors: dict[str, list[str]]
) -> dict[str, Any]:
    flavor = Flavor.objects.filter(name=values.get("flavor", "")).first()
    size = (flavor.vcpus, flavor.ram_mib, flavor.disk_gib) if flavor else (1, 128, 1)
    return {
        "team": team,
        "values": values,
        "errors": errors,
        "images": images_for(team),
        "sizes": size_tiles(team),
        "networks": Network.objects.filter(team=team).prefetch_related("subnets"),
        "keys": person(request).keys.all(),
        "bars": quota_bars(team, flavor),
        "command": virt_install_lines(str(values.get("name", ""))[:63], *size, str(values.get("image", ""))[:40]),
    }


def vm(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One VM: how to log in, where it is, how it came up."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    port = next(iter(row.ports.all()), None)
    addresses = [one.address for one in port.addresses.all()] if port else []
    address = next(iter(addresses), None)
    second = next((one for one in addresses[1:] if ":" in one), None)
    operations = Operation.objects.filter(object_uuid=row.uuid, team=row.team).prefetch_related("stages")
    creation = next((one for one in operations if one.kind == "vm.create"), None)
    latest = operations[0] if operations else None
    context = {
        "vm": row,
        "shown": shown_of(offers_of(row)),
        "unheard": row.state == "running" and latest and (latest.kind, latest.state) == ("vm.stop", "failed"),
        "port": port,
        "address": address,
        "addresses": addresses,
        "ssh": ssh_line(row, address),
        "ssh_ipv6": ssh_line(row, second),
        "dns_name": f"{port.name}.{domain_of(port.network)}" if port else "",
        "operation": latest,
        "creation": creation,
        "timing": timing_of(row, creation),
        "timeline": timeline_of(row, creation),
        "devices": devices_of(row, port),
        "commands": commands_of(row, port),
        "may": can(request, row.team),
        "trace_url": url_or_nothing("trace_new"),
        "why_url": reverse("trace_why", args=[port.uuid]) if port else "",
    }
    return render(request, "compute/vm.html", context)


def vm_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask once more, then delete."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    require_role(request, row.team, Role.MEMBER)
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        try:
            return redirect("operation", delete_vm(row, person(request)).uuid)
        except VMProblem as problem:
            errors = problem.errors
    context = {"vm": row, "lines": errors.get("vm", [])}
    return render(request, "compute/vm_delete.html", context, status=409 if errors else 200)


def _visible(request: HttpRequest) -> QuerySet[VM]:
    rows = VM.objects.filter(team__memberships__user_id=request.user.pk or 0)
    return rows.select_related("team", "image", "flavor", "host", "created_by").prefetch_related(
        "ports__addresses", "ports__network__team"
    )
