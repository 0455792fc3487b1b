"""Provider networks: operators make, share and delete them."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import require
from portal.accounts.models import Team
from portal.accounts.views import person
from portal.networks import numbers
from portal.networks.models import Network
from portal.networks.network_requests import NetworkSpec
from portal.networks.problems import Errors, NetworkProblem, all_at_once
from portal.networks.provider_requests import KINDS, ProviderSpec, create_provider, delete_provider, share_provider
from portal.networks.views import number_of, subnet_spec

FIELDS = ("name", "kind", "vid", "cidr", "gateway", "pool_start", "pool_end", "dns", "mtu")


@require_http_methods(["GET", "HEAD", "POST"])
def provider_networks(request: HttpRequest) -> HttpResponse:
    """Every provider network, and the form of a new one."""
    require(request, "provider.manage")
    errors: Errors = {}
    if request.method == "POST":
        vid, wrong_vid = number_of(request.POST, "vid")
        mtu, wrong_mtu = number_of(request.POST, "mtu")
        errors = wrong_vid | wrong_mtu
        name, kind = (request.POST.get(field, "").strip() for field in ("name", "kind"))
        asked = NetworkSpec(name, subnet_spec(request.POST), mtu, kind=kind, vid=vid)
        spec = ProviderSpec(asked, tuple(request.POST.getlist("teams")))
        try:
            all_at_once(errors, lambda: create_provider(spec, person(request)))
            return redirect("provider_networks")
        except NetworkProblem as problem:
            errors = problem.errors
    return _page(request, errors)


@require_POST
def provider_share(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Share it with the ticked teams, and no others."""
    require(request, "provider.manage")
    try:
        share_provider(_provider(uuid), request.POST.getlist("shared"), person(request))
    except NetworkProblem as problem:
        return _page(request, problem.errors)
    return redirect("provider_networks")


@require_POST
def provider_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Delete one that nothing uses; says what is in the way."""
    require(request, "provider.manage")
    try:
        delete_provider(_provider(uuid), person(request))
    except NetworkProblem as problem:
        return _page(request, problem.errors)
    return redirect("provider_networks")


def _provider(uuid: UUID) -> Network:
    return get_object_or_404(Network.objects.select_related("team"), uuid=uuid, kind__in=KINDS)


def _page(request: HttpRequest, errors: Errors) -> HttpResponse:
    rows = Network.objects.filter(kind__in=KINDS).select_related("team").prefetch_related("subnets", "shared_with")
    rows = rows.annotate(used=Count("ports", distinct=True)).order_by("name")
    values = {field: request.POST.get(field, "") for field in FIELDS}
    teams = list(Team.objects.order_by("name"))
    context = {
        "networks": [{"row": row, "shared": {team.pk for team in row.shared_with.all()}} for row in rows],
        "errors": errors, "values": values, "teams": teams, "chosen": request.POST.getlist("teams"),
        "largest_mtu": numbers.largest_mtu("vlan"),
    }  # fmt: skip
    return render(request, "networks/provider_networks.html", context, status=422 if errors else 200)
