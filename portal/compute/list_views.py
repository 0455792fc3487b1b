"""What the list of VMs posts: an action for many, tags, leases, columns, saved filters."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.compute.bulk import act_on_many
from portal.compute.columns import FIRST, parse_columns
from portal.compute.leases import set_lease
from portal.compute.listing import FIELDS, parse_asked
from portal.compute.models import SavedFilter
from portal.compute.requests import VMProblem
from portal.compute.tags import save_filter, set_tags
from portal.compute.views import _visible


@require_POST
def vm_bulk(request: HttpRequest) -> HttpResponse:
    """Ask for one action of every ticked VM, and show what came of each."""
    team = team_for(request, "vm.power")
    if request.POST.get("action") == "delete":
        require(request, "vm.delete", team)
    try:
        uuids = [UUID(text) for text in request.POST.getlist("vm")]
        results = act_on_many(team, person(request), request.POST.get("action", ""), uuids)
    except ValueError:
        messages.error(request, gettext("A VM that is none was given: tick VMs of the list."))
        return redirect("vm_list")
    except VMProblem as problem:
        messages.error(request, str(problem))
        return redirect("vm_list")
    context = {
        "team": team,
        "results": results,
        "action": request.POST.get("action"),
        "failed": sum(bool(one.problem) for one in results),
    }
    return render(request, "compute/vm_bulk.html", context)


@require_POST
def vm_tags(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Give a VM the tags that the form has, by space or comma."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    require(request, "vm.change", row.team)
    try:
        set_tags(row, person(request), request.POST.get("tags", "").replace(",", " ").split())
    except VMProblem as problem:
        messages.error(request, str(problem))
    return redirect("vm", row.uuid)


@require_POST
def vm_lease(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Let a VM's lease end so many days from now; 0 ends the lease itself, and the VM stays."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    require(request, "vm.change", row.team)
    given = request.POST.get("days", "")
    try:
        set_lease(row, person(request), int(given) if given.isascii() and given.isdecimal() and len(given) < 6 else -1)
    except VMProblem as problem:
        messages.error(request, str(problem))
    return redirect("vm", row.uuid)


@require_POST
def vm_columns(request: HttpRequest) -> HttpResponse:
    """Show those columns of the list from now on, none for the usual ones, and go back to what was searched."""
    team_for(request, "vm.see")
    user = person(request)
    chosen = parse_columns(request.POST.getlist("column"))
    user.vm_columns = ",".join(chosen if chosen != FIRST else ())
    user.save(update_fields=["vm_columns"])
    asked = replace(parse_asked({name: request.POST.get(name, "") for name in FIELDS}), columns=chosen or FIRST)
    return redirect(f"{reverse('vm_list')}?{asked.query()}")


@require_POST
def vm_filters(request: HttpRequest) -> HttpResponse:
    """Keep the list's filter under a name, or forget one."""
    team = team_for(request, "vm.see")
    user = person(request)
    if forget := request.POST.get("forget", ""):
        SavedFilter.objects.filter(team=team, user=user, name=forget.replace("\0", "")).delete()
        return redirect("vm_list")
    try:
        given = {name: request.POST.get(name, "") for name in FIELDS}
        row = save_filter(team, user, request.POST.get("name", ""), given)
    except VMProblem as problem:
        messages.error(request, str(problem))
        return redirect("vm_list")
    return redirect(f"{reverse('vm_list')}?{row.query}")
