"""libvirt's event loop on asyncio: libvirtaio, made safe for calls from threads.

libvirt runs its timers and watches its sockets through the registered implementation, and asks it for them from whichever
thread makes a call. libvirtaio hands these requests straight to the loop (`add_reader`, `create_task`), which asyncio
allows in the loop's own thread only: elsewhere they race with the selector, and a timer that is set while the loop sleeps
starts when something else wakes it. Here each request goes to the loop by `call_soon_threadsafe`, all of them, so that
their order is kept: a socket is unwatched before the callback that frees it runs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import libvirtaio

from tasks.hypervisor.libvirt_connection import use_registered_event_loop

_registered: _Events | None = None


def register_asyncio_events() -> None:
    """Let the running loop be libvirt's; before the first connection, and once a process (libvirt takes no second one)."""
    global _registered
    if _registered is not None:
        raise RuntimeError("libvirt's event loop is registered already")
    _registered = _Events(asyncio.get_running_loop())
    _registered.register()
    use_registered_event_loop()


class _Events(libvirtaio.virEventAsyncIOImpl):  # type: ignore[misc]
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.loop: Any = _Hop(loop)
        self._counting = threading.Lock()

    def _pending_inc(self) -> None:
        with self._counting:
            super()._pending_inc()

    def _pending_dec(self) -> None:
        with self._counting:
            super()._pending_dec()


class _Hop:
    """The part of an event loop that libvirtaio uses, callable from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def add_reader(self, fd: int, callback: Callable[..., object], *args: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.add_reader, fd, callback, *args)

    def remove_reader(self, fd: int) -> None:
        self._loop.call_soon_threadsafe(self._loop.remove_reader, fd)

    def add_writer(self, fd: int, callback: Callable[..., object], *args: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.add_writer, fd, callback, *args)

    def remove_writer(self, fd: int) -> None:
        self._loop.call_soon_threadsafe(self._loop.remove_writer, fd)

    def create_task(self, work: Coroutine[Any, Any, None]) -> _Later:
        return _Later(self._loop, work)


class _Later:
    """A task that starts when the loop comes to it; cancelled before, it never does."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
        self._loop = loop
        self._work = work
        self._task: asyncio.Task[None] | None = None
        loop.call_soon_threadsafe(self._start)

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(self._cancel)  # after _start: the loop keeps the order

    def _start(self) -> None:
        self._task = self._loop.create_task(self._work)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
