"""Doors to guests that are programs on a pseudo-terminal: real bytes with a real line discipline, and no hypervisor."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import tty
from pathlib import Path
from uuid import UUID

from portal.console.wire import Close
from tasks.console.source import ByteStream, ConsoleProblem, Serial

OFF = ConsoleProblem(Close.OFF, "The VM is off: its console opens when it starts.")


class PtyStream:
    """The master's side of a pseudo-terminal."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.read_bytes = 0
        os.set_blocking(fd, False)

    async def read(self) -> bytes:
        loop, some = asyncio.get_running_loop(), asyncio.Event()
        while True:
            try:
                data = os.read(self.fd, 65536)
                self.read_bytes += len(data)
                return data
            except BlockingIOError:
                some.clear()
                loop.add_reader(self.fd, some.set)
                try:
                    await some.wait()
                finally:
                    loop.remove_reader(self.fd)
            except OSError:  # the program ended
                return b""

    async def write(self, data: bytes) -> None:
        loop, room = asyncio.get_running_loop(), asyncio.Event()
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                room.clear()
                loop.add_writer(self.fd, room.set)
                try:
                    await room.wait()
                finally:
                    loop.remove_writer(self.fd)

    async def close(self) -> None:
        return


class PtyDoors:
    """Each VM's line is one program's terminal; a VM without a program is off."""

    def __init__(self) -> None:
        self.programs: dict[UUID, subprocess.Popen[bytes]] = {}
        self.streams: dict[UUID, PtyStream] = {}
        self.said: dict[UUID, bytes] = {}
        self.vnc: Path | None = None
        self.opened = 0

    def start(self, vm: UUID, *argv: str) -> None:
        master, slave = pty.openpty()
        if argv[0] == "cat":
            tty.setraw(slave)  # an echo of its own, and no line discipline
        self.programs[vm] = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.streams[vm] = PtyStream(master)

    def stop(self, vm: UUID) -> None:
        program = self.programs.pop(vm)
        program.kill()
        program.wait(10)

    def end(self) -> None:
        for vm in list(self.programs):
            self.stop(vm)
        for stream in self.streams.values():
            os.close(stream.fd)

    async def open_serial(self, vm: UUID) -> Serial:
        self.opened += 1
        if vm not in self.programs:
            raise OFF
        return Serial(self.streams[vm], self.said.get(vm, b""))

    async def open_screen(self, vm: UUID) -> ByteStream:
        raise OFF
