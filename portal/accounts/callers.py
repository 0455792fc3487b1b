"""What a socket or a stream was opened with: a browser's session or an API token, and whether that still works.

A key is one text for either (`token:7`, or the session's own key), so that what is bound to it (a console's ticket, an open
console) needs to know only this module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from channels.db import database_sync_to_async
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils import timezone

from portal.accounts.models import ApiToken
from portal.accounts.scopes import allows
from portal.accounts.tokens import token_of

TOKEN_KEY = "token:"
Application = Callable[[dict[str, Any], Any, Any], Awaitable[Any]]


def key_of_token(row: ApiToken) -> str:
    """The key of what is opened with a token."""
    return f"{TOKEN_KEY}{row.pk}"


def key_of_request(request: HttpRequest) -> str:
    """The key of a request's token, else of its session."""
    row: ApiToken | None = getattr(request, "api_token", None)
    return key_of_token(row) if row is not None else request.session.session_key or ""


def key_of_scope(scope: dict[str, Any]) -> str:
    """The key of a socket."""
    found: str = scope.get("token_key") or scope["session"].session_key or ""
    return found


def is_live(key: str, user_id: int, right: str = "status.see") -> bool:
    """Whether the session still is, or the token still works, with the scope of the right."""
    number = key.removeprefix(TOKEN_KEY)
    if number == key:
        return bool(import_module(settings.SESSION_ENGINE).SessionStore().exists(key))
    rows = ApiToken.objects.filter(user_id=user_id, expires_at__gt=timezone.now())
    row = rows.filter(pk=int(number)).first() if number.isdecimal() else None
    return row is not None and allows(row.scopes, right)


def team_limit(key: str) -> int | None:
    """The one team that a token works in; None for what works in all."""
    number = key.removeprefix(TOKEN_KEY)
    if number == key or not number.isdecimal():
        return None
    return ApiToken.objects.filter(pk=int(number)).values_list("team_id", flat=True).first()


class OriginOfPages:
    """ASGI middleware, outermost: a page's socket must come from this site. What has a token and no Origin is no page: each browser sends one."""

    def __init__(self, inner: Application) -> None:
        self._inner, self._checked = inner, AllowedHostsOriginValidator(inner)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        headers = dict(scope["headers"])
        is_program = b"origin" not in headers and headers.get(b"authorization", b"").lower().startswith(b"bearer ")
        return await (self._inner if is_program else self._checked)(scope, receive, send)


class TokensOnSockets:
    """ASGI middleware, inside the session's: `Authorization: Bearer hst_…` of a handshake makes it the token's person.

    No browser lets a page set that header on a WebSocket, so another site's page can do nothing by it.
    """

    def __init__(self, inner: Application) -> None:
        self._inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        words = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").split()
        if len(words) == 2 and words[0].lower() == "bearer":
            row = await database_sync_to_async(token_of)(words[1])
            scope = {
                **scope,
                "user": row.user if row else AnonymousUser(),
                "token_key": key_of_token(row) if row else "-",
                "api_token": row,
            }
        return await self._inner(scope, receive, send)
