"""The button that begins and ends copies of a port's dropped packets."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from portal.accounts.access import require
from portal.accounts.views import person
from portal.drops.sampling import ask_sample, stop_sample
from portal.networks.models import Port
from portal.networks.owners import owned_by_person, owner_of
from portal.networks.problems import NetworkProblem


@require_POST
def port_sample(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Begin for the seconds that the form says; "0" ends it."""
    rows = Port.objects.filter(owned_by_person(request.user.pk or 0))
    port = get_object_or_404(rows.select_related("network__team", "vm__team"), uuid=uuid)
    require(request, "sample.ask", owner_of(port))
    seconds = request.POST.get("seconds", "60")
    try:
        if seconds == "0":
            stop_sample(port, person(request))
        else:
            is_number = seconds.isascii() and seconds.isdigit() and len(seconds) < 7
            ask_sample(port, int(seconds) if is_number else -1, person(request))
    except NetworkProblem as problem:
        messages.error(request, str(problem))
    return redirect("vm", port.vm.uuid) if port.vm else redirect("network", port.network.uuid)
