"""A screen's relay to a server that notes what it is told: each viewer has a connection, and only the pen's holder acts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async
from django.urls import reverse

from portal.compute.models import Image
from portal.console.wire import Close
from tasks.console.libvirt_doors import SocketStream
from tasks.console.source import ByteStream
from tests.console.conftest import ConsoleBrowser, Consoles
from tests.console.test_rfb import ACTS, HELLO, SHOWS
from tests.portal.sockets import DEADLINE_S


class NotingServer:
    """Says hello, notes what each client says, and sends `flood` for ever to one that asks for an update."""

    def __init__(self) -> None:
        self.heard: list[bytearray] = []
        self.sent = 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = bytearray()
        self.heard.append(mine)
        writer.write(b"RFB 003.008\n")
        while data := await reader.read(65536):
            mine += data
            if b"flood" in mine:
                while True:
                    writer.write(b"\0" * 65536)
                    await writer.drain()
                    self.sent += 65536
        writer.close()


@pytest.fixture
async def vnc(consoles: Consoles, tmp_path, monkeypatch) -> AsyncIterator[NotingServer]:  # type: ignore[no-untyped-def]
    noting = NotingServer()
    path = str(tmp_path / "vnc.sock")
    server = await asyncio.start_unix_server(noting.meet, path)

    async def open_screen(_vm: object) -> ByteStream:
        return SocketStream(*await asyncio.open_unix_connection(path))

    monkeypatch.setattr(consoles.doors, "open_screen", open_screen)
    await Image.objects.filter(pk=consoles.vm.image_id).aupdate(boot=Image.Boot.DISK)
    yield noting
    server.close()


async def opened(consoles: Consoles, person: str) -> ConsoleBrowser:
    client = await consoles.client(person)
    browser = await consoles.browser(client, await consoles.ticket(client, "screen"), kind="screen")
    await browser.sees(b"RFB 003.008\n")
    return browser


async def heard(vnc: NotingServer, client: int, ends: bytes) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        while not bytes(vnc.heard[client]).endswith(ends):
            await asyncio.sleep(0.01)
    return bytes(vnc.heard[client])


async def test_a_watcher_sees_and_cannot_act_whatever_the_page_sends(consoles: Consoles, vnc: NotingServer) -> None:
    charlie = await opened(consoles, "charlie")
    await charlie.send(text=json.dumps({"take": True}))
    await charlie.send(bytes=HELLO + b"".join(ACTS.values()) + SHOWS["update request"])
    assert await heard(vnc, 0, SHOWS["update request"]) == HELLO[:-1] + b"\x01" + SHOWS["update request"]


async def test_the_pen_goes_from_one_to_the_other_and_keys_with_it(consoles: Consoles, vnc: NotingServer) -> None:
    alice, bob = await opened(consoles, "alice"), await opened(consoles, "bob")
    await bob.pen(mine=False, writer="alice")
    for one in (alice, bob):
        await one.send(bytes=HELLO + ACTS["key"] + SHOWS["fence"])
    assert ACTS["key"] in await heard(vnc, 0, SHOWS["fence"])
    assert ACTS["key"] not in await heard(vnc, 1, SHOWS["fence"])
    await bob.send(text=json.dumps({"take": True}))
    await bob.pen(mine=True)
    await bob.send(bytes=ACTS["pointer"])
    assert await heard(vnc, 1, ACTS["pointer"])


async def test_a_client_that_speaks_something_else_is_closed(consoles: Consoles, vnc: NotingServer) -> None:
    alice = await opened(consoles, "alice")
    await alice.send(bytes=b"GET / HTTP/1.1\r\n")
    assert (await alice.closed())[0] == Close.BAD_MESSAGE


async def test_a_screen_is_read_no_further_than_its_viewer_takes(consoles: Consoles, vnc: NotingServer) -> None:
    alice = await opened(consoles, "alice")
    await alice.send(bytes=HELLO[:-1] + b"\x01")
    cut = b"\x06\0\0\0\0\0\0\x05flood"
    await alice.send(bytes=cut)
    await heard(vnc, 0, b"flood")
    before = 0
    async with asyncio.timeout(DEADLINE_S):
        while not vnc.sent or before != vnc.sent:  # until nothing moves any more
            before = vnc.sent
            await asyncio.sleep(0.3)
    assert vnc.sent < 2 * 1024 * 1024
    taken = len(alice.seen)
    await alice.until(lambda: len(alice.seen) - taken > 4 * 1024 * 1024, "it goes on as soon as it is taken")


async def test_a_vm_whose_kernel_its_host_gives_has_no_screen_and_says_why(consoles: Consoles) -> None:
    client = await consoles.client("alice")
    url = reverse("console_ticket", args=[consoles.vm.uuid])
    answer = (await sync_to_async(client.post)(url, {"kind": "screen"})).json()
    assert answer["refused"].startswith("web-1 has no screen")
    page = (await sync_to_async(client.get)(reverse("console", args=[consoles.vm.uuid]))).content.decode()
    assert answer["refused"] in page
