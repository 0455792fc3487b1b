"""Who may do what: the ranks of roles as data, the current team of a session, and 404 for what is another team's."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from portal.accounts.models import Membership, Role, Team, User

RANK: dict[str, int] = {Role.VIEWER: 0, Role.MEMBER: 1, Role.OWNER: 2}
SESSION_KEY = "team"


def memberships_of(request: HttpRequest) -> list[Membership]:
    """The person's memberships with their teams, read once per request."""
    cached: list[Membership] | None = getattr(request, "_memberships", None)
    if cached is None:
        rows = Membership.objects.filter(user_id=request.user.pk or 0).select_related("team").order_by("team__name")
        cached = list(rows)
        request._memberships = cached  # type: ignore[attr-defined]
    return cached


def current_team(request: HttpRequest) -> Team | None:
    """The session's team, else the person's first one; None for a person without teams."""
    rows = memberships_of(request)
    wanted = request.session.get(SESSION_KEY)
    return next((row.team for row in rows if row.team.slug == wanted), rows[0].team if rows else None)


def active_team(request: HttpRequest) -> Team:
    """The current team; 403 in words for a person without teams."""
    team = current_team(request)
    if team is None:
        raise PermissionDenied("You are in no team yet: ask a team's owner to add you.")
    return team


def role_in(request: HttpRequest, team: Team) -> str | None:
    """The person's role in a team, or None."""
    return next((row.role for row in memberships_of(request) if row.team_id == team.pk), None)


def require_role(request: HttpRequest, team: Team, role: str) -> None:
    """404 for strangers (a team's objects do not exist for them), 403 in words for too low a role."""
    held = role_in(request, team)
    if held is None:
        raise Http404
    if RANK[held] < RANK[role]:
        raise PermissionDenied(
            f"You are a {held} of {team.name}; this needs the role {role}. Ask an owner of the team."
        )


def can(request: HttpRequest, team: Team | None, role: str = Role.MEMBER) -> bool:
    """Whether the person has at least this role in the team."""
    held = role_in(request, team) if team else None
    return held is not None and RANK[held] >= RANK[role]


def team_of(request: HttpRequest, team: Team) -> Team:
    """The team of an object the person asked for; 404 unless they belong to it."""
    require_role(request, team, Role.VIEWER)
    return team


def require_operator(request: HttpRequest) -> None:
    """403 in words for everybody but operators."""
    user = request.user
    if not isinstance(user, User) or not user.is_operator:
        raise PermissionDenied("Hosts are for operators: ask one to look, or to make you one.")
