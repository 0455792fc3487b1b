"""Finding and ending what a lab started, from /proc alone: pid files get lost, the kernel does not lie.

A process is the lab's when any of these holds; QEMU, which libvirt starts with a clean environment, has only the last two:
- its environment has our mark;
- it is in one of the lab's network namespaces;
- its mount namespace has the lab's folders bound into it.
This process and those that started it are never among them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.errors import DeadlinePassed

MARK = "HOPSIGHT_LAB_PROCESS"
HOST_MARK = "HOPSIGHT_LAB_HOST"
KILL_DEADLINE_S = 15.0


@dataclass(frozen=True, slots=True)
class Process:
    """One running process."""

    pid: int
    command: str
    environment: tuple[str, ...]


def marks(name: str, host: str = "") -> dict[str, str]:
    """The environment that marks a process as a lab's, and as a host's of it."""
    return {MARK: name, HOST_MARK: host}


def marked(name: str, host: str | None = None) -> list[Process]:
    """Running processes with the lab's mark, of one host if named."""
    wanted = {f"{MARK}={name}"} | ({f"{HOST_MARK}={host}"} if host is not None else set())
    return [found for found in running() if wanted <= set(found.environment)]


def running() -> Iterator[Process]:
    """Every process that can be read and is no zombie."""
    for pid in pids():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            command = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        if environment:
            yield Process(pid, command, tuple(environment.decode(errors="replace").rstrip("\0").split("\0")))


def of_lab(name: str, root: Path, namespaces: Iterable[str]) -> set[int]:
    """Ids of all processes of a lab, by mark, by network namespace, by mount namespace."""
    networks = {inode for inode in map(_inode, (f"/run/netns/{netns}" for netns in namespaces)) if inode}
    folder = f"/{root.parent.name}/{root.name}/"
    own_mounts = _inode("/proc/self/ns/mnt")
    bound: dict[int, bool] = {}
    found = {process.pid for process in marked(name)}
    for pid in pids():
        if _inode(f"/proc/{pid}/ns/net") in networks:
            found.add(pid)
            continue
        mounts = _inode(f"/proc/{pid}/ns/mnt")
        if mounts is None or mounts == own_mounts:
            continue
        if mounts not in bound:
            bound[mounts] = _has_bound(pid, folder)
        if bound[mounts]:
            found.add(pid)
    return found - _ancestors()


def end_lab(name: str, root: Path, namespaces: tuple[str, ...]) -> None:
    """Kill every process of the lab, those it forks meanwhile too."""
    _end_all(lambda: of_lab(name, root, namespaces), f"lab {name}")


def end_where(chosen: Callable[[Process], bool], whose: str) -> None:
    """Kill every process that is `chosen`, those it forks meanwhile too."""
    _end_all(lambda: {process.pid for process in running() if chosen(process)} - _ancestors(), whose)


def _end_all(find: Callable[[], set[int]], whose: str) -> None:
    deadline = time.monotonic() + KILL_DEADLINE_S
    while found := {pid for pid in find() if not is_zombie(pid)}:
        if time.monotonic() > deadline:
            raise DeadlinePassed(f"{whose}: processes {sorted(found)} do not end")
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def pids() -> list[int]:
    """Ids of all processes."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def is_zombie(pid: int) -> bool:
    """Whether it has ended and only waits to be reaped; true too when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _has_bound(pid: int, folder: str) -> bool:
    """Whether a folder of the lab is bound somewhere; mountinfo's fourth field is the path inside its file system."""
    try:
        lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    except OSError:
        return False
    return any(folder in f"{line.split()[3]}/" for line in lines)


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _ancestors() -> set[int]:
    found = {os.getpid()}
    pid = os.getpid()
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
        found.add(pid)
    return found
