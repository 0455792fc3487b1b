"""Who owns a port and who may use a network, now that a provider network may be shared by several teams.

A port is its VM's team's; one without a VM (reserved, the lab's access) is its network's team's.
"""

from __future__ import annotations

from django.db.models import Q, QuerySet

from portal.accounts.models import Membership, Team
from portal.networks.models import Network, Port


def owned_by(team: Team, path: str = "") -> Q:
    """The condition that a port is the team's; `path` leads to the port ("port__")."""
    return Q(**{f"{path}vm__team": team}) | Q(**{f"{path}vm": None, f"{path}network__team": team})


def owned_by_person(user_id: int) -> Q:
    """The condition that a port is of one of the person's teams."""
    teams = Membership.objects.filter(user_id=user_id).values("team_id")
    return Q(vm__team__in=teams) | Q(vm=None, network__team__in=teams)


def owner_of(port: Port) -> Team:
    """The team that the port is of."""
    return port.vm.team if port.vm else port.network.team


def owner_id_of(port: Port) -> int:
    """The same team's id, without reading it."""
    return port.vm.team_id if port.vm else port.network.team_id


def usable_by(team: Team) -> Q:
    """The condition that a network is the team's own, or shared with it."""
    return Q(team=team) | Q(pk__in=Network.shared_with.through.objects.filter(team=team).values("network_id"))


def usable_networks(team: Team) -> QuerySet[Network]:
    """The networks that the team's VMs may be on, its own first."""
    return Network.objects.filter(usable_by(team)).order_by("kind", "name")


def network_named(team: Team, name: str) -> Network | None:
    """The team's network of that name, or the one shared with it; a name is never both."""
    return Network.objects.filter(usable_by(team), name=name).first()


def visible_networks(user_id: int) -> QuerySet[Network]:
    """The networks that one of the person's teams may use."""
    teams = Membership.objects.filter(user_id=user_id).values("team_id")
    shared = Network.shared_with.through.objects.filter(team__in=teams).values("network_id")
    return Network.objects.filter(Q(team__in=teams) | Q(pk__in=shared)).select_related("team")
