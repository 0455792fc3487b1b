"""Rights of a request, read from the table in `permissions`: the current team, and 404 for what is another team's."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.utils.translation import gettext

from portal.accounts.models import ApiToken, Membership, Team, User
from portal.accounts.permissions import RIGHTS, Needs, is_allowed, refusal_words
from portal.accounts.scopes import allows
from portal.accounts.scopes import refusal_words as scope_words
from portal.config.kept_query import KeptQuery

SESSION_KEY = "team"
_MEMBERSHIPS = KeptQuery(
    lambda user_id: Membership.objects.filter(user_id=user_id).select_related("team").order_by("team__name")
)
TEAM_HEADER = "Hopsight-Team"  # names the team of an API request that has no session


def memberships_of(request: HttpRequest) -> list[Membership]:
    """The person's memberships with their teams, read once per request."""
    cached: tuple[int, list[Membership]] | None = getattr(request, "_memberships", None)
    user_id = request.user.pk or 0
    if cached is None or cached[0] != user_id:
        rows = _MEMBERSHIPS(user_id)
        token = token_of(request)
        if token is not None and token.team_id is not None:
            rows = [row for row in rows if row.team_id == token.team_id]
        cached = (user_id, rows)
        request._memberships = cached  # type: ignore[attr-defined]
    return cached[1]


def token_of(request: HttpRequest) -> ApiToken | None:
    """The token that the request came with."""
    row: ApiToken | None = getattr(request, "api_token", None)
    return row


def current_team(request: HttpRequest) -> Team | None:
    """The header's team, else the session's, else the person's first one; None for a person without teams."""
    rows = memberships_of(request)
    named = request.headers.get(TEAM_HEADER)
    if named is not None:
        return next((row.team for row in rows if row.team.slug == named), None)
    wanted = request.session.get(SESSION_KEY)
    return next((row.team for row in rows if row.team.slug == wanted), rows[0].team if rows else None)


def active_team(request: HttpRequest) -> Team:
    """The current team; 404 for a header that names none of one's teams, 403 in words for a person without teams."""
    team = current_team(request)
    if team is None and request.headers.get(TEAM_HEADER) is not None:
        raise Http404
    if team is None:
        raise PermissionDenied(gettext("You are in no team yet: ask a team's owner to add you."))
    return team


def role_in(request: HttpRequest, team: Team) -> str | None:
    """The person's role in a team, or None."""
    return next((row.role for row in memberships_of(request) if row.team_id == team.pk), None)


def may(request: HttpRequest, right: str, team: Team | None = None) -> bool:
    """Whether the person has a right over an object of the team (or over no team's object)."""
    user = request.user
    role = role_in(request, team) if team else None
    token = token_of(request)
    if token is not None and not allows(token.scopes, right):
        return False
    operates = isinstance(user, User) and user.is_operator and (token is None or token.team_id is None)
    return isinstance(user, User) and is_allowed(right, role, operates)


def refusal(request: HttpRequest, right: str, team: Team | None = None) -> str:
    """Why the person lacks the right, for a disabled control; nothing when they have it."""
    if may(request, right, team):
        return ""
    token = token_of(request)
    if token is not None and not allows(token.scopes, right):
        return scope_words(token.name, token.scopes, right)
    return refusal_words(right, role_in(request, team) if team else None, team.name if team else "a team")


def require(request: HttpRequest, right: str, team: Team | None = None) -> None:
    """404 for strangers (a team's objects do not exist for them), 403 in words for too low a role."""
    if may(request, right, team):
        return
    if RIGHTS[right] != Needs.OPERATOR and (team is None or role_in(request, team) is None):
        raise Http404
    raise PermissionDenied(refusal(request, right, team))


def team_for(request: HttpRequest, right: str) -> Team:
    """The current team, in which the person has the right; 403 in words otherwise."""
    team = active_team(request)
    require(request, right, team)
    return team


def require_operator(request: HttpRequest) -> None:
    """403 in words for everybody but operators."""
    require(request, "host.see")


def can(request: HttpRequest, team: Team | None, right: str = "vm.create") -> bool:
    """Whether the person has a right in the team."""
    return may(request, right, team)
