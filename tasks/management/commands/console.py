"""`manage.py console`: give the web process the consoles of guests, until interrupted."""

from __future__ import annotations

import asyncio
import contextlib

from django.conf import settings
from django.core.management.base import BaseCommand

from tasks.console.libvirt_doors import LibvirtDoors
from tasks.console.server import ConsoleServer
from tasks.hypervisor.events import register_asyncio_events


class Command(BaseCommand):
    help = "Open guests' serial lines and screens for the web process, on a unix socket."

    def handle(self, *_args: object, **_options: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve())


async def _serve() -> None:
    register_asyncio_events()
    server = await ConsoleServer(LibvirtDoors()).listen(settings.CONSOLE_SOCKET)
    async with server:
        await server.serve_forever()
