"""What no row explains on the hosts: the list, and asking to remove what was ticked."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from portal.accounts.access import require
from portal.accounts.teams import TeamProblem
from portal.accounts.views import person
from portal.hosts.models import Host
from portal.hosts.orphans import clean_orphans, cleanings_of, orphans_of


@require_safe
def orphans(request: HttpRequest) -> HttpResponse:
    """Every host's; looking changes nothing."""
    require(request, "host.see")
    return _page(request)


@require_POST
def host_clean(request: HttpRequest, name: str) -> HttpResponse:
    """Remove what was ticked, if the host's name was typed; on the operation's page, or back with every reason why not."""
    require(request, "host.change")
    host = get_object_or_404(Host, name=name)
    ticked = request.POST.getlist("orphan")
    try:
        made = clean_orphans(host, person(request), ticked, request.POST.get("typed", ""))
    except TeamProblem as problem:
        return _page(request, host, problem.errors["orphans"], ticked)
    return redirect("operation", made.uuid)


def _page(
    request: HttpRequest, of: Host | None = None, errors: list[str] | None = None, ticked: list[str] | None = None
) -> HttpResponse:
    hosts = [
        {
            "host": host,
            "orphans": orphans_of(host),
            "cleanings": cleanings_of(host),
            "errors": errors if host == of else [],
            "ticked": ticked if host == of else [],
        }
        for host in Host.objects.all()
    ]
    return render(request, "hosts/orphans.html", {"hosts": hosts}, status=422 if errors else 200)
