"""The fake hypervisor's layers: real qcow2 files, which nobody but the test has open."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from tasks.hypervisor.disks import backing_of, commit_offline, ensure_layer, rebase_offline
from tasks.hypervisor.fake_calls import FakeCalls


@dataclass
class FakeLayers(FakeCalls):
    """`written` is the file that each running domain writes."""

    written: dict[str, str] = field(default_factory=dict)

    def live_layers(self, domain: str, target: str) -> tuple[str, ...]:
        self.enter("live_layers")
        found, path = [], self.written.get(domain, "")
        while path:
            found.append(path)
            path = backing_of(Path(path))
        return tuple(found)

    def take_snapshot(self, domain: str, target: str, new_path: str, memory_path: str = "") -> None:
        self.enter("take_snapshot")
        if self.written[domain] != new_path:
            ensure_layer(Path(new_path), Path(self.written[domain]))
            self.written[domain] = new_path
        if memory_path:
            Path(memory_path).write_text("memory")

    def commit_layer(self, domain: str, target: str, base: str, top: str) -> None:
        layers = self.live_layers(domain, target)
        if top not in layers:
            return
        commit_offline(Path(top), Path(base))
        if layers[0] == top:
            self.written[domain] = base
        else:
            rebase_offline(Path(layers[layers.index(top) - 1]), Path(base))


def disk_in(xml: str) -> str:
    """The path of the domain's first disk."""
    source = etree.fromstring(xml).find("devices/disk/source")
    return str(source.get("file")) if source is not None else ""
