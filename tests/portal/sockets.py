"""A WebSocket to the ASGI application, without a server in between."""

from __future__ import annotations

import json
from typing import Any

from asgiref.testing import ApplicationCommunicator

DEADLINE_S = 60  # a busy machine is late, not wrong


class Socket(ApplicationCommunicator):  # type: ignore[misc]
    """One connection; `open` says whether it was let in."""

    def __init__(self, application: Any, headers: list[tuple[bytes, bytes]]) -> None:
        scope = {"type": "websocket", "path": "/ws/live", "query_string": b"", "headers": headers, "subprotocols": []}
        super().__init__(application, scope)
        self.waiting: list[dict[str, Any]] = []

    async def open(self) -> bool:
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(DEADLINE_S))["type"] == "websocket.accept"

    async def send(self, **frame: Any) -> None:
        await self.send_input({"type": "websocket.receive", **frame})

    async def hear(self) -> dict[str, Any]:
        """The next message; a frame holds one or an array of them. A closed socket fails."""
        if self.waiting:
            return self.waiting.pop(0)
        frame = await self.receive_output(DEADLINE_S)
        assert frame["type"] == "websocket.send", frame
        told = json.loads(frame["text"])
        self.waiting = told if isinstance(told, list) else [told]
        return self.waiting.pop(0)

    async def say(self, **message: Any) -> dict[str, Any]:
        """The first message after sending one."""
        await self.send(text=json.dumps(message))
        return await self.hear()

    async def leave(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(DEADLINE_S)
