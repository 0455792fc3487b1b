"""`manage.py lab up --hosts N | down | status | serve`: hypervisors on this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

import lab
from tasks.embedded import connect_access, prepare_hypervisors, release_hypervisors, seed_rows, wait_for_hosts


class Command(BaseCommand):
    requires_system_checks = ()
    help = "Hypervisors in network namespaces of this machine: real libvirtd, QEMU and Open vSwitch. Needs root."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("verb", choices=["up", "down", "status", "serve"])
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
        elif options["verb"] == "serve":
            self._serve(options["hosts"])
        else:
            self.stdout.write(json.dumps(dataclasses.asdict(lab.status(name)), default=str, indent=2))

    def _serve(self, hosts: int) -> None:
        """The lab with its rows, for processes that run elsewhere on this machine, until SIGTERM or Ctrl-C."""
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        hypervisors = prepare_hypervisors(preview=False, hosts=hosts)
        try:
            seed_rows(hypervisors)
            wait_for_hosts(stop)
            connect_access(hypervisors, stop)
            self.stdout.write(
                f"{hypervisors.words} Reach guests with: {hypervisors.environment['HOPSIGHT_SSH_PREFIX']}"
            )
            self.stdout.flush()
            stop.wait()
        finally:
            release_hypervisors(hypervisors)
