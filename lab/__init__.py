"""A lab of hypervisors on one machine: real libvirtd, QEMU and Open vSwitch in namespaces of their own."""

from __future__ import annotations

from lab.access import plug_access, unplug_access
from lab.errors import LabError
from lab.lab import HostStatus, LabStatus, access_command, down, status, up
from lab.paths import HypervisorPaths, lab_paths

__all__ = [
    "HostStatus",
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
