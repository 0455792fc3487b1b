"""What a disk's files lie on, as a definition and the files themselves tell it: while nobody has them open, that is all there is.

Formats are always given, and the paths come from our own definitions, never from what a guest could write: a guest writes into
its disk, not into the header of the file.
"""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from tasks.hypervisor.disks import DiskProblem, backing_of

MOST_LAYERS = 64  # more than a VM may have snapshots: a ring of files ends too


def file_of_disk(definition: str, target: str) -> str:
    """The file that a domain's XML names for that disk; nothing where it has no such disk, or one without a file."""
    for disk in etree.fromstring(definition).iterfind("devices/disk") if definition else ():
        place, source = disk.find("target"), disk.find("source")
        if place is not None and source is not None and place.get("dev") == target:
            return str(source.get("file") or "")
    return ""


def chain_of(path: str) -> tuple[str, ...]:
    """The file and what it lies on, down to the last one that says so; of a file that is not there, itself alone."""
    found: list[str] = []
    while path and path not in found and len(found) < MOST_LAYERS:
        found.append(path)
        path = _below(Path(path))
    return tuple(found)


def lies_on(path: Path, below: Path) -> bool:
    """Whether it is a whole qcow2 that lies on that file."""
    return _below(path) == str(below)


def _below(path: Path) -> str:
    try:
        return backing_of(path) if path.is_file() else ""
    except DiskProblem:  # an image under all of them may be no qcow2; a layer that was not written to its end is none
        return ""
