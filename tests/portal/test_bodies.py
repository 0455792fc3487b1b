"""What a request brings is bounded while it comes, however it is sent: too much is 413, too slow is 408, nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.urls import reverse

from portal.config import bodies
from portal.config.bodies import BoundedBody, bounded, most_bytes
from tests.cast import Cast
from tests.portal.clients import client_of

CHUNK = 64 * 1024
CHUNKED = [(b"transfer-encoding", b"chunked")]


def scope_of(path: str, headers: list[tuple[bytes, bytes]] = CHUNKED) -> dict[str, Any]:
    return {"type": "http", "path": path, "headers": headers}


class Sender:
    """A client that sends `count` chunks, waits as told before each, and then goes."""

    def __init__(self, count: int, pause_s: float = 0.0) -> None:
        self.left, self.pause_s, self.sent = count, pause_s, 0

    async def receive(self) -> dict[str, Any]:
        if not self.left:
            return {"type": "http.disconnect"}
        await asyncio.sleep(self.pause_s)
        self.left -= 1
        self.sent += CHUNK
        return {"type": "http.request", "body": b"x" * CHUNK, "more_body": self.left > 0}


async def read(receive: Callable[[], Any]) -> AsyncIterator[bytes]:
    """The body as Django reads it: until it is whole."""
    while True:
        message = await receive()
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


async def taken(scope: dict[str, Any], sender: Sender) -> int:
    """How many bytes get through; afterwards nothing but the client's going does."""
    receive = bounded(scope, sender.receive)
    count = sum([len(piece) async for piece in read(receive)])
    assert (await receive())["type"] == "http.disconnect"
    return count


@pytest.mark.parametrize(
    "path",
    ["/api/v1/vms", "/vms/new/", "/bundles/", "/api/v1/image-imports/3f2b8c1e-1111-4222-8333-444455556666/bytes"],
)
def test_a_chunked_body_gets_through_up_to_the_bound_of_its_path_and_no_further(path: str) -> None:
    fits, scope = Sender(most_bytes(path) // CHUNK), scope_of(path)
    assert asyncio.run(taken(scope, fits)) == fits.sent and bodies.REFUSED not in scope
    scope = scope_of(path)
    assert asyncio.run(taken(scope, Sender(most_bytes(path) // CHUNK + 1))) < most_bytes(path) + CHUNK
    assert scope[bodies.REFUSED] == 413


def test_a_body_without_an_end_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LINGER_BYTES", 10 * CHUNK)
    scope, sender = scope_of("/api/v1/vms"), Sender(1_000_000)

    async def refused() -> None:
        async for _ in read(BoundedBody(scope, sender.receive)):
            pass

    asyncio.run(refused())
    assert scope[bodies.REFUSED] == 413
    assert sender.sent < most_bytes("/api/v1/vms") + 12 * CHUNK


def test_a_body_that_is_announced_too_large_is_not_read_before_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LINGER_BYTES", 0)
    scope, sender = scope_of("/login/", [(b"content-length", b"999999999")]), Sender(100)

    async def first() -> Any:
        return await bounded(scope, sender.receive)()

    assert asyncio.run(first()) == {"type": "http.request", "body": b"", "more_body": False}
    assert scope[bodies.REFUSED] == 413 and sender.sent == 0


def test_a_body_that_stands_still_is_refused_and_one_that_flows_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "GRACE_S", 0.2)
    still, flowing = scope_of("/api/v1/vms"), scope_of("/vms/new/")
    assert asyncio.run(taken(still, Sender(1, pause_s=5.0))) == 0
    assert still[bodies.REFUSED] == 408
    assert asyncio.run(taken(flowing, Sender(8, pause_s=0.05))) == 8 * CHUNK  # 0.4 s, but 8 KiB/s and more
    assert bodies.REFUSED not in flowing


def test_a_request_without_a_body_is_not_looked_at() -> None:
    sender = Sender(1)
    assert bounded(scope_of("/", [(b"accept", b"*/*")]), sender.receive) == sender.receive


def test_a_page_says_in_its_own_look_that_a_form_was_too_large(cast: Cast) -> None:
    answer = client_of(cast.alice).post(reverse("vm_create"), {"name": "x" * 3_000_000})
    assert answer.status_code == 413 and answer.headers["Connection"] == "close"
    assert "at most 2621440 bytes are allowed" in answer.content.decode()
    assert "Back to the page" in answer.content.decode()


def test_a_form_that_is_out_of_date_says_so_and_where_to_get_a_new_one(cast: Cast) -> None:
    client = client_of(cast.alice, enforce_csrf_checks=True)
    answer = client.post(reverse("vm_create"), {"name": "web-1"})
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "Nothing was changed" in page and f'href="{reverse("vm_create")}"' in page


def test_what_broke_or_cannot_be_read_is_told_in_our_look(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(cast.alice)
    answer = client.get("/", headers={"host": "elsewhere.example"})
    assert answer.status_code == 400 and "cannot be read" in answer.content.decode()
    client.raise_request_exception = False
    monkeypatch.setattr("portal.accounts.person_views.live_sessions", lambda user: 1 / 0)
    answer = client.get(reverse("sessions"))
    assert answer.status_code == 500 and "X-Request-ID" in answer.content.decode()
    assert "tokens.css" in answer.content.decode()
