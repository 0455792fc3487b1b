"""`manage.py controller` itself, with rows and a Redis of its own, keeping the lab's hypervisors over TCP cables that can be cut.

[controller, netns ctl]--c1--[hv1]   [controller]--c2--[hv2]
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from lab.commands import run
from lab.namespaces import delete_namespace, ensure_address, ensure_cable, ensure_namespace
from lab.paths import HypervisorPaths, lab_netns
from sdn.model.addresses import HostName, IfaceId, Mac
from sdn.model.intent import PortIntent
from sdn.model.meter import SAMPLE_METER
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
OVSDB_PORT, OPENFLOW_PORT = 6640, 6653
Flows = dict[tuple[str, str], float]  # (cookie, rest of the flow) → seconds that it has been there


@dataclass
class Kept:
    """The processes and what they keep."""

    hosts: tuple[HypervisorPaths, ...]
    state: Path
    lab: str
    redis: subprocess.Popen[bytes] = field(init=False)
    controller: subprocess.Popen[bytes] = field(init=False)

    @property
    def netns(self) -> str:
        return lab_netns(self.lab, "ctl")

    def manage(self, *argv: str) -> None:
        """One manage.py command with the process's settings."""
        subprocess.run([sys.executable, str(ROOT / "manage.py"), *argv], cwd=ROOT, env=self._environment, check=True, capture_output=True)  # fmt: skip

    def start_redis(self) -> None:
        """The broker, on its socket."""
        socket = self.state / "redis.sock"
        argv = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(self.state)]
        self.redis = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        wait_for(socket.exists, 10, "Redis listens")

    def start_controller(self) -> None:
        """The controller process, in a namespace of its own with a cable to each host."""
        argv = ["ip", "netns", "exec", self.netns, sys.executable, str(ROOT / "manage.py"), "controller"]
        log = (self.state / "controller.log").open("ab")
        self.controller = subprocess.Popen(argv, cwd=ROOT, env=self._environment, stdout=log, stderr=log)

    def kill_controller(self) -> None:
        """Like the kernel's OOM killer."""
        self.controller.send_signal(signal.SIGKILL)  # `ip netns exec` became the controller
        self.controller.wait(10)

    def cable(self) -> None:
        """A cable to each host, and its OVSDB listening there."""
        ensure_namespace(self.netns)
        run("ip", "-n", self.netns, "link", "set", "lo", "up")
        for number, host in enumerate(self.hosts, 1):
            ensure_cable((self.netns, f"c{number}"), (host.netns, "ctl0"), 1500)
            ensure_address(self.netns, f"c{number}", f"169.254.{number}.1/30")
            ensure_address(host.netns, "ctl0", f"169.254.{number}.2/30")
            self._ovsdb(host, "add-remote", f"ptcp:{OVSDB_PORT}:169.254.{number}.2")

    def set_cable(self, number: int, state: str) -> None:
        """Cut a host off the controller, or join it again: OpenFlow and OVSDB both."""
        run("ip", "-n", self.netns, "link", "set", f"c{number}", state)

    def add_ports(self, *ports: tuple[str, str]) -> list[PortIntent]:
        """Rows for (name, host), committed; as intents, to plug guests by."""
        hosts = [
            {
                "name": host.name, "libvirt_uri": host.libvirt_uri, "ovsdb": f"tcp:169.254.{number}.2:{OVSDB_PORT}",
                "ovs_rundir": str(host.ovs_rundir), "controller_target": f"tcp:169.254.{number}.1:{OPENFLOW_PORT}",
                "disks_dir": str(host.disks), "datapath_type": "netdev", "underlay_ip": host.underlay_ip,
                "vcpus": 2, "ram_mib": 1024,
            }
            for number, host in enumerate(self.hosts, 1)
        ]  # fmt: skip
        argv = [sys.executable, "-m", "tests.lab.kept_rows", json.dumps({"hosts": hosts, "ports": ports})]
        done = subprocess.run(argv, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        places = dict(ports)
        return [_intent(row, places[row["name"]]) for row in json.loads(done.stdout)]

    def log(self) -> str:
        """What the controller said."""
        return (self.state / "controller.log").read_text()

    def close(self) -> None:
        """End the processes and the cables; br-int goes too."""
        for process in (self.controller, self.redis):
            process.kill()
            process.wait(10)
        for number, host in enumerate(self.hosts, 1):
            self._ovsdb(host, "remove-remote", f"ptcp:{OVSDB_PORT}:169.254.{number}.2")
            run("ovs-vsctl", f"--db={host.ovsdb}", "--", "--if-exists", "del-br", "br-int", "--", "--if-exists", "del-port", "hs-int")  # fmt: skip
        delete_namespace(self.netns)

    @property
    def _environment(self) -> dict[str, str]:
        redis = f"unix://{self.state}/redis.sock"
        mine = {"HOPSIGHT_STATE": str(self.state), "HOPSIGHT_REDIS": redis, "HOPSIGHT_PLAIN_TCP": "1"}
        return {**os.environ, **mine, "HOPSIGHT_MODE": "fleet", "DJANGO_SETTINGS_MODULE": "portal.config.settings"}

    def _ovsdb(self, host: HypervisorPaths, verb: str, remote: str) -> None:
        pid = (host.ovs_rundir / "ovsdb-server.pid").read_text().strip()  # one that was killed leaves its socket behind
        socket = host.ovs_rundir / f"ovsdb-server.{pid}.ctl"
        run("ovs-appctl", "-t", str(socket), f"ovsdb-server/{verb}", remote)


@contextmanager
def kept(hosts: tuple[HypervisorPaths, ...]) -> Iterator[Kept]:
    """The controller process over seeded rows, keeping the hosts."""
    with tempfile.TemporaryDirectory(prefix="hs-kept-") as folder:
        found = Kept(hosts, Path(folder), hosts[0].root.parent.name)
        found.start_redis()
        found.cable()
        try:
            found.manage("migrate", "--verbosity=0")
            found.manage("seed")
            found.start_controller()
            yield found
        finally:
            found.close()


def _intent(row: dict[str, Any], host: str) -> PortIntent:
    address = (IPv4Address(row["address"]),)
    return PortIntent(row["id"], IfaceId(row["uuid"]), 1, HostName(host), Mac(row["mac"]), address, row["name"])


def flows_of(host: HypervisorPaths) -> Flows:
    """Every flow of br-int, by what it is, with its age; without the copies of drops, which come and go by themselves."""
    found: Flows = {}
    for line in run("ovs-ofctl", "-O", "OpenFlow14", "dump-flows", f"unix:{host.ovs_rundir}/br-int.mgmt").splitlines():
        parts = re.fullmatch(r" cookie=(\w+), duration=([\d.]+)s, table=(\d+), n_packets=\d+, n_bytes=\d+, (?:idle_age=\d+, )?(.*)", line)  # fmt: skip
        if parts and f"meter:{SAMPLE_METER}," not in line:
            cookie, age, table, rest = parts.groups()
            found[cookie, f"table={table} {rest}"] = float(age)
    return found


class Traffic:
    """A ping and a TCP stream from one guest to another, told of when it ends."""

    def __init__(self, lab: str, source: PortIntent, target: PortIntent, seconds: int) -> None:
        here, there = lab_netns(lab, source.name), lab_netns(lab, target.name)
        address = str(target.addresses[0])
        self._server = subprocess.Popen(
            _in(there, "iperf3", "-s", "-1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: ":5201" in run(*_in(there, "ss", "-ltn")), 10, "iperf3 listens")
        ping = _in(here, "ping", "-n", "-i", "0.05", "-w", str(seconds), address)
        self._ping = subprocess.Popen(ping, stdout=subprocess.PIPE, text=True)
        stream = _in(here, "iperf3", "-c", address, "-J", "-l", "1400", "-b", "1M", "-t", str(seconds))
        self._stream = subprocess.Popen(stream, stdout=subprocess.PIPE, text=True)
        self.until = time.monotonic() + seconds

    def assert_whole(self) -> None:
        """No ping was lost, and no second of the stream was without a byte."""
        told, _ = self._ping.communicate(timeout=60)
        stream, _ = self._stream.communicate(timeout=60)
        self._server.wait(10)
        answered = {int(number) for number in re.findall(r"icmp_seq=(\d+)", told)}
        lost = set(range(1, max(answered, default=0))) - answered  # those after the last answer were on their way
        assert len(answered) > 20 and not lost, (lost, told[-300:])
        intervals = [one["sum"]["bytes"] for one in json.loads(stream)["intervals"]]
        assert intervals and min(intervals) > 0, intervals

    def close(self) -> None:
        """End what is still going."""
        for process in (self._ping, self._stream, self._server):
            process.kill()
            process.wait(10)


def _in(netns: str, *argv: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", netns, *argv)
