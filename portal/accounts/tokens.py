"""API tokens of people and service accounts: made once, shown once, found by their hash."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import ApiToken, Team, User
from portal.accounts.scopes import ALL, READ, WORDS, covers
from portal.accounts.teams import TeamProblem, digest_of
from portal.live.events import rights_changed

PREFIX = "hst_"
TOKEN_DAYS = (7, 30, 90, 365)
MAX_TOKENS = 50
USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class TokenSpec:
    """What is asked for: the team is the only one it works in."""

    name: str
    scopes: tuple[str, ...]
    days: int
    team: Team | None = None


def make_token(user: User, name: str, can_write: bool, days: int) -> tuple[ApiToken, str]:
    """A token that may do everything its person may, or only read, in all of their teams."""
    return make_scoped(user, TokenSpec(name, (ALL,) if can_write else (READ,), days), user)


def make_scoped(user: User, spec: TokenSpec, by: User, held: Sequence[str] = (ALL,)) -> tuple[ApiToken, str]:
    """The row and the secret, which nobody can read again; `held` are the scopes of who asks. Raises TeamProblem."""
    label, days = spec.name.strip(), spec.days
    if errors := token_problems(user, spec, held):
        raise TeamProblem.of(errors)
    scopes = [ALL] if ALL in spec.scopes else [scope for scope in WORDS if scope in {READ, *spec.scopes}]
    secret = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        row = ApiToken.objects.create(
            user=user, name=label, digest=digest_of(secret), hint=secret[:8], scopes=scopes,
            team=spec.team, expires_at=timezone.now() + timedelta(days=days),
        )  # fmt: skip
        after = {"scopes": scopes, "days": days, **({"team": spec.team.slug} if spec.team else {})}
        record("token.create", user.service_of, by, ("token", str(row.pk), _named(row)), after=after)
    return row, secret


def token_problems(user: User, spec: TokenSpec, held: Sequence[str] = (ALL,)) -> dict[str, list[str]]:
    """Field → sentences: all that stands in the way of a token of the user's, asked for by who has the scopes `held`."""
    errors: dict[str, list[str]] = {}
    if not 1 <= (count := len(spec.name.strip())) <= 60:
        errors["name"] = [gettext("%(count)s characters were given; 1 to 60 are allowed") % {"count": count}]
    elif user.tokens.count() >= MAX_TOKENS:
        words = gettext("you have %(max_tokens)s tokens, which is the most: delete one first")
        errors["name"] = [words % {"max_tokens": MAX_TOKENS}]
    if spec.days not in TOKEN_DAYS:
        allowed = {"days": spec.days, "allowed": ", ".join(str(number) for number in TOKEN_DAYS)}
        errors["days"] = [gettext("%(days)s days were given; %(allowed)s are allowed") % allowed]
    if words := _scopes_refusal(spec.scopes, held):
        errors["scopes"] = [words]
    if spec.team is not None and not user.memberships.filter(team=spec.team).exists():
        words = gettext("“%(slug)s” was given; it is none of the teams that the token's holder is in")
        errors["team"] = [words % {"slug": spec.team.slug}]
    return errors


def _scopes_refusal(asked: Sequence[str], held: Sequence[str]) -> str:
    if unknown := [scope for scope in asked if scope not in WORDS]:
        told = {"unknown": unknown[0][:40], "words": ", ".join(WORDS)}
        return gettext("“%(unknown)s” was given; %(words)s are allowed") % told
    if not covers(held, asked):
        words = gettext("the token that asks has only %(held)s: it hands out no more than it has")
        return words % {"held": ", ".join(held)}
    return ""


def _named(row: ApiToken) -> str:
    return f"{row.name} of {row.user.username}" if row.user.service_of_id else row.name


def token_of(secret: str) -> ApiToken | None:
    """The working token of a secret, its last use noted (to the minute)."""
    now = timezone.now()
    rows = ApiToken.objects.filter(digest=digest_of(secret), expires_at__gt=now, user__is_active=True)
    row = rows.select_related("user").first()
    if row is not None and (row.last_used_at is None or now - row.last_used_at > USED_EVERY):
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
    return row


def delete_token(row: ApiToken, by: User | None = None) -> None:
    """It works no more."""
    with transaction.atomic():
        rights_changed(row.user_id)
        record("token.delete", row.user.service_of, by or row.user, ("token", str(row.pk), _named(row)))
        row.delete()
