"""Who calls the API: a browser's session (with its CSRF token) or a personal token."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from ninja.security import HttpBearer, SessionAuth

from portal.accounts.access import memberships_of
from portal.accounts.factors import missing
from portal.accounts.models import User
from portal.accounts.scopes import allows, refusal_words, right_of
from portal.accounts.tokens import token_of


class TokenAuth(HttpBearer):
    """`Authorization: Bearer hst_…`: the request is the token's person's; what its scopes do not hold is refused."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        row = token_of(token)
        if row is None:
            return None
        match = request.resolver_match
        right = right_of(request.method or "", match.route) if match else None
        if right is not None and not allows(row.scopes, right):
            raise PermissionDenied(refusal_words(row.name, row.scopes, right))
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
