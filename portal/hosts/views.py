"""Hosts, for operators."""

from __future__ import annotations

from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from portal.accounts.access import require
from portal.accounts.views import person
from portal.config.cut import cut
from portal.history import series
from portal.history.asked import charts_of, range_of
from portal.hosts.models import Host, Orphan, Plug
from portal.hosts.removed import removals
from portal.hosts.requests import HOOK_PLACE, set_plug
from portal.networks.problems import Errors, NetworkProblem


@require_safe
def hosts(request: HttpRequest) -> HttpResponse:
    """Every host with what its daemons told, and when."""
    require(request, "host.see")
    return _page(request)


@require_POST
def host_plug(request: HttpRequest, host: str) -> HttpResponse:
    """What the taps of a host's guests are put into from their next start on."""
    require(request, "host.change")
    try:
        set_plug(get_object_or_404(Host, name=host), request.POST.get("plug", ""), person(request))
    except NetworkProblem as problem:
        return _page(request, problem.errors)
    return redirect("hosts")


def _page(request: HttpRequest, errors: Errors | None = None) -> HttpResponse:
    rows = Host.objects.annotate(vm_count=Count("vms"), ram_used=Sum("vms__ram_mib"))
    found = cut(rows, request.GET)
    context = {
        "orphan_count": Orphan.objects.count(),
        "hosts": found.rows,
        "cut": found,
        "removals": removals(),
        "plugs": Plug,
        "errors": errors or {},
        "hook_place": HOOK_PLACE,
    }
    return render(request, "hosts/hosts.html", context, status=422 if errors else 200)


@require_safe
def host_load(request: HttpRequest, name: str) -> HttpResponse:
    """A host's processors, memory and traffic over time."""
    require(request, "host.see")
    host = get_object_or_404(Host, name=name)
    charts = charts_of(series.HOST, host.pk, range_of(request.GET.dict()), reverse("api-1:host_history", args=[name]))
    return render(request, "hosts/host_load.html", {"host": host, **charts})
