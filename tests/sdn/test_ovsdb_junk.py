"""A host whose OVSDB says nonsense, or nothing at all: it is told as lost in words, and no other host notices."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sdn.controller import Controller, HostConnection
from sdn.model.addresses import HostName
from sdn.shadow.shadow import Shadow
from tests.sdn.test_controller import WORLD, Told, _connection
from tests.waiting import until

JUNK = {
    "no JSON": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "half of an object": b'{"id":0,"result":{"name":"Open_v',
    "a wrong schema": b'{"id":0,"error":null,"result":{"name":7,"tables":[]}}',
    "a deep nest": b"[" * 100_000,
    "another answer": b'{"id":99,"error":"no","result":null}',
    "nothing": b"",
}


class Losses(Told):
    """Remembers who was lost, and why."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: dict[str, str] = {}

    async def host_lost(self, host: str, reason: str) -> None:
        self.lost[host] = reason


@contextlib.asynccontextmanager
async def speaking(words: bytes) -> AsyncIterator[Path]:
    """A socket where a server says `words` to whoever connects, and then waits."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            writer.write(words)
            await writer.drain()
            await reader.read()
        writer.close()

    with tempfile.TemporaryDirectory(prefix="hs-junk-", dir="/tmp") as folder:
        path = Path(folder) / "db.sock"
        server = await asyncio.start_unix_server(speak, str(path))
        try:
            yield path
        finally:
            server.close()


def threads_of(host: str) -> int:
    return sum(thread.name == f"host-{host}" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is long enough to see that nothing comes."""
    monkeypatch.setattr("sdn.controller.patience.DEADLINE_S", 1.0)


@pytest.mark.parametrize("kind", JUNK)
async def test_a_host_whose_database_says_nonsense_is_told_as_lost_and_the_others_are_kept(kind: str) -> None:
    with Shadow() as good:
        async with speaking(JUNK[kind]) as path:
            told = Losses()
            controller = Controller(told)
            bad = HostConnection(HostName("hv1"), f"unix:{path}", "dummy", "192.0.2.11", f"unix:{path.parent}/hopsight.sock", path.parent)  # fmt: skip
            await controller.set_hosts((bad, _connection("hv2", good, "192.0.2.12")))
            await controller.set_intent(WORLD)
            try:
                await until(lambda: "hv2" in told.connected, "the good host is connected")
                await until(lambda: told.lost.get("hv1"), "the bad host is told as lost")
                assert threads_of("hv1") <= 1, "a thread for each try"
            finally:
                await controller.stop()
    assert "hv1" not in told.connected and "hv2" not in told.lost
