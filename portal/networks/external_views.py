"""External networks: operators make and delete them."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import require
from portal.networks.external_requests import ExternalSpec, create_external, delete_external
from portal.networks.models import ExternalNetwork
from portal.networks.problems import Errors, NetworkProblem, all_at_once
from portal.networks.views import number_of

FIELDS = ("name", "cidr", "gateway", "pool_start", "pool_end", "vid", "mtu", "cidr6")


@require_http_methods(["GET", "HEAD", "POST"])
def external_networks(request: HttpRequest) -> HttpResponse:
    """Every external network, and the form of a new one."""
    require(request, "external.manage")
    errors: Errors = {}
    if request.method == "POST":
        vid, wrong_vid = number_of(request.POST, "vid")
        mtu, wrong_mtu = number_of(request.POST, "mtu")
        errors = wrong_vid | wrong_mtu
        name, cidr, gateway, start, end = (request.POST.get(field, "").strip() for field in FIELDS[:5])
        spec = ExternalSpec(name, cidr, gateway, start, end, vid, mtu or 1500, request.POST.get("cidr6", "").strip())
        try:
            all_at_once(errors, lambda: create_external(spec))
            return redirect("external_networks")
        except NetworkProblem as problem:
            errors = problem.errors
    return _page(request, errors)


@require_POST
def external_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Delete one that nothing uses; says what is in the way."""
    require(request, "external.manage")
    try:
        delete_external(get_object_or_404(ExternalNetwork, uuid=uuid))
    except NetworkProblem as problem:
        return _page(request, problem.errors)
    return redirect("external_networks")


def _page(request: HttpRequest, errors: Errors) -> HttpResponse:
    rows = ExternalNetwork.objects.annotate(used=Count("taken", distinct=True), led=Count("routers", distinct=True))
    values = {field: request.POST.get(field, "") for field in FIELDS}
    context = {"networks": rows, "errors": errors, "values": values}
    return render(request, "networks/external_networks.html", context, status=422 if errors else 200)
