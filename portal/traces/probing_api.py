"""Continuous probing over REST: one real packet a second along a trace's path."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.api.problems import FieldProblem
from portal.compute.requests import VMProblem
from portal.traces.models import Probing, TraceRequest
from portal.traces.probings import (
    MAX_SECONDS,
    MIN_SECONDS,
    ProbingProblem,
    probing_as_json,
    probing_line,
    start_probing,
    stop_probing,
)

router = Router()


class ProbingIn(Given):
    seconds: int = Field(60, ge=MIN_SECONDS, le=MAX_SECONDS, description="one packet a second for so long")


class ProbeSampleOut(Schema):
    """`latency_us` ± `error_us`; None for a packet that did not arrive, and then `reason` says what became of it."""

    number: int
    at_ms: int
    latency_us: float | None
    error_us: float | None
    reason: str


class LossOut(Schema):
    reason: str
    count: int


class ProbingOut(Schema):
    uuid: UUID
    trace: UUID
    state: str
    why: str
    seconds: int
    sent: int
    arrived: int
    began_at: datetime
    samples: list[ProbeSampleOut]
    losses: list[LossOut]


class ProbingLine(Schema):
    """A probing without its samples; `title` and `trace` are its path's."""

    uuid: UUID
    trace: UUID
    title: str
    state: str
    why: str
    seconds: int
    sent: int
    arrived: int
    created_at: datetime
    created_by: str | None


@router.get("/probings", response=Page[ProbingLine], summary="The team's probings, newest first")
def list_probings(
    request: HttpRequest,
    paging: Query[PageQuery],
    state: Annotated[str | None, Query(description="only probings in this state")] = None,
) -> Any:
    rows = Probing.objects.filter(team=team_for(request, "trace.see")).select_related("trace", "created_by")
    if state is not None and state not in Probing.State.values:
        raise FieldProblem("state", f"“{state[:40]}” was given; {', '.join(Probing.State.values)} are allowed")
    found, after = page_of(rows.filter(state=state) if state else rows, paging, newest_first=True)
    return as_page([probing_line(row) for row in found], after)


@router.post("/traces/{uuid}/probings", response={202: ProbingOut}, summary="Send one real packet a second along a path")  # fmt: skip
def post_probing(request: HttpRequest, uuid: UUID, asked: ProbingIn) -> Any:
    team = team_for(request, "probing.start")
    trace = get_object_or_404(TraceRequest.objects.select_related("team", "source", "target"), uuid=uuid, team=team)
    try:
        return Status(202, probing_as_json(start_probing(trace, person(request), asked.seconds)))
    except ProbingProblem as refused:
        raise VMProblem(refused.errors) from None


@router.get("/probings/{uuid}", response=ProbingOut, summary="Loss and latency along a path, a second at a time")
def get_probing(request: HttpRequest, uuid: UUID) -> Any:
    return probing_as_json(_one(request, uuid, "trace.see"))


@router.delete("/probings/{uuid}", response=ProbingOut, summary="Stop a probing; what it measured is kept")
def delete_probing(request: HttpRequest, uuid: UUID) -> Any:
    row = _one(request, uuid, "probing.start")
    stop_probing(row, person(request))
    return probing_as_json(row)


def _one(request: HttpRequest, uuid: UUID, right: str) -> Probing:
    rows = Probing.objects.filter(team=team_for(request, right)).select_related("trace", "team")
    return get_object_or_404(rows, uuid=uuid)
