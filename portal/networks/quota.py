"""A team's limits of networks and floating addresses, looked at where the intent's lock is held: no two creates count the same."""

from __future__ import annotations

from django.utils.translation import gettext, gettext_noop

from portal.accounts.models import Team
from portal.networks.models import FloatingAddress, Network, NetworkKind

OVERLAYS = (NetworkKind.VXLAN.value, NetworkKind.GENEVE.value)  # what teams make; a provider network is its operators'

FULL = {
    "networks": gettext_noop("over quota: %(used)s of %(limit)s networks are made; delete one, or ask an operator for more"),
    "floating_addresses": gettext_noop("over quota: %(used)s of %(limit)s floating addresses are taken; release one, or ask an operator for more"),
}  # fmt: skip


def use_of_network(team: Team) -> dict[str, int]:
    """How many networks and floating addresses the team has, by the names of its limits without `max_`."""
    return {
        "networks": Network.objects.filter(team=team, kind__in=OVERLAYS).count(),
        "floating_addresses": FloatingAddress.objects.filter(team=team).count(),
    }


def full_words(team: Team, name: str, use: dict[str, int]) -> str:
    """Why the team gets no further one of that limit, or ""; a page asks before the click, a create where the rows are locked."""
    used, limit = use[name], getattr(team, f"max_{name}")
    return "" if used < limit else gettext(FULL[name]) % {"used": used, "limit": limit}


def network_refusal(team: Team) -> str:
    """Why the team gets no further network, or ""; its row is locked."""
    return full_words(fresh := _locked(team), "networks", use_of_network(fresh))


def floating_refusal(team: Team) -> str:
    """Why the team gets no further floating address, or ""; its row is locked."""
    return full_words(fresh := _locked(team), "floating_addresses", use_of_network(fresh))


def _locked(team: Team) -> Team:
    return Team.objects.select_for_update(no_key=True).get(pk=team.pk)
