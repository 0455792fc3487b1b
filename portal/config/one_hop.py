"""Django's ASGI handler with the whole middleware chain in one call on one warm thread.

Django's own takes each middleware's two halves to a thread and back (14 hops a request here), on a thread that is made
for the request and so opens a database connection of its own. All of our middleware and views are synchronous: one hop
to a thread that has its connection halves what a request costs. Connections are let go by age as Django's signals do,
which reach another thread than this one: the web process lets none of them hold up a request (`without_start_signals`).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_started
from django.db import close_old_connections, reset_queries
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from portal.config.bodies import bounded

THREADS = 48
Chain = Callable[[HttpRequest], HttpResponseBase]


def without_start_signals() -> None:
    """Take Django's own receivers off the start of a request: a hop to a thread that has no connection to let go of."""
    for receiver in (reset_queries, close_old_connections):
        request_started.disconnect(receiver)


class OneHopHandler(ASGIHandler):
    """Answers as Django's handler does."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Without a thread of the request's own: what Django still does by hops is only its signals."""
        if scope["type"] != "http":
            raise ValueError(f"only HTTP is answered here, not {scope['type']}")
        await self.handle(scope, bounded(scope, receive), send)

    def load_middleware(self, is_async: bool = False) -> None:
        """The synchronous chain, taken to a thread as one."""
        super().load_middleware(is_async=False)
        chain: Chain = self._middleware_chain
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="web")

        def answer(request: HttpRequest) -> HttpResponseBase:
            close_old_connections()
            try:
                return chain(request)
            finally:
                close_old_connections()

        self._middleware_chain: Any = sync_to_async(answer, thread_sensitive=False, executor=pool)
