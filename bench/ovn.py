"""OVN on this machine as a reference: its databases, northd and controller, over an unprivileged Open vSwitch of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sdn.shadow import Shadow

NEEDED = {"ovn-nbctl": "ovn-central", "ovn-northd": "ovn-central", "ovn-controller": "ovn-host"}
SCHEMAS = Path("/usr/share/ovn")
QUIET = ("--no-chdir", "--pidfile", "-vconsole:off", "-vsyslog:off", "-vfile:off")
READY_S = 30.0


class OvnMissing(RuntimeError):
    """OVN is not installed; the message says how it would be."""


def check_ovn() -> None:
    """Raises OvnMissing, naming the packages."""
    packages = sorted({package for tool, package in NEEDED.items() if shutil.which(tool) is None})
    if packages:
        raise OvnMissing(f"OVN is the reference here and is not installed: apt-get install {' '.join(packages)}")


class Ovn:
    """One logical switch `ls` with a port `p0`, bound to one chassis."""

    def __init__(self, shadow: Shadow) -> None:
        self.shadow, self.rundir = shadow, shadow.rundir
        self._daemons: list[subprocess.Popen[bytes]] = []
        folders = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR", "OVN_RUNDIR", "OVN_LOGDIR", "OVN_DBDIR")
        self._environment = {**os.environ, **dict.fromkeys(folders, str(self.rundir))}

    def start(self) -> None:
        """Databases, northd, and a controller that is in step."""
        for name in ("nb", "sb"):
            database = self.rundir / f"{name}.db"
            subprocess.run(["ovsdb-tool", "create", str(database), str(SCHEMAS / f"ovn-{name}.ovsschema")], check=True)
            remote = f"--remote=punix:{self.rundir}/{name}.sock"
            pid, control = f"--pidfile={self.rundir}/{name}.pid", f"--unixctl={self.rundir}/{name}.ctl"
            self._spawn("ovsdb-server", QUIET[0], *QUIET[2:], pid, control, remote, str(database))
        _wait(lambda: all((self.rundir / f"{name}.sock").exists() for name in ("nb", "sb")), "OVN's databases listen")
        north, south = self._remotes
        self._spawn("ovn-northd", *QUIET, f"--ovnnb-db={north}", f"--ovnsb-db={south}")
        ids = {"system-id": "chassis-1", "ovn-remote": south, "ovn-encap-type": "geneve", "ovn-encap-ip": "127.0.0.1"}
        ids["ovn-bridge-datapath-type"] = "dummy"
        words = [f"external_ids:{key}={value}" for key, value in ids.items()]
        self.shadow.vsctl(
            "add-br", "br-int", "--", "set", "bridge", "br-int", "datapath_type=dummy", "fail_mode=secure"
        )
        self.shadow.vsctl("set", "open_vswitch", ".", *words)
        self._spawn("ovn-controller", *QUIET, f"unix:{self.rundir}/db.sock")
        self.nbctl("--wait=hv", "ls-add", "ls")

    def plug(self, names: Sequence[str]) -> None:
        """Interfaces with their iface-id set, as libvirt sets it; the logical ports are not there yet."""
        plug(self.shadow, {name: name for name in names})

    def add(self, ports: Sequence[tuple[str, str, str]]) -> float:
        """The seconds that adding the ports (name, MAC, address) takes until the chassis has them."""
        words: list[str] = []
        for name, mac, address in ports:
            words += ["--", "lsp-add", "ls", name, "--", "lsp-set-addresses", name, f"{mac} {address}"]
            words += ["--", "lsp-set-port-security", name, f"{mac} {address}"]
        began = time.perf_counter()
        self.nbctl("--wait=hv", *words[1:])
        return time.perf_counter() - began

    def remove(self, names: Sequence[str]) -> None:
        """Take them away again."""
        words = [word for name in names for word in ("--", "lsp-del", name)]
        self.nbctl("--wait=hv", *words[1:])

    def nbctl(self, *words: str) -> None:
        """One ovn-nbctl command, whole."""
        argv = ["ovn-nbctl", f"--db={self._remotes[0]}", "--timeout=60", *words]
        done = subprocess.run(argv, env=self._environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv[:4])}: {done.stderr.strip()}")

    def close(self) -> None:
        """End the daemons, the last one first."""
        for daemon in reversed(self._daemons):
            daemon.terminate()
            daemon.wait(10)

    @property
    def _remotes(self) -> tuple[str, str]:
        return f"unix:{self.rundir}/nb.sock", f"unix:{self.rundir}/sb.sock"

    def _spawn(self, *argv: str) -> None:
        quiet = subprocess.DEVNULL
        self._daemons.append(subprocess.Popen(argv, env=self._environment, stdin=quiet, stdout=quiet, stderr=quiet))


@contextmanager
def running_ovn() -> Iterator[Ovn]:
    """OVN in step with one chassis, gone afterwards. Raises OvnMissing."""
    check_ovn()
    with Shadow() as shadow:
        ovn = Ovn(shadow)
        try:
            ovn.start()
            yield ovn
        finally:
            ovn.close()


def plug(shadow: Shadow, ports: dict[str, str]) -> None:
    """Dummy interfaces of br-int, by name, with their iface-ids; returns when they have ofports."""
    names = list(ports)
    for start in range(0, len(names), 200):
        words: list[str] = []
        for name in names[start : start + 200]:
            words += ["--", "add-port", "br-int", name, "--", "set", "interface", name, "type=dummy"]
            words.append(f"external_ids:iface-id={ports[name]}")
        shadow.vsctl(*words[1:])


def unplug(shadow: Shadow, names: Sequence[str]) -> None:
    """Take interfaces off br-int."""
    words = [word for name in names for word in ("--", "--if-exists", "del-port", "br-int", name)]
    shadow.vsctl(*words[1:])


def _wait(come: object, what: str) -> None:
    assert callable(come)
    deadline = time.monotonic() + READY_S
    while not come():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {READY_S:.0f} s: {what}")
        time.sleep(0.01)
