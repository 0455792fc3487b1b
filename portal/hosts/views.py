"""Hosts, for operators."""

from __future__ import annotations

from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.accounts.access import require
from portal.hosts.models import Host
from portal.hosts.removed import removals


@require_safe
def hosts(request: HttpRequest) -> HttpResponse:
    """Every host with what its daemons told, and when."""
    require(request, "host.see")
    rows = Host.objects.annotate(vm_count=Count("vms"), ram_used=Sum("vms__ram_mib"))
    return render(request, "hosts/hosts.html", {"hosts": rows, "removals": removals()})
