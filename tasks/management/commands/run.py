"""`manage.py run`: the whole product on one machine, with a lab (root) or the preview."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import socket
import struct
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from tasks.embedded import (
    Hypervisors,
    connect_access,
    prepare_hypervisors,
    release_hypervisors,
    seed_rows,
    wait_for_hosts,
)
from tasks.supervisor import Program, Supervisor

READY_DEADLINE_S = 60.0


class Command(BaseCommand):
    requires_system_checks = ()  # they load every page and the whole API: 25 MiB for as long as the process runs
    help = "Start everything on this machine and print where to log in. Ctrl-C ends it and leaves nothing behind."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="web port on 127.0.0.1 (the next free one is taken)")
        parser.add_argument("--hosts", type=int, default=2, help="hypervisors of the lab (default 2)")
        parser.add_argument("--preview", action="store_true", help="simulated hypervisors, no root needed")

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        lock = _only_run(Path(settings.STATE_DIR) / "run.lock")
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: stop.set())
        preview = options["preview"] or os.getuid() != 0 or not sys.platform.startswith("linux")
        lab = None if preview else claim_lab(settings.LAB_NAME)
        call_command("migrate", verbosity=0)
        hypervisors = None
        supervisor = None
        redis = Supervisor((_redis_program(),), {})
        try:
            redis.start()
            hypervisors = prepare_hypervisors(preview=preview, hosts=options["hosts"])
            seed_rows(hypervisors)
            port = _free_port(options["port"])
            supervisor = Supervisor(_programs(port), {"HOPSIGHT_MODE": hypervisors.mode, **hypervisors.environment})
            supervisor.start()
            _wait_for_web(port, stop)
            wait_for_hosts(stop)
            connect_access(hypervisors, stop)
            self._welcome(port, hypervisors, time.monotonic() - began)
            stop.wait()
        finally:
            self.stdout.write("\nstopping …")
            if supervisor:
                supervisor.stop()
            if hypervisors:
                release_hypervisors(hypervisors)
            redis.stop()
            lock.close()
            if lab:
                lab.close()

    def _welcome(self, port: int, hypervisors: Hypervisors, took_s: float) -> None:
        passwords = (Path(settings.STATE_DIR) / "passwords").read_text().strip()
        self.stdout.write(
            f"\n  Hopsight is ready after {took_s:.0f} s: http://127.0.0.1:{port}/\n"
            f"  {hypervisors.words}\n\n"
            f"  Log in (user and password):\n    " + passwords.replace("\n", "\n    ") + "\n\n  Ctrl-C ends it.\n"
        )
        self.stdout.flush()


def _only_run(path: Path) -> IO[str]:
    """The lock of this state folder, held until it is closed or we die; two runs in one would spoil each other's sockets."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        who = file.read().strip() or "unknown"
        file.close()
        raise CommandError(
            f"Hopsight runs in {path.parent} already (process {who}): end that one, or name another folder with HOPSIGHT_STATE"
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def claim_lab(name: str) -> socket.socket:
    """The claim on this machine's lab of the name, held until it is closed or we die; two runs would program one lab's switches
    against each other. Raises CommandError with the process that has it."""
    address = f"\0hopsight-lab-{name}"  # in the kernel alone: nothing is left of it
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(address)
    except OSError:
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(address)
            who = struct.unpack("3i", other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[0]
        claim.close()
        raise CommandError(
            f"The lab “{name}” is another run's (process {who}), started with another state folder: end that one, or give this "
            "one a lab of its own with HOPSIGHT_LAB"
        ) from None
    claim.listen()
    return claim


def _redis_program() -> Program:
    argv = ("redis-server", "--port", "0", "--unixsocket", str(settings.REDIS_SOCKET), "--unixsocketperm", "700")
    return Program("redis", (*argv, "--save", "", "--appendonly", "no", "--loglevel", "warning"))


def _programs(port: int) -> tuple[Program, ...]:
    python = sys.executable
    manage = str(Path(settings.BASE_DIR) / "manage.py")
    celery = (python, "-m", "celery", "-A", "tasks.celery")
    web = (python, "-m", "uvicorn", "portal.config.asgi:application", "--host", "127.0.0.1", "--port", str(port))
    return (
        Program("web", (*web, "--no-access-log", "--log-level", "warning")),
        Program("worker", (*celery, "worker", "--pool", "threads", "--concurrency", "16", "--loglevel", "WARNING")),
        Program("beat", (*celery, "beat", "--loglevel", "WARNING", "--schedule", str(settings.STATE_DIR / "beat"))),
        Program("collector", (python, manage, "collector")),
        Program("controller", (python, manage, "controller")),
        Program("console", (python, manage, "console")),
    )


def _free_port(wanted: int) -> int:
    for port in range(wanted, wanted + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise CommandError(f"no free port from {wanted} to {wanted + 49} on 127.0.0.1: name one with --port")


def _wait_for_web(port: int, stop: threading.Event) -> None:
    deadline, login = time.monotonic() + READY_DEADLINE_S, reverse("login")
    while not stop.is_set():
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{login}", timeout=5).close()
            return
        except (urllib.error.URLError, OSError) as problem:
            if time.monotonic() > deadline:
                raise CommandError(
                    f"the web process did not answer within {READY_DEADLINE_S:.0f} s: {problem}"
                ) from problem
            stop.wait(0.1)
