"""Tokens and service accounts over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Path, Query, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import memberships_of, require, team_for, token_of
from portal.accounts.models import ApiToken, Membership, Team, User
from portal.accounts.scopes import ALL, READ, WORDS
from portal.accounts.services import change_service_role, create_service, delete_service
from portal.accounts.teams import TeamProblem
from portal.accounts.tokens import TokenSpec, delete_token, make_scoped, token_problems
from portal.accounts.views import person
from portal.api.names import Given

router = Router()
MAX_NUMBER = 2**53 - 1
Number = Annotated[int, Path(ge=1, le=MAX_NUMBER)]
Word = Annotated[str, Field(max_length=60)]
SCOPES = "; ".join(f"{name}: {words}" for name, words in WORDS.items())


class TokenRow(Schema):
    id: int
    name: str
    hint: str
    scopes: list[str]
    team: str | None = Field(None, alias="team.slug", description="the only team it works in")
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


class TokenIn(Given):
    name: str = Field(max_length=200)
    scopes: list[Word] = Field([READ], max_length=20, description=SCOPES)
    days: int = Field(30, ge=1, le=MAX_NUMBER, description="how long it works: 7, 30, 90 or 365 days")
    team: Word | None = Field(None, description="slug of the only team it works in; none given: all of yours")
    service: int | None = Field(None, ge=1, le=MAX_NUMBER, description="the service account it is for; none given: you")


class TokenMade(TokenRow):
    """With the secret, this once."""

    secret: str


class ServiceRow(Schema):
    id: int
    name: str
    role: str
    tokens: int


class ServiceIn(Given):
    name: str = Field(max_length=200)
    role: Word = "member"


class RoleIn(Given):
    role: Word


@router.get("/tokens", response=list[TokenRow], summary="Your tokens, or those of a service account of the team")
def list_tokens(
    request: HttpRequest,
    service: Annotated[int | None, Query(ge=1, le=MAX_NUMBER, description="a service account's id")] = None,
) -> Any:
    require(request, "person.see")
    user = person(request) if service is None else _service(request, service, "service.see")
    return list(user.tokens.select_related("team"))


@router.post("/tokens", response={201: TokenMade}, summary="Make a token; its secret is in this answer alone")
def post_token(request: HttpRequest, asked: TokenIn) -> Any:
    require(request, "person.change")
    user = person(request) if asked.service is None else _service(request, asked.service, "service.manage")
    held = token_of(request)
    scopes = held.scopes if held else (ALL,)
    try:
        team = _team(request, asked.team)
    except TeamProblem as problem:
        rest = token_problems(user, TokenSpec(asked.name, tuple(asked.scopes), asked.days), scopes)
        raise TeamProblem.of({**rest, **problem.errors}) from None
    if held is not None and held.team_id is not None:
        team = team or held.team  # who works in one team hands out no more
    spec = TokenSpec(asked.name, tuple(asked.scopes), asked.days, team)
    row, secret = make_scoped(user, spec, person(request), scopes)
    row.secret = secret  # type: ignore[attr-defined]  # of this answer alone
    return Status(201, row)


@router.delete("/tokens/{number}", response={204: None}, summary="End a token of yours or of a service account")
def remove_token(request: HttpRequest, number: Number) -> Any:
    require(request, "person.change")
    row = get_object_or_404(ApiToken.objects.select_related("user__service_of"), pk=number)
    if row.user_id != person(request).pk:
        _service(request, row.user_id, "service.manage")
    delete_token(row, person(request))
    return Status(204, None)


@router.get("/service-accounts", response=list[ServiceRow], summary="The team's service accounts")
def list_services(request: HttpRequest) -> Any:
    team = team_for(request, "service.see")
    rows = Membership.objects.filter(team=team, user__service_of=team).select_related("user").order_by("user__username")
    return [_row(row) for row in rows.prefetch_related("user__tokens")]


@router.post(
    "/service-accounts", response={201: ServiceRow}, summary="Make a service account: a role and tokens, no log-in"
)
def post_service(request: HttpRequest, asked: ServiceIn) -> Any:
    team = team_for(request, "service.manage")
    user = create_service(team, person(request), asked.name, asked.role)
    return Status(201, _row(user.memberships.get()))


@router.get("/service-accounts/{number}", response=ServiceRow, summary="One service account")
def get_service(request: HttpRequest, number: Number) -> Any:
    return _row(_service(request, number, "service.see").memberships.get())


@router.patch("/service-accounts/{number}", response=ServiceRow, summary="Give a service account another role")
def patch_service(request: HttpRequest, number: Number, asked: RoleIn) -> Any:
    user = _service(request, number, "service.manage")
    change_service_role(user, person(request), asked.role)
    return _row(user.memberships.get())


@router.delete("/service-accounts/{number}", response={204: None}, summary="Delete a service account and its tokens")
def remove_service(request: HttpRequest, number: Number) -> Any:
    delete_service(_service(request, number, "service.manage"), person(request))
    return Status(204, None)


def _service(request: HttpRequest, number: int, right: str) -> User:
    team = team_for(request, "service.see")
    user = get_object_or_404(User.objects.select_related("service_of"), pk=number, service_of=team)
    require(request, right, team)
    return user


def _team(request: HttpRequest, slug: str | None) -> Team | None:
    if slug is None:
        return None
    found = next((row.team for row in memberships_of(request) if row.team.slug == slug), None)
    if found is None:
        raise TeamProblem("team", f"“{slug}” was given; it is none of your teams")
    return found


def _row(row: Membership) -> dict[str, Any]:
    return {"id": row.user_id, "name": row.user.username, "role": row.role, "tokens": len(row.user.tokens.all())}
