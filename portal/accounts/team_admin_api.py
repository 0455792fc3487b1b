"""Teams over REST, for operators."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require
from portal.accounts.models import Team
from portal.accounts.team_admin import LIMITS, MOST, TeamSpec, change_team, create_team, limits_of
from portal.accounts.team_admin_views import use_of_limits
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.paging import Page, PageQuery, as_page, page_of

router = Router()
Limit = Annotated[int, Field(ge=-MOST, le=MOST)]
LIMIT_WORDS = f"by name: {', '.join(LIMITS)}; one that is not given stays"


class TeamRow(Schema):
    slug: str
    name: str
    needs_second_factor: bool
    limits: dict[str, int]
    used: dict[str, int]


class NewTeam(Given):
    name: str = Field(max_length=200)
    owner: str = Field(max_length=200, description="a log-in; a new one is made when nobody has it")
    limits: dict[str, Limit] = Field({}, max_length=50, description=LIMIT_WORDS)


class TeamMade(TeamRow):
    """`owner_password` is a new log-in's, in this answer alone."""

    owner_password: str | None


class TeamChange(Given):
    name: str | None = Field(None, max_length=200)
    limits: dict[str, Limit] = Field({}, max_length=50, description=LIMIT_WORDS)


@router.get("/teams", response=Page[TeamRow], summary="Every team with its limits and what it uses, for operators")
def list_teams(request: HttpRequest, paging: Query[PageQuery]) -> Any:
    require(request, "team.list")
    found, after = page_of(Team.objects.order_by("pk"), paging)
    use = use_of_limits(found)
    return as_page([_row(team, use[team.pk]) for team in found], after)


@router.post("/teams", response={201: TeamMade}, summary="Make a team with its first owner")
def post_team(request: HttpRequest, asked: NewTeam) -> Any:
    require(request, "team.make")
    made = create_team(TeamSpec(asked.name, asked.owner, asked.limits), person(request))
    return Status(201, {**_row(_named(made.team.slug)), "owner_password": made.password or None})


@router.get("/teams/{slug}", response=TeamRow, summary="One team with its limits and what it uses")
def get_team(request: HttpRequest, slug: str) -> Any:
    require(request, "team.list")
    return _row(_named(slug))


@router.patch("/teams/{slug}", response=TeamRow, summary="Change a team's name or limits")
def patch_team(request: HttpRequest, slug: str, asked: TeamChange) -> Any:
    require(request, "team.make")
    team = _named(slug)
    change_team(team, TeamSpec(team.name if asked.name is None else asked.name, limits=asked.limits), person(request))
    return _row(_named(slug))


def _named(slug: str) -> Team:
    return get_object_or_404(Team, slug=slug.replace("\0", ""))


def _row(team: Team, used: dict[str, int] | None = None) -> dict[str, Any]:
    used = use_of_limits([team])[team.pk] if used is None else used
    columns = {"slug": team.slug, "name": team.name, "needs_second_factor": team.needs_second_factor}
    return {**columns, "limits": limits_of(team), "used": used}
