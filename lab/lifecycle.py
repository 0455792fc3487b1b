"""A lab's life: `up` heals what is missing, `down` leaves nothing, whatever was killed in between."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.hypervisor import ensure_hypervisor, lab_environment
from lab.paths import LABS, HypervisorPaths, LabError, check_name, lab_paths, lab_root, namespace
from lab.shell import attempt, run
from lab.wire import ensure_access_cable, ensure_host_cable, ensure_namespace, ensure_wire, namespaces_of

DOWN_DEADLINE_S = 15.0


@dataclass(frozen=True, slots=True)
class LabStatus:
    """What there is of a lab now."""

    name: str
    hosts: tuple[str, ...]
    namespaces: tuple[str, ...]
    pids: tuple[int, ...]
    is_up: bool


def up(name: str, hosts: int = 2) -> tuple[HypervisorPaths, ...]:
    """The lab's hypervisors, all daemons answering. Idempotent. Raises LabError with what is missing."""
    if os.getuid() != 0:
        raise LabError("a lab needs root: it makes network namespaces")
    paths = lab_paths(name, hosts)
    with _locked(name):
        ensure_wire(name)
        for host in paths:
            ensure_namespace(host.netns)
            nic = ensure_host_cable(name, host.name, host.netns)
            ensure_hypervisor(name, host, nic)
        ensure_access_cable(name, paths[0].netns)
        _ensure_internet(name)
    return paths


def down(name: str) -> None:
    """No process, namespace, mount, interface or file of the lab is left."""
    check_name(name)
    with _locked(name):
        end = time.monotonic() + DOWN_DEADLINE_S
        while pids := _pids(name):
            for pid in pids:
                _kill(pid)
            if time.monotonic() > end:
                raise LabError(f"lab {name}: processes {pids} do not end")
            time.sleep(0.02)
        for netns in namespaces_of(name):
            attempt(["ip", "netns", "del", netns])
        shutil.rmtree(lab_root(name), ignore_errors=True)
    _lock_file(name).unlink(missing_ok=True)
    for folder in (LABS, LABS.parent):
        try:
            folder.rmdir()
        except OSError:
            return


def status(name: str) -> LabStatus:
    """What there is of the lab now."""
    root = lab_root(name)
    hosts = tuple(sorted(path.name for path in root.glob("hv*"))) if root.is_dir() else ()
    sockets = [root / host / "run/libvirt/libvirt-sock" for host in hosts]
    namespaces = tuple(namespaces_of(name))
    is_up = bool(hosts) and all(path.exists() for path in sockets)
    return LabStatus(name, hosts, namespaces, tuple(_pids(name)), is_up)


def access_command(name: str) -> tuple[str, ...]:
    """What to put before a command to run it where the lab's access port is."""
    return ("ip", "netns", "exec", namespace(name, "access"))


def plug_access(name: str, iface_id: str, mac: str, address: str, mtu: int) -> None:
    """Put the access cable on hv1's br-int as the port `iface_id`, and give its other end the address ("10.0.0.9/24")."""
    access = namespace(name, "access")
    database = f"--db=unix:{lab_paths(name, 1)[0].ovs_rundir}/db.sock"
    run([
        "ovs-vsctl", database, "--may-exist", "add-port", "br-int", "access0", "--", "set", "interface", "access0",
        f"external_ids:iface-id={iface_id}", f"external_ids:attached-mac={mac.replace(':', chr(92) + ':')}",
    ])  # fmt: skip
    run(["ip", "-n", access, "link", "set", "eth0", "down"])
    run(["ip", "-n", access, "link", "set", "eth0", "address", mac, "mtu", str(mtu)])
    run(["ip", "-n", access, "link", "set", "eth0", "up"])
    run(["ip", "-n", access, "addr", "replace", address, "dev", "eth0"])


def unplug_access(name: str) -> None:
    """Take the access cable off the bridge."""
    database = f"--db=unix:{lab_paths(name, 1)[0].ovs_rundir}/db.sock"
    run(["ovs-vsctl", database, "--if-exists", "del-port", "br-int", "access0"])


def _ensure_internet(name: str) -> None:
    """A small web server in the internet's namespace."""
    netns = namespace(name, "inet")
    pages = lab_root(name) / "internet"
    pages.mkdir(exist_ok=True)
    (pages / "index.html").write_text("hello from the internet\n")
    if not run(["ip", "netns", "pids", netns]).strip():
        command = ["ip", "netns", "exec", netns, "busybox", "httpd", "-p", "80", "-h", str(pages)]
        run(command, env=lab_environment(name))


def _pids(name: str) -> list[int]:
    """Every process of the lab: marked in its environment, or inside one of its network namespaces."""
    found: set[int] = set()
    needle = f"HOPSIGHT_LAB_OF={name}".encode()
    ours = {os.getpid(), os.getppid()}
    inodes = {
        os.stat(f"/run/netns/{netns}").st_ino for netns in namespaces_of(name) if Path(f"/run/netns/{netns}").exists()
    }
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) in ours:
            continue
        try:
            in_netns = os.stat(f"/proc/{entry.name}/ns/net").st_ino in inodes
            if in_netns or needle in _environment(entry.name):
                found.add(int(entry.name))
        except OSError:
            continue
    return sorted(found)


def _environment(pid: str) -> list[bytes]:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read().split(b"\0")


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _lock_file(name: str) -> Path:
    return Path("/run") / f"hopsight-lab-{check_name(name)}.lock"


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """One `up` or `down` of a lab at a time."""
    with open(_lock_file(name), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
