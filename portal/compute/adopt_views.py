"""What adopting a foreign domain would change and what not, asking for it, and letting go of it again."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from portal.accounts.access import require
from portal.accounts.models import Team
from portal.accounts.views import person
from portal.compute.adoption import Wish, adopt, let_go, plan_of
from portal.compute.foreign import Facts, facts_from_json
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.hosts.models import ForeignDomain
from portal.networks.owners import usable_networks


@require_http_methods(["GET", "HEAD", "POST"])
def foreign_domain(request: HttpRequest, name: str, uuid: UUID) -> HttpResponse:
    """The plan for the values of the form; a post adopts it so."""
    require(request, "host.change")
    domain = get_object_or_404(ForeignDomain.objects.select_related("host"), host__name=name, uuid=uuid)
    facts = facts_from_json(domain.facts)
    given = request.POST if request.method == "POST" else request.GET
    wish = _wish(given, domain, facts)
    plan = plan_of(domain, wish)
    problems = plan.problems
    if request.method == "POST" and not problems:
        try:
            made = adopt(domain, person(request), wish)
            messages.success(
                request,
                gettext("%(domain)s is being adopted as %(vm)s of %(team)s.")
                % {"domain": domain.name, "vm": made.vm.name, "team": made.vm.team.name},
            )
            return redirect("host", domain.host.name)
        except VMProblem as problem:  # it came to be so since the plan was made
            problems = problem.errors
    team = Team.objects.filter(slug=wish.team).first()
    context = {
        "domain": domain,
        "facts": facts,
        "nics": [(nic, wish.networks.get(nic.mac, ""), wish.addresses.get(nic.mac, "")) for nic in facts.nics],
        "teams": Team.objects.order_by("name"),
        "networks": usable_networks(team) if team else [],
        "wish": wish,
        "plan": plan if team else None,
        "lines": [line for lines in problems.values() for line in lines] if "team" in given else [],
    }
    refused = request.method == "POST"
    return render(request, "compute/foreign_domain.html", context, status=422 if refused else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def vm_let_go(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """What letting go means; a post does it."""
    require(request, "host.change")
    row = get_object_or_404(VM.objects.select_related("team", "host"), uuid=uuid)
    lines: list[str] = []
    if request.method == "POST":
        try:
            let_go(row, person(request))
            messages.success(
                request,
                gettext("%(row)s is being let go; its domain %(domain)s stays as it is.")
                % {"row": row.name, "domain": row.domain},
            )
            return redirect("host", row.host.name) if row.host else redirect("hosts")
        except VMProblem as problem:
            lines = problem.errors["vm"]
    return render(request, "compute/vm_let_go.html", {"vm": row, "lines": lines}, status=422 if lines else 200)


def _wish(given: QueryDict, domain: ForeignDomain, facts: Facts) -> Wish:
    def read(field: str) -> dict[str, str]:
        values = {nic.mac: given.get(f"{field}-{nic.mac}", "").replace("\0", "").strip() for nic in facts.nics}
        return {mac: value for mac, value in values.items() if value}

    suggested = domain.name.lower().replace("_", "-").replace(".", "-")[:63]
    return Wish(given.get("team", "").replace("\0", ""), given.get("name", suggested), read("network"), read("address"))
