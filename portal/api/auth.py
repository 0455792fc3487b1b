"""Who calls the API: a browser's session (with its CSRF token) or a personal token."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from ninja.security import HttpBearer

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
        return row.user
