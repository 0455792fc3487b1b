"""Where a lab keeps its things. Unix socket paths are limited to 107 bytes, so the root is short and names are bounded."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

LABS = Path("/var/lib/hopsight/labs")
_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
MAX_HOSTS = 9


class LabError(Exception):
    """A lab can't be what was asked; the message says what, why and how."""


@dataclass(frozen=True, slots=True)
class HypervisorPaths:
    """One hypervisor of a lab or of the preview, and the ways to reach its daemons from the root namespace."""

    name: str
    root: Path
    netns: str
    underlay_ip: str
    libvirt_uri: str
    ovs_rundir: Path
    disks: Path

    @property
    def ovsdb(self) -> str:
        """The OVSDB remote, as OVS tools take it."""
        return f"unix:{self.ovs_rundir}/db.sock"


def check_name(name: str) -> str:
    """The name itself. Raises LabError unless it is 1 to 12 of a-z and 0-9, a letter first."""
    if not _NAME.fullmatch(name):
        raise LabError(f"lab name {name!r}: 1 to 12 of a-z and 0-9, starting with a letter, please")
    return name


def lab_root(name: str) -> Path:
    """The one folder of a lab."""
    return LABS / check_name(name)


def short(name: str) -> str:
    """Four hex digits of the lab's name, for interface names of at most 15 characters."""
    return hashlib.sha256(name.encode()).hexdigest()[:4]


def namespace(name: str, part: str) -> str:
    """The network namespace of one part of a lab: "hv1", "wire", "inet", "access"."""
    return f"hs-{check_name(name)}-{part}"


def lab_paths(name: str, hosts: int) -> tuple[HypervisorPaths, ...]:
    """The hypervisors of a lab, hv1 first. Raises LabError for more than 9 or less than 1."""
    if not 1 <= hosts <= MAX_HOSTS:
        raise LabError(f"{hosts} hosts: a lab has 1 to {MAX_HOSTS}")
    return tuple(_host(name, number) for number in range(1, hosts + 1))


def _host(name: str, number: int) -> HypervisorPaths:
    root = lab_root(name) / f"hv{number}"
    return HypervisorPaths(
        name=f"hv{number}",
        root=root,
        netns=namespace(name, f"hv{number}"),
        underlay_ip=f"192.0.2.{10 + number}",
        libvirt_uri=f"qemu+unix:///system?socket={root}/run/libvirt/libvirt-sock",
        ovs_rundir=root / "run" / "openvswitch",
        disks=root / "disks",
    )
