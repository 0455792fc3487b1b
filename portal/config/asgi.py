"""The web process: pages and API over HTTP, live topics over a WebSocket."""

from __future__ import annotations

import os
import threading
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.config.settings")
django.setup(set_prefix=False)

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402

from portal.accounts.callers import OriginOfPages, TokensOnSockets  # noqa: E402
from portal.config.memory import collect_seldom  # noqa: E402
from portal.config.one_hop import OneHopHandler, without_start_signals  # noqa: E402
from portal.config.turns import hand_over_soon  # noqa: E402
from portal.console.socket import console_socket  # noqa: E402
from portal.live.consumers import LiveConsumer  # noqa: E402
from portal.operations.dispatch import warm_up  # noqa: E402

consoles: Any = console_socket  # Django's `path` knows views, Channels' router takes applications
sockets = URLRouter([path("ws/live", LiveConsumer.as_asgi()), path("ws/vms/<uuid:vm>/console/<str:kind>", consoles)])
application = ProtocolTypeRouter(
    {
        "http": OneHopHandler(),
        "websocket": OriginOfPages(AuthMiddlewareStack(TokensOnSockets(sockets))),
    }
)
collect_seldom()
hand_over_soon()
without_start_signals()
threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
