"""A host's libvirt: one long connection per host and process, at most four calls in flight, a deadline for each.

libvirt's calls block for as long as the host likes, so each runs in a thread of the host's own small pool: a host that
hangs fills its four threads and then answers HostBusy at once, and no other host notices. libvirt's event loop runs in
a thread of its own (it answers keepalives); it must be registered before the first connection. A process that has
registered another one (the collector: libvirtaio) says so with `use_registered_event_loop()`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone
from typing import Any, TypeVar

import libvirt

from tasks.hypervisor.driver import CALL_DEADLINE_S, CallFailed, CheckpointLost, HostBusy, HostUnreachable

T = TypeVar("T")
IN_FLIGHT = 4  # libvirtd's max_client_requests is 5 by default, and a keepalive needs one
KEEPALIVE_S, KEEPALIVE_COUNT = 3, 3
_DOWN = (
    libvirt.VIR_ERR_NO_CONNECT,
    libvirt.VIR_ERR_INVALID_CONN,
    libvirt.VIR_ERR_SYSTEM_ERROR,
    libvirt.VIR_ERR_RPC,
)
_loop_lock = threading.Lock()
_loop_is_registered = False


def use_registered_event_loop() -> None:
    """This process has registered and runs libvirt's event loop itself."""
    global _loop_is_registered
    _loop_is_registered = True


def _ensure_event_loop() -> None:
    global _loop_is_registered
    with _loop_lock:
        if _loop_is_registered:
            return
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_events, name="libvirt-events", daemon=True).start()
        _loop_is_registered = True


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors arrive as exceptions; not on stderr too


class Refused(Exception):
    """What an act says when it will not do its part; in words for people, which the caller gets as a CallFailed."""


class Lost(Refused):
    """As `Refused`: a checkpoint is gone, which the caller gets as a CheckpointLost."""


class LibvirtConnection:
    """The connection to one libvirt URI, and calls over it."""

    def __init__(self, name: str, uri: str, deadline_s: float = CALL_DEADLINE_S) -> None:
        self.name = name
        self.uri = uri
        self._deadline_s = deadline_s
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix=f"libvirt-{name}")
        self._free = threading.BoundedSemaphore(IN_FLIGHT)
        self._lock = threading.Lock()
        self._connection: Any = None
        self._hangs = False  # a call missed its deadline, and none has ended since

    def call(self, what: str, act: Callable[[Any], T], deadline_s: float | None = None) -> T:
        """What `act` gives for the connection, within the deadline; errors in words."""
        limit = deadline_s or self._deadline_s
        end = time.monotonic() + limit
        if not self._free.acquire(timeout=0 if self._hangs else limit):
            raise HostBusy(f"{self.name} is busy: {IN_FLIGHT} earlier calls have not ended, could not {what}")
        future = self._pool.submit(self._run, act)
        future.add_done_callback(self._ended)
        return self._answer(what, future, end, limit)

    def _answer(self, what: str, future: Future[T], end: float, limit: float) -> T:
        try:
            return future.result(max(0.0, end - time.monotonic()))
        except NotDone:
            self._hangs = not future.cancel()
            raise HostBusy(f"{self.name} is busy: it did not {what} within {limit:.0f} s") from None
        except Lost as problem:
            raise CheckpointLost(f"{self.name}: {problem}") from None
        except Refused as problem:
            raise CallFailed(f"{self.name}: {problem}") from None
        except libvirt.libvirtError as problem:
            words = problem.get_error_message() or str(problem)
            if problem.get_error_code() in _DOWN and not self._is_alive():
                raise HostUnreachable(f"{self.name}'s libvirt does not answer: {words}") from None
            raise CallFailed(f"{self.name} could not {what}: {words}") from None

    def _ended(self, done: Future[Any]) -> None:
        self._hangs = self._hangs and done.cancelled()
        self._free.release()

    def _run(self, act: Callable[[Any], T]) -> T:
        return act(self._connect())

    def _connect(self) -> Any:
        with self._lock:
            if self._connection is not None and self._is_alive():
                return self._connection
            _ensure_event_loop()
            self._connection = libvirt.open(self.uri)
            if not self.uri.startswith("test:"):
                self._connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_COUNT)
            return self._connection

    def _is_alive(self) -> bool:
        try:
            return self._connection is not None and bool(self._connection.isAlive())
        except libvirt.libvirtError:
            return False

    def if_there(self, what: str, domain: str, act: Callable[[Any], T], *harmless: int) -> T | None:
        def guarded(connection: Any) -> T | None:
            try:
                return act(connection.lookupByName(domain))
            except libvirt.libvirtError as problem:
                if problem.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN, *harmless):
                    return None
                raise

        return self.call(what, guarded)
