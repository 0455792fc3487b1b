"""Runs our processes under one roof: starts them, merges their logs, brings a dead one back, ends them all.

A process that dies is started again after 0.2 s, doubling to 5 s while it keeps dying at once. The kernel kills every
child should the supervisor itself be killed: each of them bears that by design, while one that ended in its own time could
meet its successor on the same sockets.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

PR_SET_PDEATHSIG = 1
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
STEADY_AFTER_S = 10.0
STOP_DEADLINE_S = 8.0


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep running."""

    name: str
    argv: tuple[str, ...]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Supervisor:
    """Keeps `programs` running from `start` to `stop`."""

    def __init__(self, programs: tuple[Program, ...], environment: Mapping[str, str]) -> None:
        self._programs = programs
        self._environment = {**os.environ, **environment}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._keepers: list[threading.Thread] = []

    def start(self) -> None:
        """Start each program and a thread that keeps it."""
        for program in self._programs:
            first = self._spawn(program)
            keeper = threading.Thread(target=self._keep, args=(program, first), daemon=True)
            keeper.start()
            self._keepers.append(keeper)

    def pids(self) -> dict[str, int]:
        """The process id of each program that runs now."""
        with self._lock:
            return {name: child.pid for name, child in self._children.items() if child.poll() is None}

    def stop(self) -> None:
        """End all: SIGTERM, then SIGKILL to whom it did not reach in 8 s."""
        self._stopping.set()
        with self._lock:
            children = list(self._children.values())
        for child in children:
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_DEADLINE_S
        for child in children:
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal(child, signal.SIGKILL)
                child.wait()

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        # PDEATHSIG is tied to the thread that forks, so children are forked by a thread that lives as long as we do.
        child = subprocess.Popen(
            program.argv,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        with self._lock:
            self._children[program.name] = child
        return child

    def _keep(self, program: Program, child: subprocess.Popen[bytes]) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            _copy_log(program.name, child)
            code = child.wait()
            if self._stopping.is_set():
                return
            pause_s = FIRST_PAUSE_S if time.monotonic() - began > STEADY_AFTER_S else min(pause_s * 2, LONGEST_PAUSE_S)
            _say("run", f"{program.name} ended with {code}; starting it again in {pause_s:.1f} s")
            if self._stopping.wait(pause_s):
                return
            child = self._spawn(program)


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    if child.poll() is None:
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            return


def _copy_log(name: str, child: subprocess.Popen[bytes]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        _say(name, line.decode(errors="replace").rstrip())


def _say(name: str, line: str) -> None:
    sys.stdout.write(f"{name:<10} {line}\n")
    sys.stdout.flush()
