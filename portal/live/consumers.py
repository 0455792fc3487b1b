"""The WebSocket: `{"join": topic}` and `{"leave": topic}` in; `joined`, `refused`, `lagging`, `stale` and events out.

A frame is one such message or, when several are due, an array of them.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from portal.accounts.callers import is_live
from portal.accounts.models import User
from portal.live.hub import FRAME_EVERY_S, Mailbox, frame_of, hub
from portal.live.topics import refusal_of, snapshot_of

MAX_TOPICS = 50
MAX_MESSAGE_CHARS = 4096
NOT_LOGGED_IN = 4401
HOW = 'send {"join": topic} or {"leave": topic}'


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One person's socket."""

    async def connect(self) -> None:
        self.mailbox = Mailbox()
        self.topics: set[str] = set()
        self.pump: asyncio.Task[None] | None = None
        if not self.scope["user"].is_authenticated:
            await self.close(code=NOT_LOGGED_IN)
            return
        await self.accept()
        hub().open(self.scope["user"].pk, self.mailbox)
        self.pump = asyncio.create_task(self._pump())

    async def disconnect(self, code: int) -> None:
        for topic in self.topics:
            hub().leave(topic, self.mailbox)
        if self.pump:
            hub().close(self.scope["user"].pk, self.mailbox)
            self.pump.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        asked = _parse(text_data)
        if "join" in asked:
            await self._join(asked["join"])
        elif "leave" in asked:
            self._leave(asked["leave"])
        else:
            await self._say({"refused": "", "reason": HOW})

    def _leave(self, topic: str) -> None:
        if topic in self.topics:
            self.topics.discard(topic)
            hub().leave(topic, self.mailbox)

    async def _join(self, topic: str) -> None:
        full = len(self.topics) >= MAX_TOPICS and topic not in self.topics
        reason = f"{MAX_TOPICS} topics are joined already: leave one first" if full else ""
        reason = reason or await database_sync_to_async(refusal_of)(
            self.scope["user"], topic, self.scope.get("api_token")
        )
        if reason:
            await self._say({"refused": topic, "reason": reason})
            return
        self.topics.add(topic)
        await hub().join(topic, self.mailbox)
        snapshot = await database_sync_to_async(snapshot_of)(topic)
        await self._say({"joined": topic, "seq": snapshot["seq"]})

    async def _pump(self) -> None:
        """A topic's batches are 20 a second at most; a reader of several topics waits by itself, to have no more frames."""
        loop = asyncio.get_running_loop()
        free_at, mailbox = 0.0, self.mailbox
        while True:
            await mailbox.wait()
            if len(self.topics) > 1 and (left := free_at - loop.time()) > 0:
                await asyncio.sleep(left)
            batches = mailbox.take_all()
            if mailbox.take_ask() and not await self._keep_allowed():
                return
            texts = [batch.text for batch in batches if batch.topic in self.topics]
            texts += [json.dumps({"lagging": topic}) for topic in mailbox.take_lagging() if topic in self.topics]
            if (is_stale := mailbox.take_stale()) is not None:
                texts.append(json.dumps({"stale": is_stale}))
            free_at = loop.time() + FRAME_EVERY_S
            if texts:
                await self.send(text_data=frame_of(texts))

    async def _keep_allowed(self) -> bool:
        """Leaves the topics that the person may read no more; closes the socket of one who is logged out: False."""
        refused = await database_sync_to_async(_refused)(self.scope, tuple(self.topics))
        if refused is None:
            await self.close(code=NOT_LOGGED_IN)
            return False
        for topic, reason in refused.items():
            self._leave(topic)
            await self._say({"refused": topic, "reason": reason})
        return True

    async def _say(self, message: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(message))


def _parse(text: str | None) -> dict[str, str]:
    """The one word of a message and its topic; empty for whatever else was sent."""
    if not text or len(text) > MAX_MESSAGE_CHARS:
        return {}
    try:
        asked: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(asked, dict):
        return {}
    return {name: asked[name] for name in ("join", "leave") if isinstance(asked.get(name), str)}


def _refused(scope: dict[str, Any], topics: tuple[str, ...]) -> dict[str, str] | None:
    """Topic → reason for those that the person may read no more; None when nobody is logged in any more."""
    user = User.objects.filter(pk=scope["user"].pk, is_active=True).first()
    session, token = scope.get("session"), scope.get("token_key")
    if user is None or (token and not is_live(token, user.pk)):
        return None
    if not token and session is not None and session.session_key and not session.exists(session.session_key):
        return None
    scope["user"] = user
    reasons = {topic: refusal_of(user, topic, scope.get("api_token")) for topic in topics}
    return {topic: reason for topic, reason in reasons.items() if reason}
