"""A port's page of address pairs: what it may send from beside its own addresses."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from portal.accounts.access import may, refusal, require
from portal.accounts.views import person
from portal.networks.models import Port
from portal.networks.owners import owned_by_person, owner_of
from portal.networks.pairs import PairSpec, pairs_of, set_pairs
from portal.networks.problems import Errors, NetworkProblem


@require_http_methods(["GET", "HEAD", "POST"])
def port_pairs(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The port's pairs; a post adds one, or takes the one away whose number it names."""
    rows = Port.objects.filter(owned_by_person(request.user.pk or 0)).prefetch_related("addresses", "network__subnets")
    port = get_object_or_404(rows.select_related("network__team", "vm__team"), uuid=uuid)
    require(request, "vm.see", owner_of(port))
    errors: Errors = {}
    if request.method == "POST":
        require(request, "port.change", owner_of(port))
        try:
            set_pairs(port, _asked(request, port), person(request))
            return redirect("port_pairs", port.uuid)
        except NetworkProblem as problem:
            errors = _of_the_form(problem.errors)
    team = owner_of(port)
    context = {
        "port": port, "pairs": pairs_of(port), "errors": errors, "team": team, "refusal": refusal(request, "port.change", team),
        "may": may(request, "port.change", team), "values": {name: request.POST.get(name, "") for name in ("cidr", "mac")},
    }  # fmt: skip
    return render(request, "networks/port_pairs.html", context, status=422 if errors else 200)


def _asked(request: HttpRequest, port: Port) -> list[PairSpec]:
    specs = [PairSpec(pair["cidr"], pair["mac"]) for pair in pairs_of(port)]
    gone = request.POST.get("remove", "")
    if gone:
        return [spec for spec in specs if f"{spec.cidr} {spec.mac}".strip() != gone]
    return [*specs, PairSpec(request.POST.get("cidr", "").strip(), request.POST.get("mac", "").strip())]


def _of_the_form(errors: Errors) -> Errors:
    """The form asks for one pair, the last: its fields have no number there."""
    found: Errors = {}
    for field, lines in errors.items():
        found.setdefault(field.rpartition(".")[2], []).extend(lines)
    return found
