"""The fake hypervisor's layers: real qcow2 files, which nobody but the test has open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from tasks.hypervisor.disks import backing_of, commit_offline, copy_disk, ensure_layer, rebase_offline
from tasks.hypervisor.fake_calls import FakeCalls


@dataclass
class FakeLayers(FakeCalls):
    """`written` is the file that each running domain writes as its own disk, `others` those of its further disks by target.
    As libvirt does, what a disk is switched to is at once what the domain's definition names."""

    definitions: dict[str, str] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    others: dict[str, dict[str, str]] = field(default_factory=dict)

    def live_layers(self, domain: str, target: str) -> tuple[str, ...]:
        self.enter("live_layers")
        found, path = [], self.others.get(domain, {}).get(target) or self.written.get(domain, "")
        while path:
            found.append(path)
            path = backing_of(Path(path))
        return tuple(found)

    def take_snapshot(self, domain: str, written: Mapping[str, str], memory_path: str = "") -> None:
        self.enter("take_snapshot")
        for target, path in written.items():
            below = self.live_layers(domain, target)[0]
            if below != path:
                ensure_layer(Path(path), Path(below))
                self.write_to(domain, target, path)
        if memory_path:
            Path(memory_path).write_text("memory")

    def commit_layer(self, domain: str, target: str, base: str, top: str) -> None:
        layers = self.live_layers(domain, target)
        if top not in layers:
            return
        commit_offline(Path(top), Path(base))
        if layers[0] == top:
            self.write_to(domain, target, base)
        else:
            rebase_offline(Path(layers[layers.index(top) - 1]), Path(base))

    def write_to(self, domain: str, target: str, path: str) -> None:
        """From now on that disk of the running domain is that file."""
        if target in self.others.get(domain, {}):
            self.others[domain][target] = path
        else:
            self.written[domain] = path
        self._define_disk(domain, target, path)

    def _define_disk(self, domain: str, target: str, path: str) -> None:
        root = etree.fromstring(self.definitions[domain])
        for disk in root.iterfind("devices/disk"):
            place, source = disk.find("target"), disk.find("source")
            if place is not None and source is not None and place.get("dev") == target:
                source.set("file", path)
        self.definitions[domain] = etree.tostring(root, encoding="unicode")


def fill_top(top: Path, empty: Path) -> str:
    """What the one file holds itself is in the other, which lies on files of its own; what is amiss."""
    if not empty.is_file():
        return f"there is no {empty}"
    below = backing_of(empty)
    empty.unlink()
    copy_disk(top, empty, below, "qcow2" if below.endswith(".qcow2") else "raw")
    return ""


def disk_in(xml: str) -> str:
    """The path of the domain's first disk."""
    return next(iter(disks_in(xml).values()), "")


def others_in(xml: str) -> dict[str, str]:
    """Target → path of the disks after the first one."""
    return dict(list(disks_in(xml).items())[1:])


def disks_in(xml: str) -> dict[str, str]:
    """Target → path of the domain's disks, in their order."""
    found = {}
    for disk in etree.fromstring(xml).iterfind("devices/disk"):
        target, source = disk.find("target"), disk.find("source")
        if target is not None and source is not None:
            found[str(target.get("dev"))] = str(source.get("file") or source.get("dev"))
    return found
