"""History over REST: what was sampled of VMs, ports, hosts and teams."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.compute.models import VM
from portal.history import series as kinds
from portal.history.asked import DEFAULT, series_asked
from portal.history.store import Series
from portal.hosts.models import Host
from portal.networks.models import Port
from portal.networks.owners import owned_by_person, owner_of

router = Router()
LAST_S = 2**40  # far beyond any clock, and a number that every database takes


class HistoryQuery(Schema):
    range: str = Field(DEFAULT, description="1h, 6h, 24h, 7d or 30d up to now")
    start: int | None = Field(None, ge=0, le=LAST_S, description="seconds since 1970; instead of the range's beginning")
    end: int | None = Field(None, ge=0, le=LAST_S, description="seconds since 1970; instead of now")


class LineOut(Schema):
    """`mean` and `peak` have a value for each time of `at`, null where nothing was sampled."""

    name: str
    words: str
    unit: str
    mean: list[float | None]
    peak: list[float | None]


class HistoryOut(Schema):
    """Of one object: `step_s` is the finest that is kept for the stretch, 10, 60 or 600."""

    kind: str
    step_s: int
    at: list[int]
    lines: list[LineOut]


Asked = Annotated[HistoryQuery, Query()]


@router.get("/vms/{uuid}/history", response=HistoryOut, summary="A VM's CPU, memory, disk and network over time")
def vm_history(request: HttpRequest, uuid: UUID, asked: Asked) -> Any:
    rows = VM.objects.select_related("team")
    if not person(request).is_operator:
        rows = rows.filter(team__memberships__user_id=request.user.pk or 0)
    vm = get_object_or_404(rows, uuid=uuid)
    require(request, "vm.look", vm.team)
    return _answer(kinds.VM, vm.pk, asked)


@router.get("/ports/{uuid}/history", response=HistoryOut, summary="A port's traffic and losses over time")
def port_history(request: HttpRequest, uuid: UUID, asked: Asked) -> Any:
    rows = Port.objects.filter(owned_by_person(request.user.pk or 0)).select_related("network__team", "vm__team")
    port = get_object_or_404(rows, uuid=uuid)
    require(request, "vm.see", owner_of(port))
    return _answer(kinds.PORT, port.pk, asked)


@router.get("/hosts/{host}/history", response=HistoryOut, summary="A host's load over time, for operators")
def host_history(request: HttpRequest, host: str, asked: Asked) -> Any:
    require(request, "host.see")
    return _answer(kinds.HOST, get_object_or_404(Host, name=host.replace("\0", "")).pk, asked)


@router.get("/history/traffic", response=HistoryOut, summary="The traffic of all the team's ports over time")
def traffic_history(request: HttpRequest, asked: Asked) -> Any:
    return _answer(kinds.TEAM, team_for(request, "team.see").pk, asked)


@router.get("/history/use", response=HistoryOut, summary="What the team's VMs use over time")
def use_history(request: HttpRequest, asked: Asked) -> Any:
    return _answer(kinds.TEAM_VMS, team_for(request, "team.see").pk, asked)


@router.get("/history/drops", response=HistoryOut, summary="The team's dropped packets over time, by reason")
def drops_history(request: HttpRequest, asked: Asked) -> Any:
    return _answer(kinds.DROPS, team_for(request, "team.see").pk, asked)


def _answer(kind: kinds.Kind, object_id: int, asked: HistoryQuery) -> dict[str, Any]:
    return as_json(series_asked(kind, object_id, asked.range, asked.start, asked.end))


def as_json(series: Series) -> dict[str, Any]:
    """The series as the API tells it."""
    return {
        "kind": series.kind.name,
        "step_s": series.step_s,
        "at": list(series.times),
        "lines": [
            {"name": line.field.name, "words": line.field.words, "unit": line.field.unit, "mean": line.mean, "peak": line.peak}
            for line in series.lines
        ],
    }  # fmt: skip
