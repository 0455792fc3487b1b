"""A host's own kernel, read by a process that runs on the same machine: its Linux bridges, netfilter and connections.

Most hosts are reached by libvirt, OVSDB and OpenFlow alone, and none of them tells this. But where the switch's control
socket ends in a process of this very machine (its peer's pid is known, and it is ovs-vswitchd), that process's network
namespace is the host's, and `ip`, `bridge` and `nft` show it. Nothing is written, and nothing runs in the host's file system.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sdn.linux.bridges import BridgeReading, parse_bridge, parse_bridge_ports, parse_fdb, parse_links
from sdn.linux.conntrack import kernel_conntrack
from sdn.linux.iptables import merged, parse_save
from sdn.linux.ruleset import Ruleset, RulesetUnread, parse_ruleset
from sdn.transport.unixctl import UnixctlError, find_vswitchd_socket

DEADLINE_S = 3.0
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SWITCH = "ovs-vswitchd"
NF_CALL = "/proc/sys/net/bridge/bridge-nf-call-"
CONNECTIONS = "/proc/net/nf_conntrack"
RULES: dict[str, tuple[str, ...]] = {
    "ruleset": ("nft", "-j", "list", "ruleset"),
    "listing": ("nft", "-a", "list", "ruleset"),
}
SWITCHES: dict[str, tuple[str, ...]] = {"ip": ("cat", f"{NF_CALL}iptables"), "ip6": ("cat", f"{NF_CALL}ip6tables"), "legacy": ("cat", "/proc/net/ip_tables_names"), "legacy6": ("cat", "/proc/net/ip6_tables_names")}  # fmt: skip
OLD_TABLES = {"ip": "legacy", "ip6": "legacy6"}
SAVES: dict[str, tuple[str, ...]] = {
    "ip": ("iptables-legacy-save", "-c"),
    "ip6": ("ip6tables-legacy-save", "-c"),
}  # of tables that are loaded
PRINTED_BYTES = 64 << 20


class KernelUnread(Exception):
    """This process cannot read the host's kernel; the message is half a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command printed; `problem` says why it printed nothing of use."""

    text: str = ""
    problem: str = ""


@dataclass(slots=True)
class _Netfilter:
    ruleset: Ruleset | None = None
    sees: Mapping[str, bool] = field(default_factory=dict)
    conntrack: str | None = None
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Asked:
    """Commands that are running: what each printed is there when it is waited for."""

    enter: tuple[str, ...]
    started: dict[str, subprocess.Popen[bytes] | Printed]
    tools: dict[str, str]

    def wait(self, deadline_s: float) -> dict[str, Printed]:
        """What each printed, in one deadline for all; those that are late are ended."""
        end = time.monotonic() + deadline_s
        return {
            key: one if isinstance(one, Printed) else _wait(one, self.tools[key], end)
            for key, one in self.started.items()
        }

    def forget(self) -> None:
        """End what nobody waited for."""
        for one in self.started.values():
            if not isinstance(one, Printed):
                one.kill()
                one.communicate()


class HostKernel:
    """One host's kernel, for one trace: netfilter is read once, each bridge once."""

    def __init__(self, rundir: Path, deadline_s: float = DEADLINE_S) -> None:
        self._rundir = rundir
        self._deadline_s = deadline_s
        self._netfilter: _Netfilter | None = None
        self._bridges: dict[str, BridgeReading] = {}
        self._early: dict[str, Asked] = {}

    def ask_early(self, name: str) -> None:
        """Have the commands for this bridge run already. Why a host can't be read is told when the bridge is asked for."""
        if name in self._bridges or name in self._early:
            return
        with suppress(KernelUnread):
            self._early[name] = self._ask(name)

    def close(self) -> None:
        """End what was asked and never used."""
        while self._early:
            self._early.popitem()[1].forget()

    def bridge(self, name: str) -> BridgeReading:
        """The bridge and the host's netfilter. Raises KernelUnread; a part that could not be read is told in `problems`."""
        if name not in self._bridges:
            self._bridges[name] = self._read(name)
        return self._bridges[name]

    def _ask(self, name: str) -> Asked:
        """Raises KernelUnread. The rules are asked for with the first bridge alone."""
        enter = namespace_of(self._rundir)
        asked: dict[str, tuple[str, ...]] = {
            "bridge": ("ip", "-j", "-d", "link", "show", "dev", name),
            "ports": ("ip", "-j", "-d", "link", "show", "master", name),
            "fdb": ("bridge", "-j", "fdb", "show", "br", name),
        }
        if self._netfilter is None and not any("ruleset" in one.started for one in self._early.values()):
            asked |= RULES | SWITCHES
        return start_all(enter, asked)

    def _read(self, name: str) -> BridgeReading:
        asked = self._early.pop(name, None) or self._ask(name)
        told = asked.wait(self._deadline_s)
        if "ruleset" in told:
            self._netfilter = self._read_netfilter(asked.enter, told)
        elif self._netfilter is None:  # another bridge's look has them
            for other in [other for other, one in self._early.items() if "ruleset" in one.started]:
                self.bridge(other)
        netfilter = self._netfilter or _Netfilter()
        facts = parse_bridge(parse_links(told["bridge"].text), name)
        problems = [
            f"{part} of {name} could not be read: {told[key].problem}" for key, part in _PARTS if told[key].problem
        ]
        if facts is None and not problems:
            problems.append(f"{name} is no Linux bridge of this host")
        return BridgeReading(
            name, facts, parse_bridge_ports(parse_links(told["ports"].text), name), parse_fdb(told["fdb"].text),
            netfilter.ruleset, netfilter.sees.get("ip", False), netfilter.sees.get("ip6", False), netfilter.conntrack,
            (*problems, *netfilter.problems), "\n".join(told[key].text.strip() for key, _ in _PARTS if told[key].text),
        )  # fmt: skip

    def _read_netfilter(self, enter: tuple[str, ...], told: Mapping[str, Printed]) -> _Netfilter:
        found = _Netfilter(sees={family: told[family].text.strip() == "1" for family in ("ip", "ip6")})
        if told["ruleset"].problem:
            found.problems.append(f"netfilter's rules could not be read: {told['ruleset'].problem}")
        else:
            try:
                found.ruleset = parse_ruleset(told["ruleset"].text, told["listing"].text)
            except RulesetUnread as problem:
                found.problems.append(f"netfilter's rules could not be read: {problem}")
        if '"ct"' in told["ruleset"].text:
            connections = run_all(enter, {"": ("cat", CONNECTIONS)}, self._deadline_s)[""]
            if connections.problem:
                found.problems.append(f"the host's own connections could not be read: {connections.problem}")
            else:
                found.conntrack = kernel_conntrack(connections.text)
        if saved := saved_of_old(enter, told, self._deadline_s):
            for family, one in saved.items():
                if one.problem:
                    found.problems.append(
                        f"iptables' old tables ({family}) are in use too, and could not be read: {one.problem}"
                    )
            read = [parse_save(one.text, family) for family, one in saved.items() if not one.problem]
            found.ruleset = merged(found.ruleset, *read)
        return found


def saved_of_old(enter: tuple[str, ...], told: Mapping[str, Printed], deadline_s: float) -> dict[str, Printed]:
    """What iptables-legacy-save prints, by family, of those that have a table loaded; `told`: what the names of OLD_TABLES print."""
    old = {family: argv for family, argv in SAVES.items() if told[OLD_TABLES[family]].text.split()}
    return run_all(enter, old, deadline_s) if old else {}


_PARTS = (("bridge", "the bridge"), ("ports", "the ports"), ("fdb", "the MAC table"))


def namespace_of(rundir: Path) -> tuple[str, ...]:
    """The words to put before a command so that it runs in the host's network namespace. Raises KernelUnread."""
    pid = _switch_pid(rundir)
    try:
        theirs, ours = (os.stat(f"/proc/{one}/ns/net") for one in (pid, "self"))
    except OSError as problem:
        raise KernelUnread(
            f"the network namespace of its switch could not be looked at: {problem.strerror}"
        ) from problem
    if (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino):
        return ()
    return ("nsenter", f"--net=/proc/{pid}/ns/net", "--")


def _switch_pid(rundir: Path) -> int:
    """The process at the other end of the switch's control socket, where that is the switch itself, on this machine."""
    try:
        path = find_vswitchd_socket(rundir)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(DEADLINE_S)
            connection.connect(str(path))
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except (OSError, UnixctlError) as problem:
        raise KernelUnread(f"its switch does not answer here: {problem}") from problem
    pid = int(struct.unpack("3i", credentials)[0])
    if not pid:  # of another PID namespace: the kernel gives its peer no number here
        raise KernelUnread("its switch runs outside of the container that Hopsight's worker is in")
    try:
        command = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        command = ""
    if command != SWITCH:
        raise KernelUnread("it is another machine, reached by libvirt and Open vSwitch alone")
    return pid


def run_all(enter: tuple[str, ...], asked: Mapping[str, tuple[str, ...]], deadline_s: float) -> dict[str, Printed]:
    """What each command printed, all run at once: a read costs what the slowest of them does."""
    return start_all(enter, asked).wait(deadline_s)


def start_all(enter: tuple[str, ...], asked: Mapping[str, tuple[str, ...]]) -> Asked:
    """The commands, begun."""
    started = {key: _start((*enter, *argv)) for key, argv in asked.items()}
    return Asked(enter, started, {key: argv[0] for key, argv in asked.items()})


def _start(argv: tuple[str, ...]) -> subprocess.Popen[bytes] | Printed:
    """The command, begun. Under nsenter too the tools are this machine's own."""
    at = argv.index("--") + 1 if "--" in argv[:4] else 0
    paths = {word: shutil.which(word, path=SEARCH_PATH) for word in {argv[0], argv[at]}}
    if lacking := [word for word, path in paths.items() if path is None]:
        return Printed(problem=f"{lacking[0]} is not installed where Hopsight's worker runs")
    words = [paths[word] or word if index in (0, at) else word for index, word in enumerate(argv)]
    try:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": SEARCH_PATH, "LC_ALL": "C"}
        )  # fmt: skip
    except OSError as problem:
        return Printed(problem=str(problem))


def _wait(started: subprocess.Popen[bytes], tool: str, end: float) -> Printed:
    try:
        out, err = started.communicate(timeout=max(end - time.monotonic(), 0.05))
    except subprocess.TimeoutExpired:
        started.kill()
        started.communicate()
        return Printed(problem=f"{tool} did not answer in time")
    if started.returncode:
        said = err.decode(errors="replace").strip().splitlines()
        return Printed(problem=said[0][:200] if said else f"{tool} ended with {started.returncode}")
    if len(out) > PRINTED_BYTES:
        return Printed(problem=f"{tool} printed more than {PRINTED_BYTES >> 20} MiB")
    return Printed(out.decode(errors="replace"))
