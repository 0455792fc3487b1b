"""Operations: the team's list, and one with its stages."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from portal.accounts.access import team_for
from portal.operations.models import Operation

SHOWN = 100


@require_safe
def operations(request: HttpRequest) -> HttpResponse:
    """The newest operations of the current team."""
    team = team_for(request, "operation.see")
    rows = Operation.objects.filter(team=team).select_related("created_by")[:SHOWN]
    return render(request, "operations/operations.html", {"operations": rows, "team": team})


@require_safe
def operation(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One operation with its stages."""
    rows = Operation.objects.filter(team__memberships__user_id=request.user.pk or 0)
    row = get_object_or_404(rows.select_related("team", "created_by").prefetch_related("stages"), uuid=uuid)
    return render(request, "operations/operation.html", {"operation": row})
