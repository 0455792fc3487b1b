"""The team's networks."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.accounts.access import team_for
from portal.networks.models import Network


@require_safe
def networks(request: HttpRequest) -> HttpResponse:
    """Every network with its subnets, ports and addresses."""
    team = team_for(request, "network.see")
    rows = Network.objects.filter(team=team).prefetch_related("subnets", "ports__addresses", "ports__host", "ports__vm")
    return render(request, "networks/networks.html", {"networks": rows, "team": team})
