"""One subnet's page: its pool, what is left out of it, its name servers; and the reservations of a network."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import may, require
from portal.networks.models import Subnet
from portal.networks.problems import Errors, NetworkProblem
from portal.networks.subnet_requests import (
    SubnetChange,
    change_subnet,
    exclusion_texts,
    release,
    reservations,
    reserve,
    use_of_subnet,
)
from portal.networks.views import change_right, network_page, visible

FIELDS = ("pool_start", "pool_end", "exclusions", "dns")


@require_http_methods(["GET", "HEAD", "POST"])
def subnet(request: HttpRequest, uuid: UUID, subnet_id: int) -> HttpResponse:
    """The pool and what is around it; a post changes it."""
    network = get_object_or_404(visible(request), uuid=uuid)
    row = get_object_or_404(Subnet, network=network, pk=subnet_id)
    errors: Errors = {}
    values: dict[str, Any] = {
        "pool_start": row.pool_start, "pool_end": row.pool_end, "exclusions": ", ".join(exclusion_texts(row)),
        "dns": ", ".join(row.dns),
    }  # fmt: skip
    if request.method == "POST":
        require(request, change_right(network), network.team)
        values = {field: request.POST.get(field, "").strip() for field in FIELDS}
        exclusions, dns = (tuple(values[field].replace(",", " ").split()) for field in ("exclusions", "dns"))
        try:
            change_subnet(row, SubnetChange(values["pool_start"], values["pool_end"], exclusions, dns))
            return redirect("network", network.uuid)
        except NetworkProblem as problem:
            errors = problem.errors
    context = {
        "network": network, "subnet": row, "values": values, "errors": errors, "use": use_of_subnet(row),
        "may": may(request, change_right(network), network.team),
    }  # fmt: skip
    return render(request, "networks/subnet.html", context, status=422 if errors else 200)


@require_POST
def reservation_add(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Keep an address for a VM that is made later."""
    network = get_object_or_404(visible(request), uuid=uuid)
    require(request, change_right(network), network.team)
    try:
        reserve(network, request.POST.get("name", "").strip(), request.POST.get("address", "").strip())
    except NetworkProblem as problem:
        return network_page(request, network, problem.errors)
    return redirect("network", network.uuid)


@require_POST
def reservation_release(request: HttpRequest, uuid: UUID, port: UUID) -> HttpResponse:
    """Free it; a second click finds it gone, which is what was asked."""
    network = get_object_or_404(visible(request), uuid=uuid)
    require(request, change_right(network), network.team)
    row = reservations(network).filter(uuid=port).first()
    if row is not None:
        release(row)
    return redirect("network", network.uuid)
