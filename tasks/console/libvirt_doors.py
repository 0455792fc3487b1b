"""Consoles of real guests, through libvirt: its stream for the serial line, a socket from it for the screen.

libvirt's calls block, so they run in threads: opening on the host's own few (with their deadline), each line's sends on one
of its own, so that a host that hangs holds up its own consoles alone. What a stream has got is taken on the loop: that
never waits. The stream's events come from libvirtaio (`register_asyncio_events` was called).
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import StreamReader, StreamWriter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import libvirt
from channels.db import database_sync_to_async

from portal.compute.models import VM
from portal.console.wire import BUFFER_BYTES, Close
from tasks.console.source import ByteStream, ConsoleProblem, Serial
from tasks.console.tail import tail_of
from tasks.hypervisor.disks import files_of
from tasks.hypervisor.driver import CallFailed, DomainState, HypervisorError
from tasks.hypervisor.libvirt_driver import LibvirtHypervisor
from tasks.hypervisor.registry import hypervisor_of

CHUNK_BYTES = 64 * 1024
LOOK_EVERY_S = 2.0  # whether the connection lives: a stream of a dead one says nothing
OPEN_WITHIN_S = 10.0
WOULD_BLOCK = -2
READABLE = libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP
GONE = ConsoleProblem(Close.GONE, "There is no such VM any more.")
NO_HOST = ConsoleProblem(Close.OFF, "The VM has no host yet.")
PREVIEW = ConsoleProblem(Close.REFUSED, "The preview's hypervisors run no guests, so that there is no console.")


class LibvirtDoors:
    """The Doors of the hosts in the rows."""

    async def open_serial(self, vm: UUID) -> Serial:
        domain, hypervisor, log = await database_sync_to_async(_found)(vm)
        opened = await _call(hypervisor, domain, "open the serial console", _open_console)
        stream = _Line(*opened)
        return Serial(stream, await asyncio.to_thread(tail_of, log))

    async def open_screen(self, vm: UUID) -> ByteStream:
        domain, hypervisor, _ = await database_sync_to_async(_found)(vm)
        fd = await _call(hypervisor, domain, "open the screen", lambda found: found.openGraphicsFD(0, 0))
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=fd), limit=BUFFER_BYTES)
        return SocketStream(reader, writer)


def _found(uuid: UUID) -> tuple[str, LibvirtHypervisor, Path]:
    """The VM's domain, its host and its console's log."""
    vm = VM.objects.select_related("host").filter(uuid=uuid).first()
    if vm is None:
        raise GONE
    if vm.host is None:
        raise NO_HOST
    hypervisor = hypervisor_of(vm.host, OPEN_WITHIN_S)
    if vm.host.libvirt_uri.startswith("test:") or not isinstance(hypervisor, LibvirtHypervisor):
        raise PREVIEW
    return vm.domain, hypervisor, files_of(vm.host.disks_dir, vm.uuid).console_log


async def _call(hypervisor: LibvirtHypervisor, domain: str, what: str, act: Any) -> Any:
    """What `act` gives for the running domain; ConsoleProblem when it is off or the host does not do it."""

    def act_on(connection: Any) -> Any:
        return act(connection.lookupByName(domain))

    try:
        return await asyncio.to_thread(hypervisor.call, what, act_on)
    except HypervisorError as problem:
        with suppress(HypervisorError):
            state = await asyncio.to_thread(hypervisor.state, domain) if isinstance(problem, CallFailed) else None
            if state in (DomainState.STOPPED, DomainState.CRASHED, DomainState.ABSENT):
                raise ConsoleProblem(Close.OFF, "The VM is off: its console opens when it starts.") from None
        raise ConsoleProblem(Close.UNAVAILABLE, f"{problem}.") from None


def _open_console(domain: Any) -> tuple[Any, Any]:
    connection = domain.connect()
    stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
    domain.openConsole(None, stream, libvirt.VIR_DOMAIN_CONSOLE_FORCE)
    return connection, stream


class _Line:
    """A libvirt stream. Made on the event loop."""

    def __init__(self, connection: Any, stream: Any) -> None:
        self._connection, self._stream = connection, stream
        self._some = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="console")
        stream.eventAddCallback(READABLE, lambda *_event: self._some.set(), None)

    async def read(self) -> bytes:
        while True:
            self._some.clear()
            try:
                got = self._stream.recv(CHUNK_BYTES)
                if got != WOULD_BLOCK:
                    return bytes(got)
                await asyncio.wait_for(self._some.wait(), LOOK_EVERY_S)
            except TimeoutError:
                if not self._connection.isAlive():
                    return b""
            except libvirt.libvirtError:
                return b""

    async def write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data:
            try:
                sent = await loop.run_in_executor(self._thread, self._stream.send, data)
            except libvirt.libvirtError as problem:
                raise ConnectionError(str(problem)) from None
            if sent == WOULD_BLOCK:
                await asyncio.sleep(0.01)  # never from a remote stream, whose send waits by itself
            data = data[max(0, sent) :]

    async def close(self) -> None:
        def end() -> None:
            for step in (self._stream.eventRemoveCallback, self._stream.abort):
                with suppress(libvirt.libvirtError):
                    step()

        with suppress(RuntimeError):  # closed already
            await asyncio.get_running_loop().run_in_executor(self._thread, end)
        self._thread.shutdown(wait=False)


class SocketStream:
    """A socket to QEMU's VNC server: it reads no further ahead than BUFFER_BYTES."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(CHUNK_BYTES)
        except ConnectionError:
            return b""

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
