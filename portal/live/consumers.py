"""The WebSocket: `{"join": topic}` and `{"leave": topic}` in; `joined`, `refused`, `lagging` and events out.

A frame is one such message or, when several are due, an array of them.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from portal.live.hub import Mailbox, frame_of, hub
from portal.live.topics import refusal_of, snapshot_of

MAX_TOPICS = 50
FRAME_EVERY_S = 0.05  # at most 20 frames a second to one socket; the first after a pause goes at once


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One person's socket."""

    async def connect(self) -> None:
        self.mailbox = Mailbox()
        self.topics: set[str] = set()
        self.pump: asyncio.Task[None] | None = None
        if not self.scope["user"].is_authenticated:
            await self.close(code=4401)
            return
        await self.accept()
        self.pump = asyncio.create_task(self._pump())

    async def disconnect(self, code: int) -> None:
        for topic in self.topics:
            hub().leave(topic, self.mailbox)
        if self.pump:
            self.pump.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            asked: Any = json.loads(text_data or "")
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            await self._say({"refused": "", "reason": 'send {"join": topic} or {"leave": topic}'})
        elif isinstance(asked.get("join"), str):
            await self._join(asked["join"])
        elif isinstance(asked.get("leave"), str) and asked["leave"] in self.topics:
            self.topics.discard(asked["leave"])
            hub().leave(asked["leave"], self.mailbox)

    async def _join(self, topic: str) -> None:
        reason = await database_sync_to_async(refusal_of)(self.scope["user"], topic)
        if not reason and len(self.topics) >= MAX_TOPICS:
            reason = f"{MAX_TOPICS} topics are joined already"
        if reason:
            await self._say({"refused": topic, "reason": reason})
            return
        self.topics.add(topic)
        await hub().join(topic, self.mailbox)
        snapshot = await database_sync_to_async(snapshot_of)(topic)
        await self._say({"joined": topic, "seq": snapshot["seq"]})

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        free_at = 0.0
        while True:
            texts = [await self.mailbox.queue.get()]
            await asyncio.sleep(max(free_at - loop.time(), 0))
            texts += self.mailbox.take_all()
            texts += [json.dumps({"lagging": topic}) for topic in self.mailbox.take_lagging()]
            free_at = loop.time() + FRAME_EVERY_S
            await self.send(text_data=frame_of(texts))

    async def _say(self, message: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(message))
