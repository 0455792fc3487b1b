"""`manage.py collector`: watch every host's libvirt until interrupted."""

from __future__ import annotations

import asyncio
import contextlib

from django.core.management.base import BaseCommand

from tasks.collector import collect


class Command(BaseCommand):
    requires_system_checks = ()  # they load every page and the whole API: 25 MiB for as long as the process runs
    help = "Watch every host's libvirt: states, capacity, errors."

    def handle(self, *_args: object, **_options: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(collect())
