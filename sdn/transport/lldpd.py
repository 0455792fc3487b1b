"""A host's lldpd, asked by lldpcli at its control socket. The socket is looked for beside the switch's: in the same folder, and
where that is called `openvswitch` in the one above it (/run/lldpd.socket beside /run/openvswitch)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sdn.linux.lldp import Neighbour, parse_neighbours
from sdn.transport.host_kernel import run_all

SOCKET = "lldpd.socket"
DEADLINE_S = 3.0
ANSWERS, ABSENT, UNREAD = "answers", "absent", "unread"
_STAMP = re.compile(r"^\S+ \[\w+/\w+\] ")  # 2026-01-01T12:00:00 [WARN/control]


@dataclass(frozen=True, slots=True)
class LldpSeen:
    """What a host's lldpd told. `state`: answers, absent (none runs there that could be asked), or unread, and why."""

    state: str
    problem: str = ""
    neighbours: tuple[Neighbour, ...] = ()


def read_lldp(rundir: Path, deadline_s: float = DEADLINE_S) -> LldpSeen:
    """The neighbours that the lldpd of the host with this folder of Open vSwitch's has heard."""
    path = find_lldpd_socket(rundir)
    if path is None:
        return LldpSeen(ABSENT)
    asked = ("lldpcli", "-u", str(path), "-f", "json0", "show", "neighbors", "details")
    told = run_all((), {"": asked}, deadline_s)[""]
    if told.problem:
        return LldpSeen(UNREAD, _STAMP.sub("", told.problem))
    neighbours = parse_neighbours(told.text)
    if neighbours is None:
        return LldpSeen(UNREAD, "lldpcli printed no JSON that is known")
    return LldpSeen(ANSWERS, "", neighbours)


def find_lldpd_socket(rundir: Path) -> Path | None:
    """The control socket, where there is one."""
    folders = (rundir, rundir.parent) if rundir.name == "openvswitch" else (rundir,)
    for folder in folders:
        try:
            if (folder / SOCKET).is_socket():
                return folder / SOCKET
        except OSError:  # a folder that may not be looked into
            continue
    return None
