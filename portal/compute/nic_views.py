"""The page of a VM's NICs: each with its device, its network and what can be done with it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from portal.accounts.access import refusal, require
from portal.accounts.models import User
from portal.accounts.views import person
from portal.compute.changes import changes_of
from portal.compute.models import VM
from portal.compute.nics import add_nic, move_nic, nic_refusals, remove_nic, set_nic_model
from portal.compute.presentation import devices_of
from portal.compute.requests import VMProblem
from portal.compute.views import _visible
from portal.networks.models import Network, NicModel, Port
from portal.networks.subnet_requests import reservations_of
from portal.operations.models import Operation


@require_http_methods(["GET", "HEAD", "POST"])
def vm_nics(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Its NICs; a posted change that is refused says why."""
    row = get_object_or_404(_visible(request), uuid=uuid)
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        require(request, "vm.change", row.team)
        try:
            return redirect("operation", _change(row, person(request), request.POST).uuid)
        except VMProblem as problem:
            errors = problem.errors
    why = refusal(request, "vm.change", row.team) or changes_of(row)["nics"]
    ports = list(row.ports.all())
    refusals = nic_refusals(row, ports, why)
    context = {
        "vm": row,
        "nics": [{"port": port, "refusal": refusals[port.pk], "devices": devices_of(row, port)} for port in ports],
        "why": why,
        "networks": Network.objects.filter(team=row.team).prefetch_related("subnets"),
        "reserved": reservations_of(row.team),
        "models": NicModel.choices,
        "lines": [line for lines in errors.values() for line in lines],
        "errors": errors if request.POST.get("what") == "add" else {},
        "given": {name: request.POST.get(name, "") for name in ("network", "model", "address")},
    }
    return render(request, "compute/vm_nics.html", context, status=422 if errors else 200)


def _change(row: VM, user: User, posted: Any) -> Operation:
    what, model = posted.get("what", ""), posted.get("model", NicModel.VIRTIO)
    network = Network.objects.filter(team=row.team, name=posted.get("network", "").replace("\0", "")).first()
    address = posted.get("address", "").strip() or None
    if what == "add":
        return add_nic(row, user, network, model=model, address=address)
    port = nic_of(row, posted.get("port", ""))
    if what == "remove":
        return remove_nic(row, user, port)
    if what == "model":
        return set_nic_model(row, user, port, model)
    if what == "move":
        return move_nic(row, user, port, network, address)
    raise VMProblem(
        {"what": [gettext("“%(what)s” was given; allowed are add, remove, model, move") % {"what": what[:40]}]}
    )


def nic_of(row: VM, text: str) -> Port:
    """The VM's port of that uuid. Raises VMProblem."""
    for port in row.ports.all():
        if str(port.uuid) == text:
            return port
    raise VMProblem({"port": [gettext("%(row)s has no such NIC: choose one of the list") % {"row": row.name}]})
