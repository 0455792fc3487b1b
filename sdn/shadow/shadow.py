"""An unprivileged ovsdb-server and ovs-vswitchd on dummy devices: the real classifier, costing the hosts nothing.

What it does not have is state: no learned MACs (`fdb/add`), no connections (`--ct-next`), and its tunnel ports are plain
dummies, so a tunnel's VNI and far end are read from the actions, not from the datapath's (field notes: shadow vswitchd).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from sdn.transport.unixctl import UnixctlError, find_vswitchd_socket

START_DEADLINE_S = 30.0
COMMAND_DEADLINE_S = 60.0
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
# Reads until its input ends, which it does when this process is gone however it went, then ends what is left of the shadow.
MOURNER = (
    "sh", "-c",
    'read -r _; for file in "$1"/*.pid; do [ -f "$file" ] && kill "$(cat "$file")"; done; rm -rf "$1"', "mourner",
)  # fmt: skip
QUIET = ("--no-chdir", "--pidfile", "-vconsole:off", "-vsyslog:off", "-vfile:off")


class ShadowError(Exception):
    """The shadow could not be started or loaded; the message holds the daemon's own words."""


@dataclass(frozen=True, slots=True)
class ShadowPort:
    """A port with the ofport that it has on the original. Patch ports name their `peer` in `options`."""

    name: str
    ofport: int
    type: str = "dummy"
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShadowBridge:
    """A bridge, its ports, and its flows as lines that `ovs-ofctl -O OpenFlow14 add-flows` takes."""

    name: str
    ports: tuple[ShadowPort, ...] = ()
    flows: str = ""
    groups: str = ""


class Shadow:
    """`with Shadow() as shadow: shadow.load(bridges)`. Daemons and folder are gone afterwards, at the latest when we are.

    A process that is killed runs no finalizer: a shell outlives it by a moment and clears away.
    """

    def __init__(self) -> None:
        self.rundir = Path(tempfile.mkdtemp(prefix="hs-sh-", dir="/tmp"))  # short: socket paths end at 107 bytes
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._mourner = subprocess.Popen(
            (*MOURNER, str(self.rundir)), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self._clean_up = weakref.finalize(self, _clean_up, self._daemons, self._mourner, self.rundir)

    def __enter__(self) -> Shadow:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def unixctl(self) -> Path:
        """ovs-vswitchd's control socket. Raises ShadowError when it is not running."""
        try:
            return find_vswitchd_socket(self.rundir)
        except UnixctlError as problem:
            raise ShadowError(str(problem)) from problem

    def load(self, bridges: Iterable[ShadowBridge]) -> Path:
        """Make the bridges (in place of any of the same name), fill them, and return `unixctl`. Raises ShadowError."""
        wanted = tuple(bridges)
        self._run("ovs-vsctl", "--timeout=30", f"--db=unix:{self.rundir}/db.sock", *_vsctl_words(wanted))
        for bridge in wanted:
            if bridge.groups:
                self._ofctl("add-groups", bridge.name, bridge.groups)
            self.set_flows(bridge.name, bridge.flows)
        return self.unixctl

    def set_flows(self, bridge: str, flows: str) -> None:
        """Make the bridge's flows exactly these. Raises ShadowError, naming the line that Open vSwitch refuses."""
        self._ofctl("replace-flows", bridge, flows)

    def vsctl(self, *words: str) -> str:
        """What `ovs-vsctl` prints. Raises ShadowError with its words."""
        return self._run("ovs-vsctl", "--timeout=30", f"--db=unix:{self.rundir}/db.sock", *words)

    def ofctl(self, verb: str, bridge: str, given: str, version: str = "OpenFlow14") -> str:
        """`ovs-ofctl VERB BRIDGE -`, which reads `given`. Raises ShadowError; "-:N:" in it names the line."""
        return self._run("ovs-ofctl", "-O", version, verb, f"unix:{self.rundir}/{bridge}.mgmt", "-", given=given)

    def ofctl_words(self, verb: str, bridge: str, *words: str, version: str = "OpenFlow14") -> str:
        """`ovs-ofctl VERB BRIDGE WORD…`. Raises ShadowError."""
        return self._run("ovs-ofctl", "-O", version, verb, f"unix:{self.rundir}/{bridge}.mgmt", *words)

    def dump_flows(self, bridge: str) -> str:
        """The bridge's flows with their counters, as `ovs-ofctl --no-names dump-flows` prints them."""
        socket = f"unix:{self.rundir}/{bridge}.mgmt"
        return self._run("ovs-ofctl", "-O", "OpenFlow14", "--no-names", "dump-flows", socket)

    def close(self) -> None:
        """End the daemons and remove the folder; may be called twice."""
        self._clean_up()

    def _start(self) -> None:
        database, remote = self.rundir / "conf.db", f"punix:{self.rundir}/db.sock"
        self._run("ovsdb-tool", "create", str(database), str(SCHEMA))
        self._spawn("ovsdb-server", *QUIET, f"--remote={remote}", str(database))
        self._wait_for("ovsdb-server.pid", "db.sock")
        # the socket may be there an instant before it is listened on
        self._run("ovs-vsctl", "--retry", "--timeout=10", f"--db=unix:{self.rundir}/db.sock", "--no-wait", "init")
        dummy = ("--enable-dummy=override", "--disable-system")
        self._spawn("ovs-vswitchd", *QUIET, *dummy, f"unix:{self.rundir}/db.sock")
        self._wait_for("ovs-vswitchd.pid", "ovs-vswitchd.*.ctl")

    def _environment(self) -> dict[str, str]:
        folders = dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"), str(self.rundir))
        return {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", **folders}

    def _spawn(self, *argv: str) -> None:
        daemon = subprocess.Popen(
            argv, env=self._environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._daemons.append(daemon)

    def _wait_for(self, pid_file: str, sockets: str) -> None:
        """Wait until the daemon answers: either file may come first, and a socket is there before anybody listens."""
        end = time.monotonic() + START_DEADLINE_S
        while not ((self.rundir / pid_file).exists() and any(map(_is_open, self.rundir.glob(sockets)))):
            if self._daemons[-1].poll() is not None or time.monotonic() > end:
                raise ShadowError(
                    f"{self._daemons[-1].args!r} did not start: {self.rundir} lacks {pid_file} or {sockets}"
                )
            time.sleep(0.005)

    def _ofctl(self, verb: str, bridge: str, text: str) -> None:
        socket = f"unix:{self.rundir}/{bridge}.mgmt"
        self._run("ovs-ofctl", "-O", "OpenFlow14", verb, socket, "-", given=text)

    def _run(self, *argv: str, given: str = "") -> str:
        try:
            done = subprocess.run(
                argv, env=self._environment(), input=given, capture_output=True, text=True, timeout=COMMAND_DEADLINE_S,
                check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise ShadowError(str(problem)) from problem
        if done.returncode:
            raise ShadowError(f"{argv[0]}: {done.stderr.strip() or done.returncode}")
        return done.stdout


def _is_open(path: Path) -> bool:
    """Does somebody listen at the socket?"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _vsctl_words(bridges: tuple[ShadowBridge, ...]) -> list[str]:
    words: list[str] = []
    for bridge in bridges:
        words += ["--", "--if-exists", "del-br", bridge.name, "--", "add-br", bridge.name, "--", "set", "bridge", bridge.name]  # fmt: skip
        words += ["datapath_type=dummy", "fail_mode=secure", "protocols=[OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15]"]
        for port in bridge.ports:
            words += ["--", "add-port", bridge.name, port.name, "--", "set", "interface", port.name]
            words += [f"type={port.type}", f"ofport_request={port.ofport}"]
            words += [f"options:{name}={value}" for name, value in sorted(port.options.items())]
    return words[1:] or ["show"]


def _clean_up(daemons: list[subprocess.Popen[bytes]], mourner: subprocess.Popen[bytes], folder: Path) -> None:
    for daemon in reversed(daemons):
        daemon.terminate()
    for daemon in reversed(daemons):
        try:
            daemon.wait(3)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    shutil.rmtree(folder, ignore_errors=True)
    mourner.communicate()
