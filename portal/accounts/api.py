"""Who one is, over REST, and how a program gets its token by its person's browser."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import Path, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import memberships_of, require
from portal.accounts.device import INTERVAL_S, LIFE_S, ask, fetch
from portal.accounts.factors import change_policy, policy
from portal.accounts.keys import KeyProblem
from portal.accounts.models import ApiToken, Team
from portal.accounts.scopes import ALL, READ
from portal.accounts.settings import change_settings, setting_problems
from portal.accounts.teams import TeamProblem
from portal.accounts.tokens import delete_token
from portal.accounts.views import add_key, person, remove_key
from portal.api.names import Given
from portal.api.problems import FieldProblem
from portal.compute.models import KeyPair

router = Router()
PlainText = Annotated[str, Field(max_length=60)]
Number = Annotated[int, Path(ge=1, le=2**53 - 1)]


class TeamOut(Schema):
    slug: str
    name: str
    role: str


class TokenOut(Schema):
    """The token that the request was sent with; `team` is the only one it works in."""

    name: str
    can_write: bool
    scopes: list[str]
    team: str | None = Field(None, alias="team.slug")
    expires_at: datetime


class MeOut(Schema):
    """`language` and `time_zone` are the account's choices, which its pages follow; "" follows the browser."""

    username: str
    is_operator: bool
    language: str
    time_zone: str
    teams: list[TeamOut]
    token: TokenOut | None


class MeIn(Given):
    """What is not given stays as it is."""

    language: PlainText | None = Field(None, description="a code as en or ru; “” for what the browser asks for")
    time_zone: PlainText | None = Field(None, description="an IANA name as Europe/Berlin; “” for the browser's")


class PolicyIn(Given):
    operators: bool | None = Field(None, description="of every operator; none given: as it is")
    teams: list[PlainText] | None = Field(None, max_length=1000, description="slugs of the teams; none given: as it is")


class PolicyOut(Schema):
    operators: bool
    teams: list[str]


class LogInAsked(Given):
    name: str = Field("hopsight", description="what the program calls itself; the person is shown it")
    can_write: bool = Field(True, description="false: it asks to read alone; scopes say it more finely")
    scopes: list[PlainText] | None = Field(None, max_length=20, description="what it asks to do; none given: all")


class LogInCodes(Schema):
    """`code` is for the person, who types it on `page`; `device_code` is the program's own, to fetch the token with."""

    device_code: str
    code: str
    page: str
    expires_s: int
    interval_s: int


class LogInFetch(Given):
    device_code: str = Field(max_length=100)


class LogInOut(Schema):
    """`state` is pending, agreed, denied or expired; with agreed comes the token, this once."""

    state: str
    token: str | None
    username: str | None


class KeyIn(Given):
    name: str = Field("", max_length=200, description="none given: the key's own comment")
    public_key: str = Field(max_length=20_000, description="one line, as ~/.ssh/id_ed25519.pub has it")


class KeyOut(Schema):
    id: int
    name: str
    fingerprint: str
    public_key: str


@router.get("/me", response=MeOut, summary="Who you are, your teams, and the token you came with")
def me(request: HttpRequest) -> Any:
    require(request, "person.see")
    return _told(request)


@router.patch("/me", response=MeOut, summary="Choose the language and the time zone that pages speak to you in")
def change_me(request: HttpRequest, asked: MeIn) -> Any:
    require(request, "person.change")
    wanted = asked.model_dump(exclude_none=True)
    if problems := setting_problems(wanted):
        raise TeamProblem.of(problems)
    change_settings(person(request), wanted)
    return _told(request)


def _told(request: HttpRequest) -> dict[str, Any]:
    user = person(request)
    teams = [{"slug": row.team.slug, "name": row.team.name, "role": row.role} for row in memberships_of(request)]
    own = {name: getattr(user, name) for name in ("username", "is_operator", "language", "time_zone")}
    return {**own, "teams": teams, "token": getattr(request, "api_token", None)}


@router.delete("/me/token", response={204: None}, summary="End the token that this is sent with")
def end_token(request: HttpRequest) -> Any:
    require(request, "token.end")
    token: ApiToken | None = getattr(request, "api_token", None)
    if token is not None:
        delete_token(token)
    return Status(204, None)


@router.get("/access-policy", response=PolicyOut, summary="Of whom a second factor is asked")
def get_policy(request: HttpRequest) -> Any:
    require(request, "policy.manage")
    slugs = Team.objects.filter(needs_second_factor=True).order_by("slug").values_list("slug", flat=True)
    return {"operators": policy().operators_need_second_factor, "teams": list(slugs)}


@router.put("/access-policy", response=PolicyOut, summary="Ask a second factor of operators, or of whole teams")
def put_policy(request: HttpRequest, asked: PolicyIn) -> Any:
    require(request, "policy.manage")
    change_policy(person(request), asked.operators, asked.teams)
    return get_policy(request)


@router.get("/keys", response=list[KeyOut], summary="Your SSH keys")
def list_keys(request: HttpRequest) -> Any:
    require(request, "person.see")
    return list(person(request).keys.order_by("id"))


@router.post("/keys", response={201: KeyOut}, summary="Add an SSH key; one that is there is given back")
def post_key(request: HttpRequest, asked: KeyIn) -> Any:
    require(request, "person.change")
    try:
        return Status(201, add_key(person(request), asked.name, asked.public_key))
    except KeyProblem as problem:
        raise FieldProblem("public_key", str(problem)) from None


@router.delete("/keys/{number}", response={204: None}, summary="Forget an SSH key; VMs made with it keep their copy")
def delete_key(request: HttpRequest, number: Number) -> Any:
    require(request, "person.change")
    remove_key(get_object_or_404(KeyPair, pk=number, user=person(request)), person(request))
    return Status(204, None)


@router.post("/log-ins", response={201: LogInCodes}, auth=None, summary="Ask for a token by a person's browser")
def post_log_in(request: HttpRequest, asked: LogInAsked) -> Any:
    address = str(request.META.get("REMOTE_ADDR", ""))[:45]
    scopes = tuple(asked.scopes) if asked.scopes is not None else (ALL,) if asked.can_write else (READ,)
    long_code, waiting = ask(asked.name, address, scopes)
    page = f"{request.build_absolute_uri(reverse('device'))}?code={waiting.code}"
    codes = {"device_code": long_code, "code": waiting.code, "page": page}
    return Status(201, {**codes, "expires_s": LIFE_S, "interval_s": INTERVAL_S})


@router.post("/log-ins/token", response=LogInOut, auth=None, summary="Fetch the token once the person has agreed")
def fetch_token(request: HttpRequest, asked: LogInFetch) -> Any:
    state, token, user = fetch(asked.device_code)
    return {"state": state, "token": token or None, "username": user.username if user else None}
