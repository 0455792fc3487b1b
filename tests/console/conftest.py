"""A console process's server in the test's own loop, and browsers that speak to the web process's ASGI application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.urls import reverse

from portal.compute.models import VM, VMState
from portal.config.asgi import application
from tasks.console.server import ConsoleServer
from tests.cast import Cast, make_cast
from tests.console.pty import PtyDoors
from tests.portal.clients import client_of, made_vm
from tests.portal.sockets import DEADLINE_S, Socket

ORIGIN = (b"origin", b"http://localhost")


class ConsoleBrowser(Socket):
    """A console's socket: bytes and messages as they come."""

    def __init__(
        self, client: Client, vm: object, kind: str = "serial", origin: tuple[bytes, bytes] = ORIGIN, bearer: str = ""
    ) -> None:
        cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
        headers = [(b"cookie", cookie.encode()), (b"host", b"localhost"), origin]
        if bearer:
            headers.append((b"authorization", f"Bearer {bearer}".encode()))
        super().__init__(application, headers)
        self.scope["path"] = f"/ws/vms/{vm}/console/{kind}"
        self.seen = b""
        self.told: list[dict[str, Any]] = []
        self.code: int | None = None

    async def take_one(self) -> None:
        """The next frame, kept in `seen` or `told`, and acknowledged."""
        frame = await self.receive_output(DEADLINE_S)
        if frame["type"] == "websocket.close":
            self.code = frame["code"]
        elif frame.get("bytes") is not None:
            self.seen += frame["bytes"]
            await self.send(text=json.dumps({"ack": len(frame["bytes"])}))
        else:
            self.told.append(json.loads(frame["text"]))

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Takes frames until it holds."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not holds():
                    await self.take_one()
        except TimeoutError:
            raise AssertionError(
                f"{what}: not within {DEADLINE_S} s; seen {self.seen[-300:]!r}, told {self.told[-3:]}"
            ) from None

    async def sees(self, text: bytes) -> None:
        await self.until(lambda: text in self.seen, f"{text!r} is shown")

    async def pen(self, **wanted: object) -> None:
        def holds() -> bool:
            pens = [one["pen"] for one in self.told if "pen" in one]
            return bool(pens) and all(pens[-1][name] == value for name, value in wanted.items())

        await self.until(holds, f"the pen is {wanted}")

    async def closed(self) -> tuple[int, str]:
        """Its code and words."""
        await self.until(lambda: self.code is not None, "it is closed")
        assert self.code is not None
        words = next((one["closed"] for one in self.told if "closed" in one), "")
        return self.code, words


@dataclass
class Consoles:
    """The cast, a VM that runs, the doors to its line, and everybody's browsers."""

    cast: Cast
    vm: VM
    doors: PtyDoors
    server: ConsoleServer
    open_ones: list[ConsoleBrowser] = field(default_factory=list)

    async def client(self, person: str) -> Client:
        return await sync_to_async(client_of)(getattr(self.cast, person))

    async def ticket(self, client: Client, kind: str = "serial", vm: object = None) -> str:
        url = reverse("console_ticket", args=[vm or self.vm.uuid])
        answer = await sync_to_async(client.post)(url, {"kind": kind})
        assert answer.status_code == 200, answer.content
        return str(answer.json()["ticket"])

    async def browser(self, client: Client, ticket: str, **changed: Any) -> ConsoleBrowser:
        """An accepted socket that has sent the ticket."""
        browser = ConsoleBrowser(client, **{"vm": self.vm.uuid, **changed})
        assert await browser.open()
        self.open_ones.append(browser)
        await browser.send(text=json.dumps({"ticket": ticket}))
        return browser

    async def opened(self, person: str) -> ConsoleBrowser:
        """A person's open console."""
        client = await self.client(person)
        browser = await self.browser(client, await self.ticket(client))
        await browser.pen()
        return browser


@pytest.fixture
async def consoles(transactional_db: None, redis_server: str, settings: Any, tmp_path: Path) -> AsyncIterator[Consoles]:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.CONSOLE_SOCKET = tmp_path / "console.sock"
    cast = await sync_to_async(make_cast)()
    vm = await sync_to_async(made_vm)(cast)
    await VM.objects.filter(pk=vm.pk).aupdate(state=VMState.RUNNING)
    doors = PtyDoors()
    consoles = Consoles(cast, vm, doors, ConsoleServer(doors))
    listening = await consoles.server.listen(settings.CONSOLE_SOCKET)
    try:
        yield consoles
    finally:
        for browser in consoles.open_ones:
            if browser.code is None:
                await browser.send_input({"type": "websocket.disconnect", "code": 1000})
            await browser.wait(DEADLINE_S)
        listening.close()
        doors.end()
