"""Whose an operation is: its team's; one of the hosts themselves, which no team has, is the operators'."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from portal.accounts.access import TEAM_HEADER, current_team, may, team_for
from portal.accounts.models import Team
from portal.operations.models import Operation

OF_HOSTS = {"operation.see": "host.see", "operation.cancel": "host.change", "operation.retry": "host.change"}


def operations_seen(request: HttpRequest) -> QuerySet[Operation]:
    """Those of the person's teams, and the hosts' for operators."""
    mine = Q(team__memberships__user_id=request.user.pk or 0)
    if may(request, OF_HOSTS["operation.see"]):
        mine |= Q(team=None)
    rows = Operation.objects.filter(mine)
    return rows.select_related("team", "created_by", "cancel_asked_by", "retry_of").prefetch_related("stages")


def operations_listed(request: HttpRequest) -> tuple[Team | None, QuerySet[Operation]]:
    """The current team, which an operator may be without, and its operations with, for operators, those over hosts."""
    of_hosts = may(request, OF_HOSTS["operation.see"])
    if of_hosts and current_team(request) is None and request.headers.get(TEAM_HEADER) is None:
        return None, Operation.objects.filter(team=None)
    team = team_for(request, "operation.list")
    return team, Operation.objects.filter(Q(team=team) | Q(team=None) if of_hosts else Q(team=team))


def right_over(operation: Operation, right: str) -> str:
    """The right of the table that one needs for it: `operation.cancel` of a team's is `host.change` for the hosts'."""
    return right if operation.team_id else OF_HOSTS[right]
