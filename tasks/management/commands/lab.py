"""`manage.py lab up --hosts N | down | status`: hypervisors on this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

import lab


class Command(BaseCommand):
    help = "Hypervisors in network namespaces of this machine: real libvirtd, QEMU and Open vSwitch. Needs root."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("verb", choices=["up", "down", "status"])
        parser.add_argument("--hosts", type=int, default=2, help="how many (default 2)")
        parser.add_argument("--name", default=settings.LAB_NAME, help="labs of different names live side by side")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        if options["verb"] == "up":
            for host in lab.up(name, options["hosts"]):
                self.stdout.write(f"{host.name}  underlay {host.underlay_ip}  {host.libvirt_uri}")
        elif options["verb"] == "down":
            lab.down(name)
            self.stdout.write(f"lab {name} is down")
        else:
            self.stdout.write(json.dumps(dataclasses.asdict(lab.status(name)), default=str, indent=2))
