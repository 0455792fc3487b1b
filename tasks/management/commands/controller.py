"""`manage.py controller`: the process that keeps the switches."""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import BaseCommand

from tasks.controller import run


class Command(BaseCommand):
    requires_system_checks = ()  # they load every page and the whole API: 25 MiB for as long as the process runs
    help = "Keep every host's switch as the rows say; answer DHCP; tell what flows and counters do."

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(run())
