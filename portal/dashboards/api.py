"""Boards and problems over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.dashboards.layout import DEFAULT, MOST_TEXT, Widget, as_rows, parse_widgets
from portal.dashboards.models import Board
from portal.dashboards.problems import problems_of
from portal.dashboards.requests import (
    change_board,
    kept_team_board,
    make_board,
    remove_board,
    team_board,
    visible_boards,
    widgets_of,
)
from portal.dashboards.views import change_refusal

router = Router()


class WidgetIn(Given):
    """`width` of twelve columns: 3, 4, 6, 8 or 12. `text` is what a note or a heading says."""

    id: str = Field("", max_length=40)
    kind: str = Field(max_length=40)
    width: int | None = Field(None, ge=1, le=12)
    text: str = Field("", max_length=2 * MOST_TEXT)


class WidgetOut(Schema):
    id: str
    kind: str
    width: int
    text: str


class BoardIn(Given):
    title: str = Field(max_length=200)
    widgets: list[WidgetIn] | None = Field(
        None, max_length=200, description="without them, what every board begins with"
    )


class BoardChange(Given):
    """What is left out stays."""

    title: str | None = Field(None, max_length=200)
    is_shared: bool | None = None
    widgets: list[WidgetIn] | None = Field(None, max_length=200)


class TeamBoardChange(Given):
    title: str | None = Field(None, max_length=200)
    widgets: list[WidgetIn] | None = Field(None, max_length=200)


class BoardOut(Schema):
    """`owner` is null for the team's own board; `uuid` is null while that was never changed."""

    uuid: UUID | None
    title: str
    owner: str | None
    is_shared: bool
    version: int
    widgets: list[WidgetOut]


class BoardProblemOut(Schema):
    """`key` names the problem for as long as it lasts; bad ones stop something now."""

    key: str
    is_bad: bool
    words: str
    detail: str
    url: str
    since: datetime | None


@router.get("/team-board", response=BoardOut, summary="The team's board")
def get_team_board(request: HttpRequest) -> Any:
    return _as_json(team_board(team_for(request, "board.see")))


@router.patch("/team-board", response=BoardOut, summary="Change the team's board")
def patch_team_board(request: HttpRequest, asked: TeamBoardChange) -> Any:
    team = team_for(request, "board.change")
    widgets = _widgets(asked.widgets)
    return _as_json(change_board(kept_team_board(team), person(request), title=asked.title, widgets=widgets))


@router.get("/boards", response=list[BoardOut], summary="The boards that one sees: the team's, one's own, shared ones")
def list_boards(request: HttpRequest) -> Any:
    team = team_for(request, "board.see")
    return [_as_json(row) for row in visible_boards(team, person(request))]


@router.post("/boards", response={201: BoardOut}, summary="Make a board of one's own")
def post_board(request: HttpRequest, asked: BoardIn) -> Any:
    team = team_for(request, "board.own")
    widgets = _widgets(asked.widgets)
    return Status(
        201, _as_json(make_board(team, person(request), asked.title, DEFAULT if widgets is None else widgets))
    )


@router.get("/boards/{uuid}", response=BoardOut, summary="A board")
def get_board(request: HttpRequest, uuid: UUID) -> Any:
    return _as_json(_visible(request, uuid))


@router.patch("/boards/{uuid}", response=BoardOut, summary="Change a board: the team's as a member, or one's own")
def patch_board(request: HttpRequest, uuid: UUID, asked: BoardChange) -> Any:
    row = _changeable(request, uuid)
    widgets = _widgets(asked.widgets)
    return _as_json(change_board(row, person(request), title=asked.title, is_shared=asked.is_shared, widgets=widgets))


@router.delete("/boards/{uuid}", response={204: None}, summary="Remove a board; the team's begins anew")
def delete_board(request: HttpRequest, uuid: UUID) -> Any:
    remove_board(_changeable(request, uuid), person(request))
    return Status(204, None)


@router.get("/problems", response=list[BoardProblemOut], summary="What needs somebody now, the bad ones first")
def list_problems(request: HttpRequest) -> Any:
    return problems_of(team_for(request, "team.see"))


def _visible(request: HttpRequest, uuid: UUID) -> Board:
    team = team_for(request, "board.see")
    return get_object_or_404(visible_boards(team, person(request)), uuid=uuid)


def _changeable(request: HttpRequest, uuid: UUID) -> Board:
    row = _visible(request, uuid)
    if row.owner_id is None:
        require(request, "board.change", row.team)
    elif words := change_refusal(request, row):
        raise PermissionDenied(words)
    return row


def _widgets(rows: list[WidgetIn] | None) -> tuple[Widget, ...] | None:
    return None if rows is None else parse_widgets([row.model_dump() for row in rows])


def _as_json(row: Board) -> dict[str, Any]:
    return {
        "uuid": row.uuid if row.pk else None,
        "title": row.title,
        "owner": row.owner.username if row.owner else None,
        "is_shared": row.is_shared,
        "version": row.version,
        "widgets": as_rows(widgets_of(row)),
    }
