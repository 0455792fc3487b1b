"""A lab: hypervisors on one machine. `up` starts and heals, `down` leaves nothing, whatever state either one finds."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.capabilities import share_capabilities
from lab.commands import run, start, tool
from lab.errors import LabError
from lab.hypervisor import Hypervisor
from lab.namespaces import WEB_SERVER, delete_namespace, ensure_wire, namespaces_of
from lab.paths import LABS, HypervisorPaths, check_name, hypervisor_paths, lab_netns, lab_paths, lab_root
from lab.processes import end_lab, marked, marks, of_lab, pids

DAEMONS = ("sleep", "ovsdb-server", "ovs-vswitchd", "virtlogd", "libvirtd")
WEB_PAGE = (
    "<!doctype html><title>Hopsight lab</title><p>This is the internet of lab {name}: the packet left the cloud.\n"
)


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One hypervisor: its daemons by name, with 0 for one that does not run, and how many guests it has."""

    name: str
    daemons: dict[str, int]
    guests: int

    @property
    def is_up(self) -> bool:
        return all(self.daemons.values())


@dataclass(frozen=True, slots=True)
class LabStatus:
    """What there is of a lab."""

    name: str
    hosts: tuple[HostStatus, ...]
    namespaces: tuple[str, ...]
    processes: int

    @property
    def is_up(self) -> bool:
        return bool(self.hosts) and all(host.is_up for host in self.hosts)

    @property
    def is_gone(self) -> bool:
        return not (self.hosts or self.namespaces or self.processes)


def up(name: str, hosts: int = 2) -> tuple[HypervisorPaths, ...]:
    """The lab's hypervisors, all answering. Idempotent: it starts what is missing and leaves the rest alone."""
    wanted = lab_paths(name, hosts)
    if os.getuid() != 0:
        raise LabError("a lab needs root: it makes network and mount namespaces")
    with _locked(name):
        lab_root(name).mkdir(parents=True, exist_ok=True)
        ensure_wire(name)
        with ThreadPoolExecutor(max_workers=min(hosts, 8)) as pool:
            started = list(pool.map(lambda paths: Hypervisor(name, paths).ensure(), wanted))
        share_capabilities(tuple(started))
        _ensure_web_server(name)
    return tuple(started)


def down(name: str) -> None:
    """Nothing of the lab is left: no process, guest, namespace, interface, mount or file."""
    root = lab_root(name)
    if not LABS.is_dir() and not namespaces_of(name) and not of_lab(name, root, ()):
        return
    with _locked(name, and_remove=True):
        namespaces = namespaces_of(name)
        end_lab(name, root, namespaces)
        for netns in namespaces:
            delete_namespace(netns)
        _unmount_under(root)
        shutil.rmtree(root, ignore_errors=True)
        if root.exists():
            shutil.rmtree(root)
    for folder in (LABS, LABS.parent):
        _remove_if_empty(folder)


def status(name: str) -> LabStatus:
    """What runs of the lab; reads /proc and folders only, so it answers whatever hangs."""
    root = lab_root(name)
    namespaces = namespaces_of(name)
    numbers = sorted(int(path.name[2:]) for path in root.glob("hv*") if re.fullmatch(r"hv\d+", path.name))
    hosts = tuple(_host_status(name, hypervisor_paths(name, number)) for number in numbers)
    return LabStatus(name, hosts, namespaces, len(of_lab(name, root, namespaces)))


def access_command(name: str) -> tuple[str, ...]:
    """The argv prefix that runs a command where people sit: in the lab's access namespace."""
    return ("ip", "netns", "exec", lab_netns(name, "access"))


def _host_status(name: str, paths: HypervisorPaths) -> HostStatus:
    alive = {process.command: process.pid for process in marked(name, paths.name)}
    guests = sum(1 for pid in _in_namespace(paths.netns) if _command_of(pid).startswith("qemu-system"))
    return HostStatus(paths.name, {daemon: alive.get(daemon, 0) for daemon in DAEMONS}, guests)


def _in_namespace(netns: str) -> list[int]:
    try:
        wanted = os.stat(f"/run/netns/{netns}").st_ino
    except OSError:
        return []
    return [pid for pid in pids() if _network_of(pid) == wanted]


def _network_of(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def _ensure_web_server(name: str) -> None:
    if any(process.command == "busybox" for process in marked(name, "inet")):
        return
    pages = lab_root(name) / "inet"
    pages.mkdir(parents=True, exist_ok=True)
    (pages / "index.html").write_text(WEB_PAGE.format(name=name))
    serve = (tool("busybox"), "httpd", "-f", "-p", f"{WEB_SERVER}:80", "-h", str(pages))
    start("setsid", "--fork", "ip", "netns", "exec", lab_netns(name, "inet"), *serve, env=marks(name, "inet"))


@contextmanager
def _locked(name: str, and_remove: bool = False) -> Iterator[None]:
    """One `up` or `down` of a lab at a time. The lock's file goes with the lab: whoever waited for a removed one asks
    again."""
    path = LABS / f".{check_name(name)}.lock"
    while True:
        LABS.mkdir(parents=True, exist_ok=True)
        try:
            lock = path.open("a")
        except FileNotFoundError:
            continue
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                current = path.stat().st_ino == os.fstat(lock.fileno()).st_ino
            except FileNotFoundError:
                current = False
            if not current:
                continue
            yield
            if and_remove:
                path.unlink(missing_ok=True)
            return


def _unmount_under(root: Path) -> None:
    """Mounts that something left in this namespace on the lab's folders (none of ours: those end with the holder)."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        place = line.split()[4]
        if place.startswith(f"{root}/"):
            run("umount", "--lazy", place)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
