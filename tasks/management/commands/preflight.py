"""`manage.py preflight [HOST …]`: whether this process reaches the hosts, by every way that Hopsight takes, and what is wrong.

Exit status: 0 when every host is well, 1 when something is not.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from portal.hosts.models import Host
from tasks.preflight import look_over

MARKS = {True: "ok ", False: "BAD", None: "?  "}


class Command(BaseCommand):
    help = (
        "Look at hosts from where this runs: libvirt, disks, certificates, Open vSwitch; what is wrong, and what to do."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="HOST", help="all of them if none is named")

    def handle(self, *args: Any, **options: Any) -> None:
        names: list[str] = options["names"]
        rows = {host.name: host for host in Host.objects.order_by("id")}
        if unknown := [name for name in names if name not in rows]:
            raise CommandError(f"there is no host {', '.join(unknown)}; known: {', '.join(rows) or 'none'}")
        if not rows:
            raise CommandError("there is no host yet: manage.py host add NAME --underlay-ip ADDRESS")
        ill = [name for name in names or rows if not self._is_well(rows[name])]
        if ill:
            sys.exit(1)

    def _is_well(self, host: Host) -> bool:
        self.stdout.write(host.name)
        is_well = True
        for found in look_over(host, timezone.now()):
            is_well = is_well and found.is_fine is not False
            self.stdout.write(f"  {MARKS[found.is_fine]}  {found.what}: {found.words}")
            if found.do:
                self.stdout.write(f"       {found.do}")
        return is_well
