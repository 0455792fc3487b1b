"""Who changed what, over REST: a team's rows, and for operators those that belong to no team."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.activity import AREAS, ActivityAsked, activity_of
from portal.accounts.models import Team
from portal.api.paging import Page, PageQuery, as_page, page_of
from portal.api.schemas import AuditOut

router = Router()
AREA_NAMES = ", ".join(area.name for area in AREAS)


class ActivityQuery(Schema):
    object_id: str = Field("", max_length=40, description="only changes of this object")
    who: str = Field("", max_length=150, description="only this person's, or service account's")
    since: str = Field("", max_length=40, description="from this day or ISO time on")
    until: str = Field("", max_length=40, description="before this ISO time, or to the end of this day")


@router.get("/activity", response=Page[AuditOut], summary="Who changed what, newest first")
def list_activity(request: HttpRequest, paging: Query[PageQuery], asked: Query[ActivityQuery]) -> Any:
    return _listed(team_for(request, "audit.see"), ActivityAsked(**asked.dict()), paging)


@router.get(
    "/activity/all",
    response=Page[AuditOut],
    summary="Who changed what that belongs to no team: hosts, what is for all teams, settings, log-ins",
)
def list_operator_activity(
    request: HttpRequest,
    paging: Query[PageQuery],
    asked: Query[ActivityQuery],
    area: Annotated[str, Query(max_length=40, description=f"only this: {AREA_NAMES}")] = "",
) -> Any:
    require(request, "audit.all")
    return _listed(None, ActivityAsked(**asked.dict(), area=area), paging)


def _listed(team: Team | None, asked: ActivityAsked, paging: PageQuery) -> Any:
    return as_page(*page_of(activity_of(team, asked), paging, newest_first=True))
