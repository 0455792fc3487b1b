"""Hosts, for operators."""

from __future__ import annotations

from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from portal.accounts.access import require
from portal.history import series
from portal.history.asked import charts_of, range_of
from portal.hosts.models import Host
from portal.hosts.removed import removals


@require_safe
def hosts(request: HttpRequest) -> HttpResponse:
    """Every host with what its daemons told, and when."""
    require(request, "host.see")
    rows = Host.objects.annotate(vm_count=Count("vms"), ram_used=Sum("vms__ram_mib"))
    return render(request, "hosts/hosts.html", {"hosts": rows, "removals": removals()})


@require_safe
def host_load(request: HttpRequest, name: str) -> HttpResponse:
    """A host's processors, memory and traffic over time."""
    require(request, "host.see")
    host = get_object_or_404(Host, name=name)
    charts = charts_of(series.HOST, host.pk, range_of(request.GET.dict()), reverse("api-1:host_history", args=[name]))
    return render(request, "hosts/host_load.html", {"host": host, **charts})
