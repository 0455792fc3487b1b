"""Volumes: the team's list with the form that makes one, one volume with its changes; storage pools, for operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import Count
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from portal.accounts.access import may, refusal, require, team_for
from portal.accounts.models import AuditRow, Team, User
from portal.accounts.presentation import as_feed
from portal.accounts.views import person
from portal.compute.requests import VMProblem
from portal.config.cut import MOST_OPTIONS, cut, few
from portal.config.typed import typed_number
from portal.operations.models import Operation
from portal.snapshots.chain import chain_of
from portal.snapshots.models import SnapshotVolume
from portal.snapshots.of_volumes import (
    clone_snapshot,
    delete_volume_snapshot,
    moment_of,
    revert_volume,
    snapshots_of_volume,
    take_volume_snapshot,
)
from portal.snapshots.plans import form_of, plan_of, set_plan
from portal.snapshots.requests import left_out_words, snapshots_of
from portal.volumes.lookup import (
    as_choices,
    limits_of,
    offered_pools,
    pool_named,
    pool_of_uuid,
    pools_for_clones,
    vm_named,
    vms_that_take,
    volumes_for,
    volumes_of,
)
from portal.volumes.models import Bus, Pool, Volume
from portal.volumes.quota import use_of_volumes
from portal.volumes.requests import (
    Errors,
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


@require_http_methods(["GET", "HEAD", "POST"])
def volumes(request: HttpRequest) -> HttpResponse:
    """The team's volumes; a post makes one."""
    team = team_for(request, "volume.see")
    errors: Errors = {}
    if request.method == "POST":
        require(request, "volume.change", team)
        try:
            _, operation = create_volume(team, person(request), _spec(team, request.POST))
            return redirect("operation", operation.uuid)
        except VMProblem as problem:
            errors = problem.errors
    vms, pools, asked = vms_that_take(team), few(offered_pools()), request.GET.get("vm", "")
    wanted = vm_named(team, asked) if asked else None
    found = cut(volumes_of(team), request.GET)
    defaults = {"size_gib": 1, "name": _free_name(team), "vm": wanted.name if wanted else "", "bus": Bus.VIRTIO}
    context = {
        "team": team, "rows": found.rows, "cut": found, "use": use_of_volumes(team), "errors": errors,
        "values": request.POST if errors else defaults, "buses": Bus.choices,
        "pools": None if pools is None else as_choices(pools), "limits": limits_of(pools or ()), "vms": few(vms),
        "may": may(request, "volume.change", team),
        "refusal": refusal(request, "volume.change", team),
    }  # fmt: skip
    return render(request, "volumes/volumes.html", context, status=422 if errors else 200)


def _spec(team: Team, posted: QueryDict) -> VolumeSpec:
    vm_text, pool_text = posted.get("vm", ""), posted.get("pool", "")
    vm, pool = vm_named(team, vm_text) if vm_text else None, pool_named(pool_text) if pool_text else None
    missing: Errors = {}
    if vm_text and vm is None:
        missing["vm"] = [gettext("no VM of that name in team %(team)s: choose one of the list") % {"team": team.name}]
    if pool_text and pool is None:
        missing["pool"] = [_no_pool()]
    if missing:
        raise VMProblem(missing)
    return VolumeSpec(
        posted.get("name", "").strip(),
        typed_number(posted.get("size_gib", "")),
        pool,
        vm,
        posted.get("bus", Bus.VIRTIO),
    )


def _free_name(team: Team) -> str:
    taken = set(team.volumes.values_list("name", flat=True))
    return next(name for n in range(1, len(taken) + 2) if (name := f"data-{n}") not in taken)


def _attach(row: Volume, user: User, posted: QueryDict) -> Operation:
    return attach_volume(row, user, vm_named(row.team, posted.get("vm", "")), posted.get("bus", Bus.VIRTIO))


def _moment(row: Volume, posted: QueryDict) -> SnapshotVolume:
    found = moment_of(row, posted.get("snapshot", ""))
    if found is None:
        words = gettext("%(row)s has no such snapshot: choose one of the list")
        raise VMProblem({"snapshot": [words % {"row": row.name}]})
    found.volume = row
    return found


def _clone(row: Volume, user: User, posted: QueryDict) -> Operation:
    name, pool, size = posted.get("name", "").strip(), _pool(posted), posted.get("size_gib", "").strip()
    size_gib = typed_number(size) if size else None
    if not posted.get("snapshot"):
        return clone_volume(row, user, name, size_gib, pool)[1]
    if pool is not None:
        words = gettext("a snapshot is cloned in the pool of its volume: leave the pool as it is, then clone the clone")
        raise VMProblem({"pool": [words]})
    return clone_snapshot(_moment(row, posted), user, name, size_gib)[1]


def _pool(posted: QueryDict) -> Pool | None:
    """The pool that was chosen, if one was."""
    text = posted.get("pool", "")
    pool = pool_named(text) if text else None
    if text and pool is None:
        raise VMProblem({"pool": [_no_pool()]})
    return pool


def _no_pool() -> str:
    return gettext("no such pool is offered: choose one of the list")


def _take(row: Volume, user: User, posted: QueryDict) -> Operation:
    return take_volume_snapshot(row, user, posted.get("name", "").strip().replace("\0", "?"))


def _plan(row: Volume, user: User, posted: QueryDict) -> None:
    set_plan(row, user, typed_number(posted.get("every_hours", "")), typed_number(posted.get("keep", "")))


# Each begins an operation, but for those that are done at once.
FORMS: dict[str, Callable[[Volume, User, QueryDict], Operation | None]] = {
    "attach": _attach,
    "detach": lambda row, user, _: detach_volume(row, user),
    "grow": lambda row, user, posted: grow_volume(row, user, typed_number(posted.get("size_gib", ""))),
    "clone": _clone,
    "delete": lambda row, user, _: delete_volume(row, user),
    "snapshot": _take,
    "snapshot_revert": lambda row, user, posted: revert_volume(_moment(row, posted), user),
    "snapshot_delete": lambda row, user, posted: delete_volume_snapshot(_moment(row, posted), user),
    "plan": _plan,
}


@require_http_methods(["GET", "HEAD", "POST"])
def volume(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One volume; a posted change that is refused says why."""
    row = get_object_or_404(volumes_for(person(request)), uuid=uuid)
    require(request, "volume.see", row.team)
    asked, errors = request.POST.get("what", ""), {}
    if request.method == "POST":
        require(request, "volume.change", row.team)
        try:
            if asked not in FORMS:
                raise VMProblem(
                    {
                        "what": [
                            gettext("“%(asked)s” was given; allowed are %(forms)s")
                            % {"asked": asked[:40], "forms": ", ".join(FORMS)}
                        ]
                    }
                )
            begun = FORMS[asked](row, person(request), request.POST)
            return redirect("operation", begun.uuid) if begun else redirect("volume", row.uuid)
        except VMProblem as problem:
            errors = problem.errors
    return render(request, "volumes/volume.html", _context(request, row, asked, errors), status=422 if errors else 200)


def _context(request: HttpRequest, row: Volume, asked: str, errors: Errors) -> dict[str, Any]:
    why = refusal(request, "volume.change", row.team)
    entries = AuditRow.objects.filter(team_id=row.team_id, object_id=str(row.uuid))[:8]
    own = snapshots_of_volume(row, why)
    taken, plan = {one.moment.name for one in own}, plan_of(row)
    return {
        "volume": row,
        "layers": chain_of(row),
        "snapshots": own,
        "pools": as_choices(pools_for_clones(row)[:MOST_OPTIONS]),
        "cloned": [one.moment for one in own if not one.no_clone],
        "used": snapshots_of(row.team),
        "free_snapshot": next(name for n in range(1, len(taken) + 2) if (name := f"snap-{n}") not in taken),
        "reasons": {name: why or reason for name, reason in refusals_of(row).items()}
        | {"plan": why or ("" if plan else left_out_words(row))},
        "plan": plan,
        "planned": form_of(plan, request.POST if asked == "plan" and errors else None),
        "asked": asked,
        "given": request.POST,
        "lines": [line for lines in errors.values() for line in lines],
        "vms": few(vms_that_take(row.team, row)),
        "buses": Bus.choices,
        "operation": Operation.objects.filter(team=row.team, params__volume=str(row.uuid)).first(),
        "free_name": f"{row.name[:57]}-copy",
        "entries": as_feed(entries),
        "vm_url": reverse("vm", args=[row.vm.uuid]) if row.vm else "",
    }


@require_http_methods(["GET", "HEAD", "POST"])
def pools(request: HttpRequest) -> HttpResponse:
    """Every storage pool of every host; a post offers one to teams, or no more."""
    require(request, "pool.manage")
    errors: Errors = {}
    if request.method == "POST":
        row = pool_of_uuid(request.POST.get("pool", ""))
        try:
            if row is None:
                raise VMProblem({"pool": [gettext("no such pool: choose one of the list")]})
            offer_pool(row, person(request), request.POST.get("is_offered") == "1")
            return redirect("pools")
        except VMProblem as problem:
            errors = problem.errors
    found = cut(Pool.objects.select_related("host").annotate(held=Count("volumes")), request.GET)
    has_luns = any(one.can.has_luns for one in found.rows)
    context = {"rows": as_choices(found.rows), "has_luns": has_luns, "cut": found, "errors": errors}
    return render(request, "volumes/pools.html", context, status=422 if errors else 200)
