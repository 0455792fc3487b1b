"""The first page and every other board: what the team uses, runs, asked for, and what is wrong."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from portal.accounts.access import current_team, may, refusal, require, team_for
from portal.accounts.models import Team
from portal.accounts.views import person
from portal.dashboards.layout import DEFAULT, KINDS, BoardProblem, Widget, moved, new_id, ordered, written
from portal.dashboards.models import Board
from portal.dashboards.requests import (
    boards_of_person,
    change_board,
    kept_team_board,
    make_board,
    remove_board,
    team_board,
    visible_boards,
    widgets_of,
)
from portal.dashboards.widgets import Looking, load_widget
from portal.history.asked import range_of
from portal.history.series import RANGES
from portal.operations.panel import panel_of

KINDS_SHOWN = "vm operation check matrix board"


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """The current team's board."""
    team = current_team(request)
    if team is None:
        return render(request, "dashboards/no_team.html")
    return _board_page(request, team, team_board(team))


@require_safe
def board(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One's own board, one that somebody shares, or the team's."""
    row = _visible(request, uuid)
    is_current = row.team == current_team(request)
    return redirect("dashboard") if row.owner_id is None and is_current else _board_page(request, row.team, row)


def _visible(request: HttpRequest, uuid: UUID) -> Board:
    """A board that the person may see, of any of their teams; 404 for every other."""
    row = get_object_or_404(boards_of_person(person(request)), uuid=uuid)
    require(request, "board.see", row.team)
    return row


def _board_page(request: HttpRequest, team: Team, row: Board) -> HttpResponse:
    looking = Looking(request, team, range_of(request.GET.dict()))
    refused = change_refusal(request, row)
    editing = "edit" in request.GET and not refused
    is_tv = "tv" in request.GET
    context = {
        "team": team, "board": row, "boards": visible_boards(team, person(request)), "ranges": RANGES, "range": looking.range_name,
        "shown": [load_widget(looking, widget) for widget in widgets_of(row)],
        "editing": editing, "is_tv": is_tv, "refused": refused, "change_url": _change_url(row), "here": _url_of(row),
        "kinds": [kind for kind in KINDS if looking.is_operator or not kind.for_operators],
        "topic": f"team:{team.slug}", "object_kinds": KINDS_SHOWN, "refusal": refusal(request, "vm.create", team),
    }  # fmt: skip
    return render(request, "dashboards/board.html", context)


def change_refusal(request: HttpRequest, row: Board) -> str:
    """Why the person may not change the board; nothing when they may."""
    if row.owner_id is None:
        return refusal(request, "board.change", row.team)
    if row.owner_id == request.user.pk:
        return refusal(request, "board.own", row.team)
    return (
        gettext("This board is %(owner)s's: copy it to change it.") % {"owner": row.owner}
        if row.owner
        else gettext("This board is somebody else's.")
    )


def _url_of(row: Board) -> str:
    return reverse("dashboard") if row.owner_id is None else reverse("board", args=[row.uuid])


def _change_url(row: Board) -> str:
    return reverse("team_board_change") if row.owner_id is None else reverse("board_change", args=[row.uuid])


@require_POST
def board_new(request: HttpRequest) -> HttpResponse:
    """A board of one's own: a copy of the one that the form names, or what every board begins with."""
    team = team_for(request, "board.own")
    copied = request.POST.get("copy", "")
    source = next((one for one in visible_boards(team, person(request)) if str(one.uuid) == copied), None)
    widgets = widgets_of(source or team_board(team)) if copied else DEFAULT
    try:
        made = make_board(team, person(request), request.POST.get("title", ""), widgets)
    except BoardProblem as problem:
        messages.error(request, str(problem))
        return redirect("dashboard")
    return redirect(f"{_url_of(made)}?edit")


@require_POST
def team_board_change(request: HttpRequest) -> HttpResponse:
    """One step with the team's board."""
    team = team_for(request, "board.change")
    return _change(request, kept_team_board(team))


@require_POST
def board_change(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One step with one's own board."""
    row = _visible(request, uuid)
    if row.owner_id is None:
        require(request, "board.change", row.team)
    elif row.owner_id != request.user.pk:
        messages.error(request, change_refusal(request, row))
        return redirect(_url_of(row))
    return _change(request, row)


def _change(request: HttpRequest, row: Board) -> HttpResponse:
    posted, user = request.POST, person(request)
    if posted.get("act") == "delete":
        remove_board(row, user)
        words = gettext("Board %(title)s is deleted.") if row.owner_id else gettext("Board %(title)s begins anew.")
        messages.success(request, words % {"title": row.title})
        return redirect("dashboard")
    shown_id = posted.get("id", "")
    try:
        row = change_board(row, user, **_asked(row, posted))
        if posted.get("act") == "add":
            shown_id = widgets_of(row)[-1].id
    except BoardProblem as problem:
        messages.error(request, str(problem))
    return redirect(f"{_url_of(row)}?edit#w-{shown_id}" if shown_id else f"{_url_of(row)}?edit")


def _asked(row: Board, posted: QueryDict) -> dict[str, Any]:
    """What the form asks to change: the words of the board, or its widgets."""
    act = posted.get("act", "")
    if act == "title":
        return {"title": posted.get("title", "")}
    if act in ("share", "unshare"):
        return {"is_shared": act == "share"}
    return {"widgets": _stepped(widgets_of(row), act, posted)}


def _stepped(widgets: tuple[Widget, ...], act: str, posted: QueryDict) -> tuple[Widget, ...]:
    if act == "add":
        kind = next((kind for kind in KINDS if kind.name == posted.get("kind")), None)
        return (*widgets, Widget(new_id(), kind.name, kind.width)) if kind else widgets
    if act == "order":
        return ordered(widgets, posted.get("order", ""))
    if act == "text":
        return written(widgets, posted.get("id", ""), posted.get("text", "").replace("\r\n", "\n"))
    return moved(widgets, posted.get("id", ""), act)


@require_safe
def status_line(request: HttpRequest) -> HttpResponse:
    """The running operation as the status line words it, and the panel of the latest ones: parts of every page."""
    shows = current_team(request) is not None or may(request, "host.see")
    return render(request, "dashboards/status_line.html", {"panel": panel_of(request) if shows else []})
