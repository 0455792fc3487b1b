"""The web process's own way to the views: one thread hop, and the same answers as Django's handler gives."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from portal.config.one_hop import OneHopHandler

SEEN: list[str] = []


def seen(request: HttpRequest) -> HttpResponse:
    SEEN.append(threading.current_thread().name)
    return HttpResponse(f"{request.method} {request.path}", status=418)


urlpatterns = [path("seen/", seen)]


async def ask(handler: OneHopHandler) -> list[dict[str, Any]]:
    """What the server would be sent for one GET."""
    sent: list[dict[str, Any]] = []
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in asked:
            return message
        await asyncio.get_running_loop().create_future()  # the client stays
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/seen/", "query_string": b"", "headers": [(b"host", b"localhost")]}  # fmt: skip
    await handler(scope, receive, send)
    return sent


@pytest.mark.django_db  # Django's signals look after the connections of their thread
@override_settings(ROOT_URLCONF="tests.portal.test_one_hop", MIDDLEWARE=["django.middleware.common.CommonMiddleware"])
def test_a_request_is_answered_on_one_of_the_warm_threads() -> None:
    async def twice() -> list[list[dict[str, Any]]]:
        handler = OneHopHandler()
        return [await ask(handler) for _ in range(2)]

    for start, body in asyncio.run(twice()):
        assert start["status"] == 418
        assert body["body"] == b"GET /seen/"
    assert {name.rsplit("_", 1)[0] for name in SEEN} == {"web"}


@override_settings(ROOT_URLCONF="tests.portal.test_one_hop", MIDDLEWARE=[])
def test_what_is_no_http_is_refused() -> None:
    with pytest.raises(ValueError, match="only HTTP"):
        asyncio.run(OneHopHandler()({"type": "lifespan"}, None, None))
