"""What a VM's page posts: its actions and its two flags."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from portal.accounts.access import require
from portal.accounts.views import person
from portal.compute.actions import change_flags, request_action
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.compute.views import _visible


@require_POST
def vm_action(request: HttpRequest, uuid: UUID, action: str) -> HttpResponse:
    """Ask for an action; back on the page that asked, with the reason where it is refused."""
    row = _member_vm(request, uuid)
    try:
        request_action(row, person(request), action)
    except VMProblem as problem:
        messages.error(request, str(problem))
    return redirect("vm_list") if request.POST.get("back") == "vm_list" else redirect("vm", row.uuid)


@require_POST
def vm_flags(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Set autostart and protection as the form has them."""
    row = _member_vm(request, uuid)
    autostart, protected = ("autostart" in request.POST), ("protected" in request.POST)
    change_flags(row, person(request), autostart=autostart, protected=protected)
    return redirect("vm", row.uuid)


def _member_vm(request: HttpRequest, uuid: UUID) -> VM:
    row = get_object_or_404(_visible(request), uuid=uuid)
    require(request, "vm.power", row.team)
    return row
