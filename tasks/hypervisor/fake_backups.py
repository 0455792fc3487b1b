"""The fake hypervisor's copies: real qcow2 files. A checkpoint is what the disk held then; a copy since one is the difference."""

from __future__ import annotations

import subprocess
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from tasks.hypervisor.disks import copy_disk, ensure_layer
from tasks.hypervisor.driver import CheckpointLost, CopyAsked, CopyProgress, DiskCopy
from tasks.hypervisor.fake_layers import FakeLayers


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hopsight-fake-")


@dataclass
class FakeBackups(FakeLayers, ABC):
    """`checkpoints` of each domain, by name: what each disk held then. Copies end at the first look, with `copies_fail` as
    the problem."""

    checkpoints: dict[str, dict[str, dict[str, Path]]] = field(default_factory=dict)
    copies_fail: str = ""
    moments: tempfile.TemporaryDirectory[str] = field(default_factory=_folder)

    def begin_copy(self, asked: CopyAsked) -> None:
        self.enter("begin_copy")
        known = self.checkpoints.setdefault(asked.domain, {})
        for disk in asked.disks:
            if disk.since and disk.target not in known.get(disk.since, {}):
                raise CheckpointLost(f"missing or broken bitmap '{disk.since}'")
        for disk in asked.disks:
            now = self._copied(asked, disk, known)
            if disk.is_noted:
                known.setdefault(asked.checkpoint, {})[disk.target] = now

    def _copied(self, asked: CopyAsked, disk: DiskCopy, known: dict[str, dict[str, Path]]) -> Path:
        now = Path(self.moments.name) / f"{asked.checkpoint}-{disk.target}.qcow2"
        now.unlink(missing_ok=True)
        copy_disk(Path(self.open_files(asked.domain)[disk.target]), now, "", "")
        if not disk.since:
            copy_disk(now, Path(disk.path), "", "")
            return now
        ensure_layer(Path(disk.path), now)
        below = str(known[disk.since][disk.target])
        safe = ["qemu-img", "rebase", "-q", "-f", "qcow2", "-F", "qcow2", "-b", below, disk.path]
        subprocess.run(safe, check=True, capture_output=True, timeout=60)
        return now

    @abstractmethod
    def open_files(self, domain: str) -> dict[str, str]:
        """Target → file of a running domain's disks."""

    def copy_progress(self, domain: str) -> CopyProgress:
        self.enter("copy_progress")
        return CopyProgress(1, 1, True, self.copies_fail)

    def drop_copy(self, domain: str, checkpoint: str) -> None:
        self.enter("drop_copy")
        self.checkpoints.get(domain, {}).pop(checkpoint, None)

    def keep_checkpoint(self, domain: str, checkpoint: str) -> None:
        self.enter("keep_checkpoint")
        known = self.checkpoints.get(domain, {})
        for name in [one for one in known if one != checkpoint]:
            del known[name]
