"""Changes of teams: members, roles, invitation links. Each checks, stores and is audited in one transaction."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Invitation, Membership, Role, Team, User
from portal.live.events import rights_changed

INVITATION_DAYS = (1, 7, 30)


class TeamProblem(Exception):
    """The team cannot be changed so. `errors` holds field → sentences."""

    def __init__(self, field: str, words: str) -> None:
        super().__init__(words)
        self.errors = {field: [words]}

    @classmethod
    def of(cls, errors: dict[str, list[str]]) -> TeamProblem:
        """Several wrong fields at once."""
        found = cls("", "; ".join(line for lines in errors.values() for line in lines))
        found.errors = errors
        return found


def digest_of(secret: str) -> str:
    """What is kept of a secret that was shown once: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def add_member(team: Team, by: User, username: str, role: str) -> Membership:
    """The new membership. Raises TeamProblem for a name nobody has, or one that is in the team already."""
    checked = _checked_role(role)
    user = User.objects.filter(username=username.strip()[:150], service_of=None).first()
    if user is None:
        shown = username.strip()[:40] or "nothing"
        raise TeamProblem(
            "username",
            gettext("“%(shown)s” was given; nobody logs in by that name. Send them a link instead.") % {"shown": shown},
        )
    with transaction.atomic():
        row, made = Membership.objects.get_or_create(user=user, team=team, defaults={"role": checked})
        if not made:
            raise TeamProblem(
                "username",
                gettext("%(user)s is in %(team)s already, as %(role)s")
                % {"user": user.username, "team": team.name, "role": row.role},
            )
        record("member.add", team, by, ("user", str(user.pk), user.username), after={"role": checked})
        return row


def change_role(row: Membership, by: User, role: str) -> None:
    """Another role. Raises TeamProblem when the team would be without an owner."""
    checked = _checked_role(role)
    with transaction.atomic():
        _lock_and_keep_an_owner(row, checked)
        before = row.role
        if before == checked:
            return
        Membership.objects.filter(pk=row.pk).update(role=checked)
        what = ("user", str(row.user_id), row.user.username)
        record("member.role", row.team, by, what, before={"role": before}, after={"role": checked})
        rights_changed(row.user_id)


def remove_member(row: Membership, by: User) -> None:
    """The membership is gone. Raises TeamProblem for the last owner."""
    with transaction.atomic():
        _lock_and_keep_an_owner(row, None)
        action = "member.leave" if row.user_id == by.pk else "member.remove"
        record(action, row.team, by, ("user", str(row.user_id), row.user.username), before={"role": row.role})
        rights_changed(row.user_id)
        row.delete()


def invite(team: Team, by: User, role: str, days: int) -> tuple[Invitation, str]:
    """The invitation and its secret, which nobody can read again."""
    checked = _checked_role(role)
    if days not in INVITATION_DAYS:
        allowed = ", ".join(str(number) for number in INVITATION_DAYS)
        raise TeamProblem(
            "days", gettext("%(days)s days were given; %(allowed)s are allowed") % {"days": days, "allowed": allowed}
        )
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        expires_at = timezone.now() + timedelta(days=days)
        row = Invitation.objects.create(
            team=team, role=checked, digest=digest_of(secret), created_by=by, expires_at=expires_at
        )
        record("invitation.create", team, by, ("invitation", str(row.pk), checked), after={"days": days})
    return row, secret


def end_invitation(row: Invitation, by: User) -> None:
    """The link works no more."""
    with transaction.atomic():
        record("invitation.end", row.team, by, ("invitation", str(row.pk), row.role))
        row.delete()


def open_invitation(secret: str) -> Invitation | None:
    """The invitation of a link that still works."""
    rows = Invitation.objects.filter(digest=digest_of(secret), used_at=None, expires_at__gt=timezone.now())
    return rows.select_related("team", "created_by").first()


def accept(secret: str, user: User) -> Team:
    """The team that the person is in now; a link works once. Raises TeamProblem."""
    with transaction.atomic():
        row = open_invitation(secret)
        if row is None:
            raise TeamProblem("link", gettext("This link was used, ended or is too old: ask for a new one."))
        claimed = Invitation.objects.filter(pk=row.pk, used_at=None).update(used_at=timezone.now(), used_by=user)
        if not claimed:
            raise TeamProblem("link", gettext("This link was used a moment ago: ask for a new one."))
        try:
            with transaction.atomic():
                Membership.objects.create(user=user, team=row.team, role=row.role)
        except IntegrityError:
            raise TeamProblem("link", gettext("You are in %(team)s already.") % {"team": row.team.name}) from None
        record("member.join", row.team, user, ("user", str(user.pk), row.role), after={"role": row.role})
        return row.team


def _checked_role(role: str) -> str:
    if role not in Role.values:
        raise TeamProblem(
            "role",
            gettext("“%(role)s” was given; %(values)s are allowed")
            % {"role": role[:40], "values": ", ".join(Role.values)},
        )
    return role


def _lock_and_keep_an_owner(row: Membership, role: str | None) -> None:
    Team.objects.select_for_update(no_key=True).get(pk=row.team_id)
    people = Membership.objects.filter(team_id=row.team_id, role=Role.OWNER, user__service_of=None)
    others = people.exclude(pk=row.pk)
    if row.user.service_of_id is None and row.role == Role.OWNER and role != Role.OWNER and not others.exists():
        words = gettext("%(user)s is the last owner of %(team)s: make somebody else an owner first.") % {
            "user": row.user.username,
            "team": row.team.name,
        }
        raise TeamProblem("role", words)
