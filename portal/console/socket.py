"""The console's WebSocket: a relay between a browser and the console process, bounded in both directions.

Its rules:
- The handshake is taken from our own pages only (Origin), from a person who is logged in, or
  from a program with a token that may write. The first message is the ticket.
- Bytes are binary messages. Text is JSON: `{"ack": n}` for n bytes taken and `{"take": true}` for the pen come in; what
  `portal.console.wire` lists goes out.
- Towards the browser at most WINDOW_BYTES are not acknowledged: beyond, nothing is read from the console process, whose own
  bound is next. From the browser one message is read after the other, each when the console process took the last.
- The right is asked for at the open and every RIGHTS_EVERY_S; the end is told in words and by its code.

An ASGI application of its own: Channels' consumers would read ahead of what was passed on.
"""

from __future__ import annotations

import asyncio
import json
import logging
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from channels.db import database_sync_to_async
from django.conf import settings

from portal.accounts.audit import Source, record, source
from portal.accounts.callers import key_of_scope
from portal.accounts.models import User
from portal.compute.models import VM
from portal.console.access import Access, Refused, access_of
from portal.console.tickets import Holder, redeem_ticket
from portal.console.window import Window
from portal.console.wire import BUFFER_BYTES, Close, Kind, WireProblem, bound, pack_data, pack_message, read_frame

log = logging.getLogger("hopsight.console")
TICKET_WITHIN_S = 5.0
RIGHTS_EVERY_S = 2.0
MAX_MESSAGE_BYTES = 64 * 1024
MAX_TEXT_CHARS = 4096
LOST = Refused(Close.UNAVAILABLE, "The console process does not answer.")
USED = Refused(Close.REFUSED, "This ticket was used, is older than 30 s, or is for something else.")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def console_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application of one console's socket."""
    if (await receive())["type"] != "websocket.connect":
        return
    person = scope["user"]
    code = None if is_same_origin(scope["headers"]) else Close.REFUSED
    code = code or (None if person.is_authenticated else Close.LOGGED_OUT)
    if code is not None:
        await send({"type": "websocket.close", "code": int(code)})  # before the handshake: the answer is 403
        return
    await send({"type": "websocket.accept"})
    try:
        end = await _Console(scope, receive, send).run()
        if end is not None:
            await send({"type": "websocket.send", "text": json.dumps({"closed": end.words, "code": int(end.code)})})
            await send({"type": "websocket.close", "code": int(end.code)})
    except OSError:  # the browser is gone
        return


def is_same_origin(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the browser says that a page of ours opens the socket; one that says nothing is not believed."""
    told = {name.lower(): value.decode("latin-1") for name, value in headers}
    origin = told.get(b"origin", "")
    parts = urlsplit(origin)
    if parts.scheme in ("http", "https") and parts.netloc and parts.netloc == told.get(b"host"):
        return True
    return origin in settings.CSRF_TRUSTED_ORIGINS


class _Console:
    """One accepted socket."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._window = Window()
        self._vm: UUID = scope["url_route"]["kwargs"]["vm"]
        self._may_write = False

    async def run(self) -> Refused | None:
        """Why it ended; None when the browser left."""
        try:
            self._kind = Kind(self._scope["url_route"]["kwargs"]["kind"])
        except ValueError:
            return Refused(Close.REFUSED, "A console is of kind serial or screen.")
        ticket = await self._ticket()
        if ticket is None:
            return Refused(Close.BAD_MESSAGE, f"The first message is the ticket, within {TICKET_WITHIN_S:.0f} s.")
        access = await database_sync_to_async(self._redeem)(ticket)
        if isinstance(access, Refused):
            return access
        try:
            reader, writer = await asyncio.open_unix_connection(str(settings.CONSOLE_SOCKET), limit=BUFFER_BYTES)
        except OSError as problem:
            log.warning("console process not reached problem=%s", problem)
            return LOST
        try:
            return await self._relay(access, reader, bound(writer))
        finally:
            writer.close()

    async def _ticket(self) -> str | None:
        try:
            message = await asyncio.wait_for(self._receive(), TICKET_WITHIN_S)
        except TimeoutError:
            return None
        ticket = _parse(message.get("text")).get("ticket")
        return ticket if isinstance(ticket, str) else None

    def _redeem(self, ticket: str) -> Access | Refused:
        user: User = self._scope["user"]
        if not redeem_ticket(ticket, Holder(user.pk, self._key(), str(self._vm), self._kind)):
            return USED
        access = self._access()
        if isinstance(access, Access):
            where = source.set(Source(str((self._scope.get("client") or ("",))[0])[:45]))
            vm = VM.objects.select_related("team").get(uuid=self._vm)
            record("console.open", vm.team, user, ("vm", str(vm.uuid), vm.name), after={"kind": str(self._kind)})
            source.reset(where)
        return access

    def _access(self) -> Access | Refused:
        return access_of(self._scope["user"].pk, self._key(), self._vm, self._kind)

    def _key(self) -> str:
        return key_of_scope(self._scope)

    async def _relay(self, access: Access, reader: StreamReader, writer: StreamWriter) -> Refused | None:
        self._may_write = access.may_write
        who = self._scope["user"].username
        asked = {"open": str(self._vm), "kind": str(self._kind), "who": who, "may_write": access.may_write}
        writer.write(pack_message(asked))
        ways = [self._from_browser(writer), self._to_browser(reader), self._watch(writer)]
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(task for task in tasks if task in done).result()
        except (WireProblem, ConnectionError) as problem:
            log.warning("console relay ended vm=%s problem=%s", self._vm, problem)
            return LOST
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _from_browser(self, writer: StreamWriter) -> Refused | None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return None
            data, told = message.get("bytes") or b"", _parse(message.get("text"))
            if len(data) > MAX_MESSAGE_BYTES:
                return Refused(Close.BAD_MESSAGE, f"A message holds at most {MAX_MESSAGE_BYTES} bytes.")
            if isinstance(told.get("ack"), int):
                self._window.acknowledged(told["ack"])
            if told.get("take") is True:
                writer.write(pack_message({"take": True}))
            writer.write(pack_data(data))
            await writer.drain()

    async def _to_browser(self, reader: StreamReader) -> Refused | None:
        while (frame := await read_frame(reader)) is not None:
            if not frame.is_control:
                await self._window.wait_for_room()
                self._window.sent(len(frame.body))
                await self._send({"type": "websocket.send", "bytes": frame.body})
                continue
            message = frame.message()
            if "closed" in message:
                return Refused(Close(message["code"]), message["closed"])
            await self._send({"type": "websocket.send", "text": frame.body.decode()})
        return LOST

    async def _watch(self, writer: StreamWriter) -> Refused:
        """The reason why the right was lost, when it was."""
        while True:
            await asyncio.sleep(RIGHTS_EVERY_S)
            access = await database_sync_to_async(self._access)()
            if isinstance(access, Refused):
                return access
            if access.may_write != self._may_write:
                self._may_write = access.may_write
                writer.write(pack_message({"may_write": access.may_write}))


def _parse(text: str | None) -> dict[str, Any]:
    """A text message's words; empty for whatever else was sent."""
    if not text or len(text) > MAX_TEXT_CHARS:
        return {}
    try:
        told: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
