"""The form on a VM's page that limits what its port sends and receives."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext_noop as _
from django.views.decorators.http import require_POST

from portal.accounts.access import require
from portal.accounts.views import person
from portal.networks.limits import LimitSpec, set_port_limits
from portal.networks.models import Port
from portal.networks.owners import owned_by_person, owner_of
from portal.networks.problems import Errors, NetworkProblem, all_at_once
from portal.networks.views import number_of

WORDS = {
    "sends_kbps": _("Sends, kbit/s"), "sends_burst_kbit": _("Burst sent, kbit"), "receives_kbps": _("Receives, kbit/s"),
    "receives_burst_kbit": _("Burst received, kbit"),
}  # fmt: skip


@require_POST
def port_limits(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Set all four numbers; an empty one is no limit. What is wrong is told by a page with the form as it was filled."""
    rows = Port.objects.filter(owned_by_person(request.user.pk or 0))
    port = get_object_or_404(rows.select_related("network__team", "vm__team"), uuid=uuid)
    require(request, "port.change", owner_of(port))
    numbers: dict[str, int | None] = {}
    errors: Errors = {}
    for name in WORDS:
        numbers[name], wrong = number_of(request.POST, name)
        errors |= wrong
    sends = LimitSpec(numbers["sends_kbps"], numbers["sends_burst_kbit"])
    receives = LimitSpec(numbers["receives_kbps"], numbers["receives_burst_kbit"])
    try:
        all_at_once(errors, lambda: set_port_limits(port, sends, receives, person(request)))
    except NetworkProblem as problem:
        fields = [
            (name, words, request.POST.get(name, ""), problem.errors.get(name, ())) for name, words in WORDS.items()
        ]
        return render(request, "networks/port_limits.html", {"port": port, "fields": fields}, status=422)
    return redirect("vm", port.vm.uuid) if port.vm else redirect("network", port.network.uuid)
