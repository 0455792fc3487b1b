"""Pages of backups: a VM's with its plan, the team's, the form that restores one; stores, for operators."""

from __future__ import annotations

import secrets
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from portal.accounts.access import may, refusal, require, team_for
from portal.accounts.models import User
from portal.accounts.views import person
from portal.backups.listing import backups_of, lines_of
from portal.backups.models import Backup, BackupPlan, BackupStore
from portal.backups.requests import PlanAsked, delete_backup, set_plan, stores_for_teams, take_backup, take_refusal
from portal.backups.restored_volumes import name_for
from portal.backups.restores import RestoreSpec, links_of, restore_backup
from portal.backups.stores import StoreSpec, ask_for_try, change_keys, enable_store, make_store, remove_store
from portal.backups.strays import clean_store, cleanings
from portal.compute.models import VM
from portal.compute.plans import plan_form
from portal.compute.requests import VMProblem, next_name
from portal.compute.views import _visible
from portal.config.cut import few
from portal.config.typed import typed_number
from portal.networks.owners import usable_networks
from portal.operations.models import Operation
from portal.volumes.lookup import as_choices, offered_pools, pool_named
from portal.volumes.models import Pool

Errors = dict[str, list[str]]
SPEC_FIELDS = ("name", "kind", "folder", "endpoint", "bucket", "prefix", "region", "access_key", "secret")


@require_http_methods(["GET", "HEAD", "POST"])
def vm_backups(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A VM's backups; a posted change that is refused says why."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    require(request, "backup.see", row.team)
    errors: Errors = {}
    if request.method == "POST":
        require(request, "backup.change", row.team)
        try:
            return redirect(_change(row, person(request), request.POST))
        except VMProblem as problem:
            errors = problem.errors
    why, plan = (
        refusal(request, "backup.change", row.team),
        BackupPlan.objects.select_related("store").filter(vm=row).first(),
    )
    rows = list(backups_of(row.team).filter(vm_uuid=row.uuid))
    context = {
        "vm": row,
        "lines": lines_of(row.team, rows)[::-1],
        "total_bytes": sum(one.total_bytes for one in rows),
        "volumes": list(row.volumes.order_by("name")),
        "stores": stores_for_teams(),
        "no_take": why or take_refusal(row),
        "why": why,
        "plan": plan,
        "planned": plan_form(_planned(plan), request.POST if errors and request.POST.get("what") == "plan" else None),
        "problems": [line for lines in errors.values() for line in lines],
        "operation": Operation.objects.filter(object_uuid=row.uuid, kind="vm.backup").first(),
    }
    return render(request, "backups/vm_backups.html", context, status=422 if errors else 200)


def _planned(plan: BackupPlan | None) -> dict[str, object]:
    if plan is None:
        return {"every_hours": 0, "full_every": 7, "keep": 4, "store": "", "volumes": True}
    told = {"every_hours": plan.every_hours, "full_every": plan.full_every, "keep": plan.keep}
    return told | {"store": plan.store.name, "volumes": plan.is_with_volumes}


def _change(row: VM, user: User, posted: QueryDict) -> str:
    what, store = posted.get("what", ""), posted.get("store", "").replace("\0", "?")
    if what == "take":
        names = None  # a form without boxes is of a VM that had no volume
        if posted.get("chosen") == "1":
            names = [name.replace("\0", "?") for name in posted.getlist("volume")]
        return _page_of(take_backup(row, user, store, posted.get("full") == "1", volumes=names))
    if what == "plan":
        every, full, keep = (typed_number(posted.get(name, "")) for name in ("every_hours", "full_every", "keep"))
        set_plan(row, user, PlanAsked(every, full, keep, store, posted.get("volumes") == "1"))
        return reverse("vm_backups", args=[row.uuid])
    if what == "delete":
        rows = Backup.objects.filter(team=row.team, vm_uuid=row.uuid)
        return _page_of(delete_backup(_chosen(rows, posted), user))
    raise VMProblem({"what": [gettext("“%(what)s” was given; allowed are take, plan, delete") % {"what": what[:40]}]})


def _chosen(rows: Any, posted: QueryDict) -> Backup:
    for one in rows:
        if str(one.uuid) == posted.get("backup", ""):
            found: Backup = one
            return found
    raise VMProblem({"backup": [gettext("no such backup: choose one of the list")]})


@require_http_methods(["GET", "HEAD", "POST"])
def backups(request: HttpRequest) -> HttpResponse:
    """The team's backups, those of VMs that are gone too; a post deletes one."""
    team = team_for(request, "backup.see")
    errors: Errors = {}
    if request.method == "POST":
        require(request, "backup.change", team)
        try:
            return redirect(_page_of(delete_backup(_chosen(backups_of(team), request.POST), person(request))))
        except VMProblem as problem:
            errors = problem.errors
    rows = list(backups_of(team))
    groups: dict[UUID, dict[str, Any]] = {}
    for line in lines_of(team, rows)[::-1]:
        one = groups.setdefault(line.backup.vm_uuid, {"name": line.backup.vm_name, "lines": [], "bytes": 0})
        one["lines"].append(line)
        one["bytes"] += line.backup.total_bytes
    context = {
        "team": team,
        "groups": sorted(groups.values(), key=lambda one: one["name"]),
        "total_bytes": sum(row.total_bytes for row in rows),
        "count": len(rows),
        "why": refusal(request, "backup.change", team),
        "problems": [line for lines in errors.values() for line in lines],
        "stores": stores_for_teams(),
    }
    return render(request, "backups/backups.html", context, status=422 if errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def backup_restore(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The form that makes a new VM of a backup."""
    memberships = person(request).memberships.values("team_id")
    row = get_object_or_404(
        Backup.objects.select_related("team", "store", "image", "flavor"), uuid=uuid, team__in=memberships
    )
    require(request, "backup.change", row.team)
    errors: Errors = {}
    if request.method == "POST":
        told = {name: request.POST.get(name, "").strip().replace("\0", "?") for name in ("name", "network", "address")}
        try:
            spec = RestoreSpec(
                told["name"], told["network"], told["address"] or None, request.POST.get("request_key", "")[:64],
                tuple(name.replace("\0", "?") for name in request.POST.getlist("volume")),
                _pool(request.POST.get("volume_pool", "")),
            )  # fmt: skip
            return redirect("vm", restore_backup(row, person(request), spec).vm.uuid)
        except VMProblem as problem:
            errors = problem.errors
    told = {"name": next_name(row.team, row.vm_name.rstrip("-0123456789")[:55] or "vm"), "address": ""}
    volumes = list(row.volumes.all())
    pools = few(offered_pools()) if volumes else []
    network = str(row.manifest.get("vm", {}).get("network", ""))
    context = {
        "backup": row,
        "team": row.team,
        "links": links_of(row),
        "was": row.manifest.get("vm", {}),
        "values": request.POST if errors else told | {"network": network, "request_key": secrets.token_hex(16)},
        "errors": errors,
        "volumes": volumes,
        "pools": None if pools is None else as_choices(pools),
        "volumes_gib": sum(one.size_gib for one in volumes),
        "chosen": request.POST.getlist("volume") if errors else [one.name for one in volumes],
        "example": name_for(row.vm_name, told["name"], volumes[0].name, frozenset()) if volumes else "",
        "networks": usable_networks(row.team).prefetch_related("subnets"),
    }
    return render(request, "backups/backup_restore.html", context, status=422 if errors else 200)


def _pool(text: str) -> Pool | None:
    pool = pool_named(text) if text else None
    if text and pool is None:
        raise VMProblem({"volume_pool": [gettext("no such pool is offered: choose one of the list")]})
    return pool


@require_http_methods(["GET", "HEAD", "POST"])
def backup_stores(request: HttpRequest) -> HttpResponse:
    """Every store; a post sets one up, has it take backups or not, or removes it."""
    require(request, "store.manage")
    errors: Errors = {}
    if request.method == "POST":
        try:
            return redirect(_change_store(person(request), request.POST))
        except VMProblem as problem:
            errors = problem.errors
    context = {
        "rows": list(BackupStore.objects.prefetch_related("backups")),
        "cleanings": list(cleanings()),
        "errors": errors,
        "cleaned": request.POST.get("store", ""),
        "ticked": request.POST.getlist("stray") if errors else [],
        "lines": errors.get("store", []) + errors.get("what", []),
        "values": request.POST if errors else {},
        "may": may(request, "store.manage"),
        "kind": "s3" if "s3" in (request.GET.get("kind"), request.POST.get("kind")) else "directory",
    }
    return render(request, "backups/backup_stores.html", context, status=422 if errors else 200)


def _change_store(user: User, posted: QueryDict) -> str:
    """Change what was posted; the page to go on with."""
    what = posted.get("what", "")
    if what == "make":
        given = {name: posted.get(name, "").strip() for name in SPEC_FIELDS}
        make_store(user, StoreSpec(**given | {"kind": given["kind"] or "directory"}))
        return reverse("backup_stores")
    row = next((one for one in BackupStore.objects.all() if str(one.uuid) == posted.get("store", "")), None)
    if row is None:
        raise VMProblem({"store": [gettext("no such store: choose one of the list")]})
    if what in ("enable", "disable"):
        enable_store(row, user, what == "enable")
    elif what == "keys":
        _change_keys(row, user, posted)
    elif what == "try":
        ask_for_try(row, user)
    elif what == "remove":
        remove_store(row, user)
    elif what == "clean":
        folders = [one.replace("\0", "?") for one in posted.getlist("stray")]
        return _page_of(clean_store(row, user, folders, posted.get("typed", "")))
    else:
        allowed = "make, enable, disable, keys, try, remove, clean"
        raise VMProblem(
            {
                "what": [
                    gettext("“%(given)s” was given; allowed are %(choices)s") % {"given": what[:40], "choices": allowed}
                ]
            }
        )
    return reverse("backup_stores")


def _change_keys(row: BackupStore, user: User, posted: QueryDict) -> None:
    try:
        change_keys(row, user, posted.get("access_key", "").strip(), posted.get("secret", "").strip())
    except VMProblem as problem:  # told above the list: the form of the store's line is folded
        lines = [f"{row.name}: {line}" for lines in problem.errors.values() for line in lines]
        raise VMProblem({"store": lines}) from None


def _page_of(operation: Operation) -> str:
    return reverse("operation", args=[operation.uuid])
