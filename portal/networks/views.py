"""The team's networks."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from portal.accounts.access import active_team
from portal.networks.models import Network


def networks(request: HttpRequest) -> HttpResponse:
    """Every network with its subnets, ports and addresses."""
    team = active_team(request)
    rows = Network.objects.filter(team=team).prefetch_related("subnets", "ports__addresses", "ports__host", "ports__vm")
    return render(request, "networks/networks.html", {"networks": rows, "team": team})
