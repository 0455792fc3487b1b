"""A bridge's flow history over REST, for operators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import Http404, HttpRequest
from ninja import Query, Router, Schema

from portal.accounts.access import require
from portal.api.problems import FieldProblem
from portal.topology.flow_instants import (
    InstantProblem,
    diff_between,
    diff_json,
    instant_json,
    instants_of,
    record_of,
)
from portal.topology.models import FlowRecord

router = Router()


class FlowInstantOut(Schema):
    at: datetime
    until: datetime | None
    kind: str
    why: str
    generation: int
    set_flows: int
    removed: int
    foreign: int
    causes: list[str]
    acts: list[str]


class FlowHistoryOut(Schema):
    host: str
    bridge: str
    seen_at: datetime
    away: str
    instants: list[FlowInstantOut]


@router.get("/flows/{host}/{bridge}/history", response=FlowHistoryOut, summary="When a bridge's flows changed, and why")
def flow_history(request: HttpRequest, host: str, bridge: str) -> Any:
    require(request, "flow.see")
    record = _record(host, bridge)
    instants = [instant_json(instant) for instant in instants_of(record)]
    return {"host": host, "bridge": bridge, "seen_at": record.seen_at, "away": record.away, "instants": instants}


@router.get("/flows/{host}/{bridge}/diff", summary="What is other in a bridge's flows between two instants")
def flow_diff(
    request: HttpRequest, host: str, bridge: str,
    since: Annotated[str, Query(alias="from", max_length=40, description="an ISO time; the oldest kept when empty")] = "",
    until: Annotated[str, Query(alias="to", max_length=40, description="an ISO time; now when empty")] = "",
) -> dict[str, Any]:  # fmt: skip
    require(request, "flow.see")
    try:
        return diff_json(*diff_between(_record(host, bridge), since, until))
    except InstantProblem as problem:
        field, lines = next(iter(problem.errors.items()))
        raise FieldProblem(field, lines[0]) from None


def _record(host: str, bridge: str) -> FlowRecord:
    found = record_of(host, bridge) if "\0" not in host + bridge else None
    if found is None:
        raise Http404
    return found
