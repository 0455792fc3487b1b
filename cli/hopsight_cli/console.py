"""`hopsight console`: a VM's serial line in this terminal, over the WebSocket that the console's page uses too."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from hopsight_cli.client import Api, Unreachable, trusted
from hopsight_cli.context import VmName, api_of, find_vm
from hopsight_cli.output import clean

LEAVE = b"\x1d"  # Ctrl-], as virsh and telnet
# What a terminal would answer: in what the line said before, nobody waits for the answer any more.
QUESTIONS = re.compile(
    rb"\x1b\[[0-9;?>=]*[cnx]|\x1b\][0-9]*;\?[^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\|\x1bZ|\x05"
)
OPEN_S = 15.0


def add_to(app: typer.Typer) -> None:
    """console."""
    app.command("console")(console)


def console(
    ctx: typer.Context,
    vm: VmName,
    take: Annotated[bool, typer.Option("--take", help="Take the keyboard from whoever has it.")] = False,
) -> None:
    """Open a VM's serial line here. Ctrl-] leaves it.

    Several people may watch; one of them types. What the line said before is shown first.
    """
    api = api_of(ctx)
    row = find_vm(api, vm)
    ticket = api.send("POST", f"/vms/{row['uuid']}/console-ticket", {"kind": "serial"})
    with _opened(api, ticket) as line:
        typer.echo(f"Connected to {clean(row['name'])}. Ctrl-] leaves.", err=True)
        with _raw(sys.stdin.fileno()):
            words = _Session(line, take).run()
    typer.echo(f"\n{clean(words)}" if words else "", err=True)


class _Session:
    """One open line: a thread reads the socket, this one the keyboard."""

    def __init__(self, line: ClientConnection, take: bool) -> None:
        self._line, self._take = line, take
        self._old_bytes = 0
        self._said = ""
        self._wake, self._ended = os.pipe()

    def run(self) -> str:
        """Why the other side ended it; nothing when one left oneself."""
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        if self._take:
            self._line.send(json.dumps({"take": True}))
        try:
            self._type()
        except ConnectionClosed:
            pass
        finally:
            self._line.close()
            reader.join(2)
        return self._said

    def _type(self) -> None:
        while True:
            ready, _, _ = select.select([sys.stdin, self._wake], [], [])
            if self._wake in ready:
                return
            data = os.read(sys.stdin.fileno(), 4096)
            before, leave, _ = data.partition(LEAVE)
            if before:
                self._line.send(before)
            if leave or not data:
                return

    def _read(self) -> None:
        try:
            for message in self._line:
                self._told(json.loads(message)) if isinstance(message, str) else self._shown(message)
        except ConnectionClosed:
            pass
        finally:
            os.write(self._ended, b".")

    def _shown(self, data: bytes) -> None:
        old, new = data[: self._old_bytes], data[self._old_bytes :]
        self._old_bytes -= len(old)
        sys.stdout.buffer.write(QUESTIONS.sub(b"", old) + new)
        sys.stdout.buffer.flush()
        self._line.send(json.dumps({"ack": len(data)}))

    def _told(self, message: dict[str, Any]) -> None:
        if "closed" in message:
            self._said = str(message["closed"])
        self._old_bytes += int(message.get("scrollback", 0))
        pen = message.get("pen")
        if pen and not pen.get("mine") and pen.get("writer"):
            words = f"\r\n[{clean(pen['writer'])} types; you watch. Leave with Ctrl-] and come back with --take.]\r\n"
            sys.stdout.write(words)
            sys.stdout.flush()


@contextlib.contextmanager
def _opened(api: Api, ticket: dict[str, Any]) -> Iterator[ClientConnection]:
    parts = urlsplit(api.profile.url)
    secure = parts.scheme == "https"
    address = f"{'wss' if secure else 'ws'}://{parts.netloc}{parts.path}{ticket['socket']}"
    headers = {"Authorization": f"Bearer {api.profile.token}"}
    origin = f"{parts.scheme}://{parts.netloc}"
    options: dict[str, Any] = {"ssl": trusted()} if secure else {}
    try:
        line = connect(
            address, origin=Origin(origin), additional_headers=headers, open_timeout=OPEN_S, max_size=2**20, **options
        )
    except (OSError, InvalidHandshake, TimeoutError) as problem:
        raise Unreachable(f"the console's socket cannot be opened: {problem}") from None
    try:
        line.send(json.dumps({"ticket": ticket["ticket"]}))
        yield line
    finally:
        line.close()


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Every key to the guest, while it lasts; a pipe is left as it is."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
