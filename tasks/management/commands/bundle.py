"""`manage.py bundle DIR`: each host's support bundle, a folder a host, for `manage.py trace --bundle`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portal.hosts.models import Host
from tasks.bundle_writer import write_bundle


class Command(BaseCommand):
    help = "Write what the hosts' switches and libvirt tell into DIR, as sos lays it out, secrets left out."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("dir", type=Path, help="a new or empty folder; each host gets a folder in it")
        parser.add_argument("--host", action="append", help="this host alone; may be given several times")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["dir"]
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CommandError(f"{folder} is there and not empty: name a new folder", returncode=2)
        hosts = {host.name: host for host in Host.objects.all()}
        wanted = options["host"] or list(hosts)
        unknown = [name for name in wanted if name not in hosts]
        if unknown or not wanted:
            known = ", ".join(hosts) or "none"
            raise CommandError(f"host {', '.join(unknown) or 'none'} was given; the hosts are: {known}", returncode=2)
        for name in wanted:
            problems = write_bundle(hosts[name], folder / name)
            self.stdout.write(f"{folder / name}: {len(problems)} outputs missing" if problems else f"{folder / name}")
