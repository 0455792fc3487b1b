"""A team's people, the links into it, and where one is logged in, over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from ninja import Path, Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import memberships_of, require, team_for
from portal.accounts.models import Invitation, LogIn, Membership, Role, Team
from portal.accounts.sessions import end_session, live_sessions
from portal.accounts.teams import INVITATION_DAYS, add_member, change_role, end_invitation, invite, remove_member
from portal.accounts.views import person
from portal.api.names import Given
from portal.api.paging import Page, PageQuery, as_page, page_of

router = Router()
Number = Annotated[int, Path(ge=1, le=2**53 - 1)]
Username = Annotated[str, Path(max_length=150, pattern=r"^[\w.@+-]+$")]
Word = Annotated[str, Field(max_length=20, description=", ".join(Role.values))]
DAYS = " or ".join(str(number) for number in INVITATION_DAYS)


class MemberOut(Schema):
    username: str
    role: str


class MemberIn(Given):
    username: str = Field(max_length=200, description="of somebody who has a log-in; for others make an invitation")
    role: Word = Role.MEMBER


class MemberChange(Given):
    role: Word


class InvitationOut(Schema):
    id: int
    role: str
    created_by: str | None
    created_at: datetime
    expires_at: datetime


class InvitationMade(InvitationOut):
    """With the link, this once."""

    link: str


class InvitationIn(Given):
    role: Word = Role.MEMBER
    days: int = Field(7, ge=1, le=2**53 - 1, description=f"how long the link works: {DAYS} days")


class SessionOut(Schema):
    id: int
    address: str
    agent: str
    method: str
    created_at: datetime
    seen_at: datetime
    is_this: bool = Field(description="the one that this is asked by")


@router.get("/members", response=Page[MemberOut], summary="Who is in the team")
def list_members(request: HttpRequest, paging: Query[PageQuery]) -> Any:
    rows = _people(team_for(request, "team.see")).select_related("user")
    found, after = page_of(rows, paging)
    return as_page([_member(row) for row in found], after)


@router.post("/members", response={201: MemberOut}, summary="Take somebody who has a log-in into the team")
def post_member(request: HttpRequest, asked: MemberIn) -> Any:
    team = team_for(request, "team.manage")
    return Status(201, _member(add_member(team, person(request), asked.username, asked.role)))


@router.get("/members/{username}", response=MemberOut, summary="Somebody's role in the team")
def get_member(request: HttpRequest, username: Username) -> Any:
    return _member(_membership(request, "team.see", username))


@router.patch("/members/{username}", response=MemberOut, summary="Give a member another role")
def patch_member(request: HttpRequest, username: Username, asked: MemberChange) -> Any:
    row = _membership(request, "team.manage", username)
    change_role(row, person(request), asked.role)
    return {"username": row.user.username, "role": asked.role}


@router.delete("/members/{username}", response={204: None}, summary="Take a member out of the team")
def delete_member(request: HttpRequest, username: Username) -> Any:
    remove_member(_membership(request, "team.manage", username), person(request))
    return Status(204, None)


@router.delete("/me/teams/{slug}", response={204: None}, summary="Leave a team")
def leave_team(request: HttpRequest, slug: str) -> Any:
    team_for(request, "team.leave")  # who is in no team is told so
    row = next((row for row in memberships_of(request) if row.team.slug == slug), None)
    if row is None:
        raise Http404
    require(request, "team.leave", row.team)
    remove_member(row, person(request))
    return Status(204, None)


@router.get("/invitations", response=list[InvitationOut], summary="The links into the team that still work")
def list_invitations(request: HttpRequest) -> Any:
    team = team_for(request, "team.manage")
    rows = team.invitations.filter(used_at=None, expires_at__gt=timezone.now()).select_related("created_by")
    return [_invitation(row) for row in rows]


@router.post(
    "/invitations", response={201: InvitationMade}, summary="Make a link into the team; it is in this answer alone"
)
def post_invitation(request: HttpRequest, asked: InvitationIn) -> Any:
    row, secret = invite(team_for(request, "team.manage"), person(request), asked.role, asked.days)
    link = request.build_absolute_uri(reverse("invitation", args=[secret]))
    return Status(201, {**_invitation(row), "link": link})


@router.delete("/invitations/{number}", response={204: None}, summary="The link works no more")
def delete_invitation(request: HttpRequest, number: Number) -> Any:
    team = team_for(request, "team.manage")
    end_invitation(get_object_or_404(Invitation, pk=number, team=team, used_at=None), person(request))
    return Status(204, None)


@router.get("/me/sessions", response=list[SessionOut], summary="Where you are logged in")
def list_sessions(request: HttpRequest) -> Any:
    require(request, "person.see")
    here = request.session.session_key
    return [_session(row, here) for row in live_sessions(person(request))]


@router.delete("/me/sessions/{number}", response={204: None}, summary="Log out one of your sessions, wherever it is")
def delete_session(request: HttpRequest, number: Number) -> Any:
    require(request, "person.change")
    with transaction.atomic():
        end_session(get_object_or_404(LogIn, pk=number, user_id=request.user.pk), person(request))
    return Status(204, None)


def _people(team: Team) -> QuerySet[Membership]:
    """The team's people: a service account is no member here, it has operations of its own."""
    return Membership.objects.filter(team=team, user__service_of=None)


def _membership(request: HttpRequest, right: str, username: str) -> Membership:
    """A person's membership of the current team."""
    rows = _people(team_for(request, right)).select_related("user", "team")
    return get_object_or_404(rows, user__username=username)


def _member(row: Membership) -> dict[str, Any]:
    return {"username": row.user.username, "role": row.role}


def _invitation(row: Invitation) -> dict[str, Any]:
    by = row.created_by.username if row.created_by else None
    own = {name: getattr(row, name) for name in ("role", "created_at", "expires_at")}
    return {"id": row.pk, "created_by": by, **own}


def _session(row: LogIn, here: str | None) -> dict[str, Any]:
    own = {name: getattr(row, name) for name in ("address", "agent", "method", "created_at", "seen_at")}
    return {"id": row.pk, **own, "is_this": row.session_key == here}
