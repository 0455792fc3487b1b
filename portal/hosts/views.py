"""Hosts, for operators."""

from __future__ import annotations

from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from portal.accounts.access import require_operator
from portal.hosts.models import Host


def hosts(request: HttpRequest) -> HttpResponse:
    """Every host with what its daemons told, and when."""
    require_operator(request)
    rows = Host.objects.annotate(vm_count=Count("vms"), ram_used=Sum("vms__ram_mib"))
    return render(request, "hosts/hosts.html", {"hosts": rows})
