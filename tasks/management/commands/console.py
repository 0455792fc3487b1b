"""`manage.py console`: give the web process the consoles of guests, until interrupted."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.core.management.base import BaseCommand

from tasks.console.libvirt_doors import LibvirtDoors
from tasks.console.server import ConsoleServer
from tasks.hypervisor.events import register_asyncio_events

OPENS_AT_ONCE = 64


class Command(BaseCommand):
    requires_system_checks = ()  # they load every page and the whole API: 25 MiB for as long as the process runs
    help = "Open guests' serial lines and screens for the web process, on a unix socket."

    def handle(self, *_args: object, **_options: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve())


async def _serve() -> None:
    # a host that hangs keeps each open waiting until its deadline: the others' opens must find a thread meanwhile
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(OPENS_AT_ONCE, thread_name_prefix="open"))
    register_asyncio_events()
    server = await ConsoleServer(LibvirtDoors()).listen(settings.CONSOLE_SOCKET)
    async with server:
        await server.serve_forever()
