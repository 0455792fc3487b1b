"""A team's limits of networks and floating addresses, looked at where the intent's lock is held: no two creates count the same."""

from __future__ import annotations

from django.utils.translation import gettext

from portal.accounts.models import Team
from portal.networks.models import FloatingAddress, Network, NetworkKind

OVERLAYS = (NetworkKind.VXLAN.value, NetworkKind.GENEVE.value)  # what teams make; a provider network is its operators'


def use_of_network(team: Team) -> dict[str, int]:
    """How many networks and floating addresses the team has, by the names of its limits without `max_`."""
    return {
        "networks": Network.objects.filter(team=team, kind__in=OVERLAYS).count(),
        "floating_addresses": FloatingAddress.objects.filter(team=team).count(),
    }


def network_refusal(team: Team) -> str:
    """Why the team gets no further network, or ""."""
    used, limit = _locked(team, "networks")
    return "" if used < limit else gettext("over quota: %(used)s of %(limit)s networks are made; delete one, or ask an operator for more") % {"used": used, "limit": limit}  # fmt: skip


def floating_refusal(team: Team) -> str:
    """Why the team gets no further floating address, or ""."""
    used, limit = _locked(team, "floating_addresses")
    return "" if used < limit else gettext("over quota: %(used)s of %(limit)s floating addresses are taken; release one, or ask an operator for more") % {"used": used, "limit": limit}  # fmt: skip


def _locked(team: Team, name: str) -> tuple[int, int]:
    fresh = Team.objects.select_for_update(no_key=True).get(pk=team.pk)
    return use_of_network(fresh)[name], getattr(fresh, f"max_{name}")
