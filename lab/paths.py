"""Where the parts of a lab are: names, folders and sockets, computed from the lab's name alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError, NameInvalid

LABS = Path("/var/lib/hopsight/labs")
NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
HOSTS_MAX = 50  # underlay addresses 192.0.2.11 to 192.0.2.60
UNDERLAY_MTU = 1600


@dataclass(frozen=True, slots=True)
class HypervisorPaths:
    """How to reach one hypervisor from the machine's own namespace."""

    name: str
    root: Path
    netns: str
    underlay_ip: str
    libvirt_uri: str
    ovs_rundir: Path  # db.sock, BRIDGE.mgmt, ovs-vswitchd.pid, ovs-vswitchd.<pid>.ctl
    ovsdb: str
    disks: Path  # the same path in the machine's own namespace and inside the hypervisor


def check_name(name: str) -> str:
    """The name, if it can be a lab's; it becomes part of namespace names and of socket paths (107 bytes)."""
    if not NAME.fullmatch(name):
        raise NameInvalid(f"a lab's name is a letter a to z and up to 11 letters or digits, not {name!r}")
    return name


def lab_root(name: str) -> Path:
    """The folder that holds everything of a lab."""
    return LABS / check_name(name)


def lab_netns(name: str, part: str) -> str:
    """The network namespace of a part: `hv1`, `wire`, `inet`, `access`."""
    return f"hs-{check_name(name)}-{part}"


def hypervisor_paths(name: str, number: int) -> HypervisorPaths:
    """The paths of hypervisor `number`, counted from 1."""
    host = f"hv{number}"
    root = lab_root(name) / host
    rundir = root / "run" / "openvswitch"
    return HypervisorPaths(
        name=host,
        root=root,
        netns=lab_netns(name, host),
        underlay_ip=underlay_ip(number),
        libvirt_uri=f"qemu+unix:///system?socket={root}/run/libvirt/libvirt-sock",
        ovs_rundir=rundir,
        ovsdb=f"unix:{rundir}/db.sock",
        disks=root / "disks",
    )


def underlay_ip(number: int) -> str:
    """The tunnel address of hypervisor `number` (192.0.2.0/24, RFC 5737)."""
    return f"192.0.2.{10 + number}"


def lab_paths(name: str, hosts: int) -> tuple[HypervisorPaths, ...]:
    """The paths of a lab's hypervisors `hv1` to `hvN`, whether they run or not."""
    if not 1 <= hosts <= HOSTS_MAX:
        raise LabError(f"a lab has 1 to {HOSTS_MAX} hypervisors, not {hosts}")
    return tuple(hypervisor_paths(name, number) for number in range(1, hosts + 1))
