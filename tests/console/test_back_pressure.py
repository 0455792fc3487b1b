"""Floods: what waits is bounded everywhere, in both directions, and one slow viewer costs nobody else anything."""

from __future__ import annotations

import asyncio
import os
import tracemalloc

from portal.console.window import WINDOW_BYTES
from portal.console.wire import BUFFER_BYTES, Close, Kind
from tasks.console.outbox import LIMIT_BYTES, Outbox
from tasks.console.session import BACKLOG_BYTES, SerialSession
from tests.console.conftest import Consoles

FLOOD_BYTES = 8 * 1024 * 1024


async def _until(holds, what: str, deadline_s: float = 60) -> None:  # type: ignore[no-untyped-def]
    try:
        async with asyncio.timeout(deadline_s):
            while not holds():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(what) from None


def session_of(consoles: Consoles) -> SerialSession:
    session = consoles.server.shared[consoles.vm.uuid, Kind.SERIAL].opened.result()
    assert isinstance(session, SerialSession)
    return session


async def test_a_guest_that_never_stops_fills_no_memory_of_a_viewer_that_takes_nothing(consoles: Consoles) -> None:
    vm = consoles.vm.uuid
    consoles.doors.start(vm, "yes")
    deaf = await consoles.opened("alice")  # it takes no frame after the first
    stream, session = consoles.doors.streams[vm], session_of(consoles)
    tracemalloc.start()
    before = stream.read_bytes
    peak = 0
    await _until(lambda: stream.read_bytes - before > FLOOD_BYTES, "the line is read on: the guest is not held up")
    (outbox,) = session.outboxes.values()
    assert len(outbox.waiting) <= LIMIT_BYTES and len(session.backlog) <= BACKLOG_BYTES
    held = sum(len(frame.get("bytes") or b"") for frame in _undelivered(deaf))
    assert held <= WINDOW_BYTES + BUFFER_BYTES, "more was sent than the window allows"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * 1024 * 1024, f"{peak} bytes for {FLOOD_BYTES} of output"
    await deaf.until(lambda: any("skipped" in one for one in deaf.told), "the viewer is told what was left out")


def _undelivered(browser) -> list[dict[str, object]]:  # type: ignore[no-untyped-def]
    return list(browser.output_queue._queue)


async def test_a_viewer_that_keeps_up_loses_nothing_beside_one_that_does_not(consoles: Consoles) -> None:
    vm = consoles.vm.uuid
    consoles.doors.start(vm, "sh", "-c", "stty raw -echo; read _; for n in $(seq 20000); do echo line-$n; done; cat")
    await consoles.opened("charlie")  # takes nothing more
    alice = await consoles.opened("alice")
    await alice.send(bytes=b"go\n")
    await alice.sees(b"line-20000")
    lines = [line for line in alice.seen.split() if line.startswith(b"line-")]
    assert lines == [b"line-%d" % n for n in range(1, 20001)]


async def test_a_guest_that_reads_nothing_makes_the_browser_wait_and_then_ends(consoles: Consoles, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("tasks.console.session.STUCK_S", 2.0)
    vm = consoles.vm.uuid
    consoles.doors.start(vm, "sh", "-c", "stty raw -echo; echo ready; exec sleep 600")
    alice = await consoles.opened("alice")
    await alice.sees(b"ready")
    sent = 0

    def is_stuck() -> bool:
        return alice.input_queue.qsize() > 20

    while not is_stuck() and sent < 64 * 1024 * 1024:
        await alice.send(bytes=os.urandom(16 * 1024))
        sent += 16 * 1024
        await asyncio.sleep(0.001)
    assert is_stuck(), "the socket is read on though the guest takes nothing"
    assert sent < 4 * 1024 * 1024
    code, words = await alice.closed()
    assert code == Close.UNAVAILABLE and "no input" in words


async def test_an_outbox_leaves_out_what_waits_and_counts_it() -> None:
    outbox = Outbox(limit=10)
    outbox.put(b"12345")
    outbox.put(b"67890")
    outbox.put(b"abc")
    assert await outbox.take(2) == (10, b"ab")
    assert await outbox.take(20) == (0, b"c")
    outbox.put(b"0123456789abcdef")
    assert await outbox.take(20) == (6, b"6789abcdef")
