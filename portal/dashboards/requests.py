"""Making and changing boards: what pages and API share."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Membership, Team, User
from portal.dashboards.layout import DEFAULT, BoardProblem, Widget, as_rows, parse_widgets
from portal.dashboards.models import Board
from portal.live.events import publish

MOST_OWN = 20


def visible_boards(team: Team, user: User) -> QuerySet[Board]:
    """The team's own board (when it was ever changed), the person's, and those that others share."""
    return boards_of_person(user).filter(team=team)


def boards_of_person(user: User) -> QuerySet[Board]:
    """The boards that the person sees in all their teams."""
    seen = Q(owner=None) | Q(owner=user) | Q(is_shared=True)
    teams = Membership.objects.filter(user=user).values("team_id")
    return Board.objects.filter(seen, team__in=teams).select_related("owner", "team")


def team_board(team: Team) -> Board:
    """The team's board; one that was never changed has no row and shows what every board begins with."""
    kept = Board.objects.filter(team=team, owner=None).first()
    return kept or Board(team=team, title=team.name, widgets=as_rows(DEFAULT), version=0)


def kept_team_board(team: Team) -> Board:
    """The team's board as a row, made when there is none yet."""
    board = team_board(team)
    if board.pk is None:
        try:
            with transaction.atomic():
                board.save()
        except IntegrityError:  # somebody else was first
            board = team_board(team)
    return board


def widgets_of(board: Board) -> tuple[Widget, ...]:
    """The board's widgets; of a kind that there no longer is, none."""
    try:
        return parse_widgets(board.widgets)
    except BoardProblem:
        return DEFAULT


@transaction.atomic
def make_board(team: Team, owner: User, title: str, widgets: tuple[Widget, ...] = DEFAULT) -> Board:
    """A board of the person's own in the team. Raises BoardProblem."""
    title = _title(title)
    Team.objects.select_for_update(no_key=True).get(pk=team.pk)
    if Board.objects.filter(team=team, owner=owner).count() >= MOST_OWN:
        raise BoardProblem(
            {
                "title": [
                    gettext("you have %(most_own)s boards in this team, which is the most: delete one first")
                    % {"most_own": MOST_OWN}
                ]
            }
        )
    board = Board.objects.create(team=team, owner=owner, title=title, widgets=as_rows(widgets))
    record("board.make", team, owner, ("board", str(board.uuid), title))
    _tell(board)
    return board


@transaction.atomic
def change_board(
    board: Board, actor: User, *, title: str | None = None, is_shared: bool | None = None, widgets: tuple[Widget, ...] | None = None
) -> Board:  # fmt: skip
    """The board with what is given changed. Raises BoardProblem."""
    if is_shared is not None and board.owner_id is None:
        raise BoardProblem({"is_shared": [gettext("this is the team's own board: the team always sees it")]})
    fresh = Board.objects.select_for_update(of=("self",)).select_related("team", "owner").get(pk=board.pk)
    before = _facts(fresh)
    if title is not None:
        fresh.title = _title(title)
    if is_shared is not None:
        fresh.is_shared = is_shared
    if widgets is not None:
        fresh.widgets = as_rows(widgets)
    if _facts(fresh) == before:
        return fresh
    fresh.version += 1
    fresh.save()
    record("board.change", fresh.team, actor, ("board", str(fresh.uuid), fresh.title), before=before, after=_facts(fresh))  # fmt: skip
    _tell(fresh)
    return fresh


@transaction.atomic
def remove_board(board: Board, actor: User) -> None:
    """The board is gone; the team's own begins anew."""
    record("board.remove", board.team, actor, ("board", str(board.uuid), board.title), before=_facts(board))
    publish(f"team:{board.team.slug}", "board.deleted", f"board:{board.uuid}", {})
    board.delete()


def _facts(board: Board) -> dict[str, Any]:
    widgets = [" ".join((row["kind"], str(row["width"]), row["text"][:60])).strip() for row in board.widgets]
    return {"title": board.title, "shared": board.is_shared, "widgets": widgets}


def _title(text: str) -> str:
    title = text.strip()
    if not 1 <= len(title) <= 60 or not title.isprintable():
        raise BoardProblem(
            {
                "title": [
                    gettext("%(count)s characters were given; 1 to 60 printable ones are allowed")
                    % {"count": len(title)}
                ]
            }
        )
    return title


def live_board(board: Board) -> dict[str, Any]:
    """What the team's topic tells of a board: that it changed. What it holds is the board's own business."""
    return {"version": board.version}


def _tell(board: Board) -> None:
    publish(f"team:{board.team.slug}", "board.changed", f"board:{board.uuid}", live_board(board))
