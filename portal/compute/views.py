"""VMs: list, create, one VM, delete."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_safe

from portal.accounts.access import may, refusal, require, role_in, team_for
from portal.accounts.models import AuditRow, Team
from portal.accounts.presentation import as_feed
from portal.accounts.views import person
from portal.compute.actions import Offer, offers_of, shown_of, unfinished_of
from portal.compute.bulk import BULK
from portal.compute.changes import bin_vm, changes_of
from portal.compute.columns import COLUMNS, FIRST, parse_columns, with_cells
from portal.compute.devices import devices_made_of, warning_of
from portal.compute.forms import count_of, form_values, hosts_for, images_for, quota_bars, size_tiles, spec_of
from portal.compute.hardware import CHOICES, HARDWARE_FIELDS, disk_target
from portal.compute.leases import reminder_of
from portal.compute.listing import listed, parse_asked, with_words
from portal.compute.models import VM, VMState
from portal.compute.presentation import (
    commands_of,
    devices_of,
    ssh_line,
    timeline_of,
    timing_of,
)
from portal.compute.recreate import MOST_AT_ONCE, count_problems, create_vms, names_for
from portal.compute.requests import Use, VMProblem, check_spec, delete_vm, use_of
from portal.compute.snippets import entries_of
from portal.compute.tags import kept_of
from portal.compute.user_data import user_data_hints
from portal.compute.virt_install import virt_install_lines
from portal.compute.volume_fields import copy_volumes, effect_of_volumes, volume_fields
from portal.config.context import url_or_nothing
from portal.config.cut import few
from portal.config.field_labels import HARDWARE_LABELS
from portal.console.access import has_screen
from portal.drops.presentation import drops_context, drops_of_port
from portal.history import series
from portal.history.asked import charts_of, range_of
from portal.hosts.models import Host
from portal.networks.conflicts import nic_lines
from portal.networks.floating_requests import floating_choices
from portal.networks.group_forms import group_choices, port_groups_context
from portal.networks.intent import domain_of
from portal.networks.mirrors import mirror_lines
from portal.networks.models import Port
from portal.networks.owners import usable_networks
from portal.networks.subnet_requests import reservations_of
from portal.operations.models import Operation

ADVANCED = {"address", "user_data", "count", "host", "apart", "lease_days", "volumes", "attach", *HARDWARE_FIELDS}
SETTLING = timedelta(minutes=2)  # a VM younger than this and without SSH is still coming up


def vms_of(team: Team) -> QuerySet[VM]:
    """The team's VMs with what lists and events show, in a fixed number of queries."""
    rows = VM.objects.filter(team=team).select_related("team", "image", "flavor", "host", "created_by")
    return rows.prefetch_related("ports__addresses", "ports__network", "ports__groups", "tags")


@require_safe
def vm_list(request: HttpRequest) -> HttpResponse:
    """The VMs of the current team, as the URL asks: a page of them."""
    team = team_for(request, "vm.see")
    user, asked = person(request), parse_asked(request.GET.dict())
    shown = asked.columns or parse_columns(user.vm_columns.split(",")) or FIRST
    slim = VM.objects.filter(team=team).select_related("team", "image", "flavor", "host")
    slim = slim.select_related("created_by") if "owner" in shown else slim
    found = listed(team, slim.defer("user_data", "public_key"), asked, shown)
    kept, rows = kept_of(team, user), found.rows
    with_words(rows)
    with_cells(rows, shown)
    busy = unfinished_of(row.uuid for row in rows)
    for row in rows:
        row.offers = shown_of(offers_of(row, busy))[0]  # type: ignore[attr-defined]
        row.lease = reminder_of(row)  # type: ignore[attr-defined]
    acts = may(request, "vm.power", team)
    context = {
        "vms": rows,
        "found": found,
        "columns_word": ",".join(asked.columns),
        "choices": [(name, kind.title, name in shown) for name, kind in COLUMNS.items()],
        "states": VMState.choices,
        "tags": kept.tags,
        "filters": kept.filters,
        "bulk": BULK,
        "team": team,
        "refusal": refusal(request, "vm.create", team),
        "acts": acts,
    }
    return render(request, "compute/vm_list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def vm_create(request: HttpRequest) -> HttpResponse:
    """The one page on which a VM is asked for."""
    team, user = team_for(request, "vm.create"), person(request)
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        spec, errors = spec_of(team, user, request.POST)
        count = count_of(request.POST, errors)
        if errors:
            errors = check_spec(team, user, spec) | errors
        else:
            try:
                made = create_vms(team, user, spec, count)
                return redirect("vm", made[0].vm.uuid) if count == 1 else redirect("vm_list")
            except VMProblem as problem:
                errors = problem.errors
    context = _create_context(team, request, errors)
    return render(request, "compute/vm_create.html", context, status=422 if errors else 200)


def _create_context(team: Team, request: HttpRequest, errors: dict[str, list[str]]) -> dict[str, Any]:
    use = use_of(team)
    sizes = size_tiles(team, use)
    values = form_values(team, person(request), request.POST if request.method == "POST" else None, sizes)
    asked = QueryDict(mutable=True)
    asked.update(
        {name: value for name, value in values.items() if value and isinstance(value, str) and name != "new_key"}
    )
    copy_volumes(request.POST, asked)
    fields = volume_fields(team, request.POST, errors)
    return _effect_context(team, request, asked, use, problems=False) | {
        "volumes": fields,
        "choices": [
            (name, gettext(HARDWARE_LABELS[name]), CHOICES[name], values.get(name, ""), errors.get(name))
            for name in HARDWARE_FIELDS
        ],
        "hosts": few(Host.objects.filter(enabled=True, in_maintenance=False).only("name")),
        "groups_apart": sorted(set(team.vms.exclude(apart="").values_list("apart", flat=True)[:100])),
        "snippets": entries_of(team),
        "most_at_once": MOST_AT_ONCE,
        "advanced": bool(set(errors) & ADVANCED)
        or fields.is_filled
        or any(values.get(name) for name in ("address", "user_data", "host")),
        "team": team,
        "values": values,
        "errors": errors,
        "images": images_for(team),
        "sizes": sizes,
        "networks": usable_networks(team).prefetch_related("subnets"),
        "reserved": reservations_of(team),
        "keys": person(request).keys.all(),
        "group_choices": group_choices(team, values.get("groups", [])),
    }


def _effect_context(
    team: Team, request: HttpRequest, asked: QueryDict, use: Use, problems: bool = True
) -> dict[str, Any]:
    user = person(request)
    spec, errors = spec_of(team, user, asked)
    count = min(max(1, count_of(asked, errors)), MOST_AT_ONCE)
    if problems:
        errors = check_spec(team, user, spec) | count_problems(team, spec, count) | errors
    names = names_for(team, spec.name, count)[:4] if count > 1 and not errors.get("name") else []
    volumes = effect_of_volumes(team, names or [spec.name], spec.volumes, count)
    hosts = hosts_for(spec.flavor, volumes.pinned)
    return {
        "team": team,
        "bars": [*quota_bars(team, use, spec.flavor, count), *volumes.bars],
        "count": count,
        "names": names,
        "command": virt_install_lines(spec, volumes.attached),
        "volumes_effect": volumes,
        "hosts_words": hosts.words,
        "hosts_missing": not hosts.fitting,
        "problems": errors if problems else {},
        "hints": user_data_hints(spec.user_data),
    }


@require_http_methods(["GET", "HEAD", "POST"])
def vm_effect(request: HttpRequest) -> HttpResponse:
    """What a filled form would do to quota and hosts, and what is wrong with it: a part of the create page. Stores nothing."""
    team = team_for(request, "vm.create")
    asked = (request.POST if request.method == "POST" else request.GET).copy()
    asked.pop("new_key", None)
    return render(request, "compute/_effect.html", _effect_context(team, request, asked, use_of(team)))


@require_safe
def vm(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One VM: how to log in, where it is, how it came up."""
    row = get_object_or_404(_looked_at(request), uuid=uuid)
    require(request, "vm.look", row.team)
    port = next(iter(row.ports.all()), None)
    addresses = [one.address for one in port.addresses.all()] if port else []
    if role_in(request, row.team) is None:
        return _operators_view(request, row, port, addresses)
    address = next(iter(addresses), None)
    second = next((one for one in addresses[1:] if ":" in one), None)
    operations = Operation.objects.filter(object_uuid=row.uuid, team=row.team).prefetch_related("stages")
    creation = next((one for one in operations if one.kind == "vm.create"), None)
    latest = operations[0] if operations else None
    context = {
        "vm": row,
        "shown": shown_of(_offers(request, row)),
        "unheard": row.state == "running" and latest and (latest.kind, latest.state) == ("vm.stop", "failed"),
        "port": port,
        "address": address,
        "addresses": addresses,
        "floating": floating_choices(port),
        "ssh": ssh_line(row, address),
        "ssh_ipv6": ssh_line(row, second),
        "dns_name": f"{port.name}.{domain_of(port.network)}" if port else "",
        "operation": latest,
        "creation": creation,
        "timing": timing_of(row, creation),
        "timeline": timeline_of(row, creation),
        "devices": devices_of(row, port),
        **_machine(request, row),
        "volumes": list(row.volumes.select_related("pool__host")),
        "commands": commands_of(row, port),
        "refusal": refusal(request, "vm.delete", row.team),
        "has_screen": has_screen(row),
        "own_disk": disk_target(row.disk_bus, 1),
        "lease": reminder_of(row),
        "may": may(request, "vm.power", row.team),
        "trace_url": url_or_nothing("trace_new"),
        "why_url": reverse("trace_why", args=[port.uuid]) if port else "",
        "entries": as_feed(AuditRow.objects.filter(team_id=row.team_id, object_id=str(row.uuid))[:8]),
        "changing": row.ssh_at is None and row.created_at > timezone.now() - SETTLING,
        **port_groups_context(request, row.team, port),
        **drops_context(request, row.team, port),
        "mirrors": mirror_lines(row),
        "nic_lines": nic_lines(row.ports.all()),
        **_charts(request, row),
    }
    return render(request, "compute/vm.html", context)


def _machine(request: HttpRequest, row: VM) -> dict[str, Any]:
    """Its devices, and why they cannot be virtio's now where they are not."""
    machine = devices_made_of(row)
    is_emulated = any(one.is_slow for one in machine)
    why = refusal(request, "vm.change", row.team)
    reason = (why or changes_of(row)["devices"]) if is_emulated else ""
    return {
        "machine": machine, "is_emulated": is_emulated, "devices_reason": reason, "devices_warning": warning_of(row),
    }  # fmt: skip


def _operators_view(request: HttpRequest, row: VM, port: Port | None, addresses: list[str]) -> HttpResponse:
    """What an operator who is not in the team needs to run the host: where it is and by which devices, no more."""
    context = {
        "vm": row, "port": port, "addresses": addresses, "devices": devices_of(row, port), "commands": commands_of(row, port),
        "drops": drops_of_port(port) if port else [], **_charts(request, row),
    }  # fmt: skip
    return render(request, "compute/vm_operator.html", context)


def _charts(request: HttpRequest, row: VM) -> dict[str, Any]:
    source = reverse("api-1:vm_history", args=[row.uuid])
    return charts_of(series.VM, row.pk, range_of(request.GET.dict()), source)


def _offers(request: HttpRequest, row: VM) -> list[Offer]:
    """The VM's actions; each with the reason why the person may not, where the role is too low."""
    reason = refusal(request, "vm.power", row.team)
    return [replace(offer, disabled_reason=reason or offer.disabled_reason) for offer in offers_of(row)]


@require_http_methods(["GET", "HEAD", "POST"])
def vm_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask once more, then delete."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    require(request, "vm.delete", row.team)
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        try:
            ask = bin_vm if "keep" in request.POST else delete_vm
            return redirect("operation", ask(row, person(request)).uuid)
        except VMProblem as problem:
            errors = problem.errors
    context = {
        "vm": row,
        "lines": errors.get("vm", []),
        "hours": settings.UNDELETE_HOURS,
        "not_kept": changes_of(row)["bin"],
    }
    return render(request, "compute/vm_delete.html", context, status=409 if errors else 200)


def _looked_at(request: HttpRequest) -> QuerySet[VM]:
    """The person's teams' VMs; an operator's are all."""
    return _whole(VM.objects.all()) if person(request).is_operator else _visible(request)


def _visible(request: HttpRequest) -> QuerySet[VM]:
    return _whole(VM.objects.filter(team__memberships__user_id=request.user.pk or 0))


def _whole(rows: QuerySet[VM]) -> QuerySet[VM]:
    return rows.select_related("team", "image", "flavor", "host", "created_by").prefetch_related(
        "ports__addresses", "ports__network__team", "ports__groups", "tags"
    )
