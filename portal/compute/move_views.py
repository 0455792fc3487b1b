"""What operators ask of moves: a host's maintenance and evacuation, and one VM's page of where it can go."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import require
from portal.accounts.views import person
from portal.compute.models import VM
from portal.compute.moves import evacuate, request_move, set_maintenance, targets_of
from portal.compute.requests import VMProblem
from portal.hosts.models import Host
from portal.operations.models import Operation


@require_POST
def host_maintenance(request: HttpRequest, name: str) -> HttpResponse:
    """Put it into maintenance or out of it, as the form says."""
    require(request, "host.change")
    row = get_object_or_404(Host, name=name)
    note = request.POST.get("note", "").replace("\0", "")
    set_maintenance(row, person(request), request.POST.get("state") == "on", note)
    return redirect("host", row.name)


@require_POST
def host_evacuate(request: HttpRequest, name: str) -> HttpResponse:
    """Ask every VM of it to move; what could not even be asked is told with its reason."""
    require(request, "host.change")
    row = get_object_or_404(Host, name=name)
    results = evacuate(row, person(request))
    for one in results:
        if one.problem:
            messages.error(request, one.problem)
    if not results:
        messages.info(request, gettext("%(host)s has no VM.") % {"host": row.name})
    return redirect("host", row.name)


@require_http_methods(["GET", "HEAD", "POST"])
def vm_move(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Where the VM can go, with all that is missing where it cannot; a post moves it."""
    require(request, "host.change")
    row = get_object_or_404(VM.objects.select_related("team", "host", "image", "flavor"), uuid=uuid)
    lines: list[str] = []
    if request.method == "POST":
        target = Host.objects.filter(name=request.POST.get("host", "").replace("\0", "")).first()
        try:
            request_move(row, person(request), target)
            return redirect("vm_move", row.uuid)
        except VMProblem as problem:
            lines = [line for words in problem.errors.values() for line in words]
    move = (
        Operation.objects.filter(object_uuid=row.uuid, kind="vm.migrate")
        .select_related("team")
        .prefetch_related("stages")
        .first()
    )
    targets = targets_of(row)
    can_move = any(not target.problems for target in targets)
    context = {"vm": row, "targets": targets, "can_move": can_move, "lines": lines, "operation": move}
    context["snapshots"] = row.snapshots.count()
    return render(request, "compute/vm_move.html", context, status=422 if lines else 200)
