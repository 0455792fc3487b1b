"""Who calls the API: a browser's session (with its CSRF token) or a personal token."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from ninja.security import HttpBearer, SessionAuth

from portal.accounts.access import memberships_of
from portal.accounts.factors import missing
from portal.accounts.models import User
from portal.accounts.tokens import token_of

READING = ("GET", "HEAD", "OPTIONS")


class TokenAuth(HttpBearer):
    """`Authorization: Bearer hst_…`: the request is the token's person's; a reading token changes nothing."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        row = token_of(token)
        if row is None:
            return None
        if not row.can_write and request.method not in READING:
            raise PermissionDenied(f"the token {row.name} may only read: make one that may write")
        request.user = row.user
        request.api_token = row  # type: ignore[attr-defined]
        _need_factor(request, row.user)
        return row.user


class PersonAuth(SessionAuth):
    """A browser's session, with its CSRF token on what changes something."""

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        user = super().authenticate(request, key)
        if isinstance(user, User):
            _need_factor(request, user)
        return user


def _need_factor(request: HttpRequest, user: User) -> None:
    if words := missing(user, memberships_of(request)):
        raise PermissionDenied(words)
