"""Hypervisors on one machine: real libvirtd, QEMU and Open vSwitch in network and mount namespaces (DESIGN: the lab)."""

from lab.lifecycle import LabStatus, access_command, down, plug_access, status, unplug_access, up
from lab.paths import HypervisorPaths, LabError, lab_paths

__all__ = [
    "HypervisorPaths",
    "LabError",
    "LabStatus",
    "access_command",
    "down",
    "lab_paths",
    "plug_access",
    "status",
    "unplug_access",
    "up",
]
