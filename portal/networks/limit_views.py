"""The form on a VM's page that limits what its port sends and receives."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from portal.accounts.access import require
from portal.accounts.views import person
from portal.networks.limits import LimitSpec, set_port_limits
from portal.networks.models import Port
from portal.networks.owners import owned_by_person, owner_of
from portal.networks.problems import Errors, NetworkProblem
from portal.networks.views import number_of

WORDS = {
    "sends_kbps": "Sends, kbit/s", "sends_burst_kbit": "Burst sent, kbit", "receives_kbps": "Receives, kbit/s",
    "receives_burst_kbit": "Burst received, kbit",
}  # fmt: skip


@require_POST
def port_limits(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Set all four numbers; an empty one is no limit."""
    rows = Port.objects.filter(owned_by_person(request.user.pk or 0))
    port = get_object_or_404(rows.select_related("network__team", "vm__team"), uuid=uuid)
    require(request, "port.change", owner_of(port))
    numbers: dict[str, int | None] = {}
    errors: Errors = {}
    for name in WORDS:
        numbers[name], wrong = number_of(request.POST, name)
        errors |= wrong
    if not errors:
        try:
            sends = LimitSpec(numbers["sends_kbps"], numbers["sends_burst_kbit"])
            set_port_limits(port, sends, LimitSpec(numbers["receives_kbps"], numbers["receives_burst_kbit"]), person(request))  # fmt: skip
        except NetworkProblem as problem:
            errors = problem.errors
    for name, lines in errors.items():
        for line in lines:
            messages.error(request, f"{WORDS[name]}: {line}")
    return redirect("vm", port.vm.uuid) if port.vm else redirect("network", port.network.uuid)
