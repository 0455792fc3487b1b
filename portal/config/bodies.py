"""How large a request's body may be and how long it may take, looked at while it arrives: before it is kept anywhere.

Django reads a body to its end before it asks anybody, and goes by `Content-Length`, which a chunked body has not. Here what
is too much or too slow is cut off as it comes; the request then goes on without a body, so that the refusal is said by the
page's or the API's own answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext

MIB = 1 << 20
MAX_BODY_BYTES = 256 * 1024  # of what the API is sent
MAX_CHUNK_BYTES = 4 * MIB  # of an image that is uploaded
MAX_FORM_BYTES = 2 * MIB + MIB // 2  # Django's own bound of a form without files
FORM_AROUND_FILE_BYTES = MIB
GRACE_S, LEAST_BYTES_S = 30.0, 8 * 1024  # a body may stand still so long; on the whole it comes as fast as that
LINGER_BYTES, LINGER_S = 64 * MIB, 5.0  # thrown away before the answer: who still writes would not read it
CHUNKS = re.compile(r"/api/v1/image-imports/[0-9a-f-]{36}/bytes")
TOO_LARGE, TOO_SLOW = 413, 408
REFUSED = "hopsight.body_refused"  # of an ASGI scope: the status

Receive = Callable[[], Awaitable[Any]]


def bounded(scope: dict[str, Any], receive: Receive) -> Receive:
    """`receive` with the bounds of the scope's path; as it is where no body is announced, so that a GET costs no more."""
    is_announced = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
    return BoundedBody(scope, receive) if is_announced else receive


def most_bytes(path: str) -> int:
    """The most that a request to this path may bring."""
    if CHUNKS.fullmatch(path):
        return MAX_CHUNK_BYTES
    if path.startswith("/api/"):
        return MAX_BODY_BYTES
    if path == "/bundles/":
        return int(settings.BUNDLE_MAX_MIB) * MIB + FORM_AROUND_FILE_BYTES
    return MAX_FORM_BYTES


def refused_status(request: HttpRequest) -> int | None:
    """413 or 408 when the request came without its body because of what that was; else None."""
    status = getattr(request, "scope", {}).get(REFUSED)
    if status is None and int(request.META.get("CONTENT_LENGTH") or 0) > most_bytes(request.path):
        return TOO_LARGE
    return status


def refusal_words(request: HttpRequest, status: int) -> str:
    """Why, as a sentence for who sent it."""
    if status == TOO_LARGE:
        return gettext("The body is too large; at most %(most)s bytes are allowed") % {"most": most_bytes(request.path)}
    return gettext("The body came too slowly: at least %(rate)s bytes a second are expected, after %(grace)s s") % {
        "rate": LEAST_BYTES_S,
        "grace": int(GRACE_S),
    }


class BoundedBody:
    """An ASGI `receive` that ends a body which is too much or too slow, and notes it in the scope."""

    def __init__(self, scope: dict[str, Any], receive: Receive) -> None:
        self._scope, self._receive = scope, receive
        self._most = most_bytes(scope["path"])
        self._taken, self._is_whole, self._began = 0, False, time.monotonic()

    async def __call__(self) -> Any:
        if self._is_whole:
            return await self._gone()
        if self._declared() > self._most:
            return await self._refuse(TOO_LARGE)
        left_s = self._began + GRACE_S + self._taken / LEAST_BYTES_S - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, left_s))
        except TimeoutError:
            return await self._refuse(TOO_SLOW)
        self._taken += len(message.get("body", b""))
        if self._taken > self._most:
            return await self._refuse(TOO_LARGE, message.get("more_body", False))
        self._is_whole = not message.get("more_body", False)
        return message

    def _declared(self) -> int:
        lengths = [value for name, value in self._scope["headers"] if name == b"content-length"]
        return int(lengths[0]) if lengths and lengths[0].isdigit() else 0

    async def _refuse(self, status: int, more: bool = True) -> Any:
        self._scope[REFUSED], self._is_whole = status, True
        if status == TOO_LARGE and more:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._linger(), LINGER_S)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _linger(self) -> None:
        thrown = 0
        while thrown < LINGER_BYTES:
            message = await self._receive()
            thrown += len(message.get("body", b""))
            if not message.get("more_body", False):
                return

    async def _gone(self) -> Any:
        """The client's going: what else of a refused body comes is not for anybody."""
        while (message := await self._receive())["type"] == "http.request":
            pass
        return message


class RefusedBodies:
    """Pages say in their own look that a body was refused; of the API's own answers see portal/api/middleware.py."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.next = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        status = refused_status(request)
        if status is None:
            return self.next(request)
        answer = self.next(request) if request.path.startswith("/api/") else self._page(request, status)
        answer.headers["Connection"] = "close"
        return answer

    def _page(self, request: HttpRequest, status: int) -> HttpResponse:
        return render(request, "body_refused.html", {"words": refusal_words(request, status)}, status=status)
