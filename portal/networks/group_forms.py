"""Security groups in forms: what can be chosen, what was, and whether SSH would get through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, QueryDict

from portal.accounts.access import may
from portal.accounts.models import Team, User
from portal.networks.groups import access_ports, reaches_ssh, suggested_groups
from portal.networks.models import Port, SecurityGroup

SHOWN = "groups_shown"  # the form had the field: none ticked means none, not "as last time"


@dataclass(frozen=True)
class GroupChoice:
    """One box to tick."""

    group: SecurityGroup
    chosen: bool
    opens_ssh: bool


def group_choices(team: Team, chosen: list[str]) -> list[GroupChoice]:
    """Every group of the team, those of the names `chosen` ticked."""
    seats = access_ports(team)
    groups = team.security_groups.prefetch_related("rules")
    return [GroupChoice(group, group.name in chosen, reaches_ssh(group, seats)) for group in groups]


def posted_groups(team: Team, posted: QueryDict) -> tuple[SecurityGroup, ...] | None:
    """The groups that were ticked; None where the form did not ask. A name that is not the team's is ignored."""
    if SHOWN not in posted:
        return None
    return tuple(team.security_groups.filter(name__in=posted.getlist("groups")))


def chosen_names(team: Team, user: User, posted: QueryDict | None) -> list[str]:
    """The names to tick: as posted, else as suggested."""
    groups = posted_groups(team, posted) if posted is not None else None
    return [group.name for group in (suggested_groups(team, user) if groups is None else groups)]


def port_groups_context(request: HttpRequest, team: Team, port: Port | None) -> dict[str, Any]:
    """What a VM's page shows of its port's security."""
    if port is None:
        return {}
    names = [group.name for group in port.groups.all()]
    choices = group_choices(team, names)
    return {
        "group_choices": choices,
        "chosen_groups": [choice for choice in choices if choice.chosen],
        "may_choose_groups": may(request, "port.change", team),
        "may_unsecure": may(request, "port.unsecure", team),
        "ssh_is_open": not port.is_secured or any(choice.chosen and choice.opens_ssh for choice in choices),
        "pairs": list(port.pairs.all()),
    }
