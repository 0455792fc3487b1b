"""Around every request: an id for logs, audit and problems, where it came from, and when a session was last seen."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from portal.accounts.access import memberships_of
from portal.accounts.audit import Source, source
from portal.accounts.factors import missing
from portal.accounts.models import LogIn, User
from portal.accounts.reasons import reason_of

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,40}")
WITHOUT_FACTOR = {
    "account_reauthenticate", "language", "login", "logout", "password", "sessions", "session_end", "status_line",
}  # fmt: skip
SEEN_EVERY = timedelta(minutes=1)


class RequestContext:
    """Gives `X-Request-ID` (the caller's own when it is well formed) and notes the session's last use by the minute."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        token = source.set(
            Source(
                str(request.META.get("REMOTE_ADDR", ""))[:45],
                request_id,
                partial(_person, request),
                partial(reason_of, request),
            )
        )
        try:
            _note_use(request)
            response = self.get_response(request)
        finally:
            source.reset(token)
        response.headers["X-Request-ID"] = request_id
        return response


class LogInForPages(LoginRequiredMiddleware):
    """Every page asks for a log-in unless it says otherwise; the API answers 401 by itself, since it takes tokens too."""

    def process_view(self, request: HttpRequest, view_func: Any, view_args: Any, view_kwargs: Any) -> Any:
        if request.path.startswith("/api/v1/"):
            return None
        asked = super().process_view(request, view_func, view_args, view_kwargs)
        return asked or _to_second_factor(request)


def _to_second_factor(request: HttpRequest) -> HttpResponse | None:
    """Where somebody is sent who must have a second factor and has none: to the page that sets one up."""
    user, match = request.user, request.resolver_match
    name = (match.url_name if match else "") or ""
    if not isinstance(user, User) or name.startswith("mfa_") or name in WITHOUT_FACTOR:
        return None
    return redirect("mfa_index") if missing(user, memberships_of(request)) else None


def _person(request: HttpRequest) -> User | None:
    user = getattr(request, "user", None)  # an API token's person is known only inside of the view
    return user if isinstance(user, User) else None


def _note_use(request: HttpRequest) -> None:
    key = request.session.session_key
    if not key or "_auth_user_id" not in request.session:
        return
    now = timezone.now().timestamp()
    if now - float(request.session.get("seen", 0)) > SEEN_EVERY.total_seconds():
        request.session["seen"] = now
        LogIn.objects.filter(session_key=key).update(seen_at=timezone.now())
