"""What a lab could leave on a machine: compared before and after."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.commands import run
from lab.paths import LABS, lab_root
from lab.processes import of_lab


def left_of(name: str) -> dict[str, object]:
    """Everything of one lab: empty values when nothing is left. Other labs of the machine do not show."""
    namespaces = [line.split()[0] for line in run("ip", "netns", "list").splitlines()]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"/labs/{name}/" in line]
    mounts += [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"hs-{name}-" in line]
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        "namespaces": [netns for netns in namespaces if netns.startswith(f"hs-{name}-")],
        "mounts": mounts,
        "command lines": [args for args in processes if f"/labs/{name}/" in args or f"hs-{name}-" in args],
        "processes": of_lab(name, lab_root(name), ()),
        "folder": [lab_root(name)] if lab_root(name).exists() else [],
        "lock": list(LABS.glob(f".{name}.lock")),
    }


def interfaces() -> set[str]:
    """The interfaces of the machine's own namespace."""
    return {path.name for path in Path("/sys/class/net").iterdir()}
