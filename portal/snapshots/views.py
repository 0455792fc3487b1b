"""The page of a VM's snapshots: the chain of its disk as a tree, what can be done with each, and the plan."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from portal.accounts.access import refusal, require
from portal.accounts.models import User
from portal.accounts.views import person
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.compute.views import _visible
from portal.config.typed import typed_number
from portal.operations.models import Operation
from portal.snapshots.chain import chains_of
from portal.snapshots.models import Snapshot
from portal.snapshots.plans import form_of, plan_of, set_plan
from portal.snapshots.requests import (
    SnapshotSpec,
    delete_snapshot,
    left_out_words,
    revert_to,
    snapshots_of,
    take_refusal,
    take_snapshot,
)
from portal.snapshots.tree import tree_of


@require_http_methods(["GET", "HEAD", "POST"])
def vm_snapshots(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Its snapshots; a posted change that is refused says why."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        require(request, "vm.change", row.team)
        try:
            return redirect(_change(row, person(request), request.POST))
        except VMProblem as problem:
            errors = problem.errors
    why = refusal(request, "vm.change", row.team)
    taken, plan, asked = row.snapshots.count(), plan_of(row), request.POST.get("what", "") if errors else ""
    context = {
        "vm": row,
        "lines": tree_of(row, why),
        "chains": chains_of(row),
        "no_take": why or take_refusal(row),
        "no_memory": why or take_refusal(row, memory=True),
        "why": why,
        "volumes": [(one, left_out_words(one)) for one in row.volumes.all()],
        "chosen": request.POST.getlist("volume") if errors and "chosen" in request.POST else None,
        "plan": plan,
        "planned": form_of(plan, request.POST if asked == "plan" else None),
        "name": request.POST.get("name", "") if asked == "take" else f"snap-{taken + 1}",
        "memory": asked == "take" and request.POST.get("memory") == "1",
        "used": snapshots_of(row.team),
        "problems": [line for lines in errors.values() for line in lines],
        "operation": Operation.objects.filter(object_uuid=row.uuid, kind__startswith="vm.snapshot").first(),
    }
    return render(request, "snapshots/vm_snapshots.html", context, status=422 if errors else 200)


def _change(row: VM, user: User, posted: Any) -> str:
    what = posted.get("what", "")
    if what == "take":
        name = posted.get("name", "").strip().replace("\0", "?")
        volumes = None  # a form without boxes is of a VM that had no volume
        if "chosen" in posted:
            volumes = [one.replace("\0", "?") for one in posted.getlist("volume")]
        return _page_of(take_snapshot(row, user, SnapshotSpec(name, posted.get("memory") == "1", volumes)))
    if what == "plan":
        every, keep = typed_number(posted.get("every_hours", "")), typed_number(posted.get("keep", ""))
        set_plan(row, user, every, keep, posted.get("volumes") == "1")
        return reverse("vm_snapshots", args=[row.uuid])
    asked = {"revert": revert_to, "delete": delete_snapshot}.get(what)
    if asked is None:
        raise VMProblem(
            {"what": [gettext("“%(what)s” was given; allowed are take, revert, delete, plan") % {"what": what[:40]}]}
        )
    return _page_of(asked(_snapshot(row, posted.get("snapshot", "")), user))


def _snapshot(row: VM, text: str) -> Snapshot:
    for one in row.snapshots.all():
        if str(one.uuid) == text:
            return one
    raise VMProblem({"snapshot": [gettext("%(row)s has no such snapshot: choose one of the list") % {"row": row.name}]})


def _page_of(operation: Operation) -> str:
    return reverse("operation", args=[operation.uuid])
