"""The list of traces over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Schema

from portal.accounts.access import team_for
from portal.api.paging import PageQuery, as_page, page_of
from portal.api.problems import FieldProblem
from portal.traces.models import TraceRequest


class TraceLine(Schema):
    uuid: UUID
    title: str
    state: str
    verdict: str
    reason: str
    created_at: datetime
    created_by: str | None


def list_traces(
    request: HttpRequest,
    paging: Query[PageQuery],
    state: Annotated[str | None, Query(description="only traces in this state")] = None,
) -> Any:
    """One page; `portal.api.api` gives it its address, beside the question's."""
    rows = TraceRequest.objects.filter(team=team_for(request, "trace.see")).select_related("created_by")
    if state is not None and state not in TraceRequest.State.values:
        raise FieldProblem("state", f"“{state[:40]}” was given; {', '.join(TraceRequest.State.values)} are allowed")
    found, after = page_of(rows.filter(state=state) if state else rows, paging, newest_first=True)
    return as_page([_line(row) for row in found], after)


def _line(row: TraceRequest) -> dict[str, Any]:
    answer = row.result or {}
    return {
        "uuid": row.uuid, "title": row.title, "state": row.state, "verdict": answer.get("verdict", ""),
        "reason": answer.get("reason", row.error), "created_at": row.created_at,
        "created_by": row.created_by.username if row.created_by else None,
    }  # fmt: skip
