"""Personal API tokens: made once, shown once, found by their hash."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from portal.accounts.audit import record
from portal.accounts.models import ApiToken, User
from portal.accounts.teams import TeamProblem, digest_of
from portal.live.events import rights_changed

PREFIX = "hst_"
TOKEN_DAYS = (7, 30, 90, 365)
MAX_TOKENS = 50
USED_EVERY = timedelta(minutes=1)


def make_token(user: User, name: str, can_write: bool, days: int) -> tuple[ApiToken, str]:
    """The row and the secret, which nobody can read again. Raises TeamProblem."""
    label = name.strip()
    if not 1 <= len(label) <= 60:
        raise TeamProblem("name", f"{len(label)} characters were given; 1 to 60 are allowed")
    if days not in TOKEN_DAYS:
        allowed = ", ".join(str(number) for number in TOKEN_DAYS)
        raise TeamProblem("days", f"{days} days were given; {allowed} are allowed")
    if user.tokens.count() >= MAX_TOKENS:
        raise TeamProblem("name", f"you have {MAX_TOKENS} tokens, which is the most: delete one first")
    secret = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        row = ApiToken.objects.create(
            user=user, name=label, digest=digest_of(secret), hint=secret[:8], can_write=can_write,
            expires_at=timezone.now() + timedelta(days=days),
        )  # fmt: skip
        scope = "read and write" if can_write else "read"
        record("token.create", None, user, ("token", str(row.pk), label), after={"scope": scope, "days": days})
    return row, secret


def token_of(secret: str) -> ApiToken | None:
    """The working token of a secret, its last use noted (to the minute)."""
    now = timezone.now()
    rows = ApiToken.objects.filter(digest=digest_of(secret), expires_at__gt=now, user__is_active=True)
    row = rows.select_related("user").first()
    if row is not None and (row.last_used_at is None or now - row.last_used_at > USED_EVERY):
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
    return row


def delete_token(row: ApiToken) -> None:
    """It works no more."""
    with transaction.atomic():
        rights_changed(row.user_id)
        record("token.delete", None, row.user, ("token", str(row.pk), row.name))
        row.delete()
