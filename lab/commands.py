"""Commands of this machine, as argv, never through a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from lab.errors import CommandFailed, DeadlinePassed, LabError

T = TypeVar("T")
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE_S = 60.0


def tool(name: str) -> str:
    """Where `name` is, in sbin folders too; an error that names it when it is not installed."""
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        raise LabError(f"{name} is not installed: scripts/run and scripts/lab install what a lab needs")
    return found


def run(*argv: str, env: Mapping[str, str] | None = None, patience_s: float = PATIENCE_S) -> str:
    """What the command printed; `CommandFailed` with its words otherwise. `env` is added to this process's own."""
    try:
        done = subprocess.run(
            [tool(argv[0]), *argv[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience_s,
            env={**os.environ, "PATH": SEARCH_PATH, "LC_ALL": "C", **(env or {})},
        )
    except subprocess.TimeoutExpired as late:
        raise DeadlinePassed(f"{' '.join(argv)} did not end within {patience_s:.0f} s") from late
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stderr or done.stdout)
    return done.stdout


def start(*argv: str, env: Mapping[str, str] | None = None) -> None:
    """Start a daemon that detaches itself, with its outputs closed so that nobody waits for them; its errors are kept
    by its own log."""
    done = subprocess.run(
        [tool(argv[0]), *argv[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=PATIENCE_S,
        cwd="/",
        env={**os.environ, "PATH": SEARCH_PATH, "LC_ALL": "C", **(env or {})},
    )
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, "see its log")


def wait_until(ready: Callable[[], T], deadline_s: float, what: str, every_s: float = 0.02) -> T:
    """The first true answer of `ready`; `DeadlinePassed` naming `what` when it never comes."""
    end = time.monotonic() + deadline_s
    while True:
        answer = ready()
        if answer:
            return answer
        if time.monotonic() > end:
            raise DeadlinePassed(f"{what}: not within {deadline_s:.0f} s")
        time.sleep(every_s)


def ovs_version() -> str:
    """The installed Open vSwitch's, such as `3.1.0`: what ovs-ctl writes into the database of a host that it starts."""
    return run("ovs-vswitchd", "--version").split("\n", 1)[0].rsplit(" ", 1)[-1]
