"""Disk overlays and seeds as files. Names come from the VM's uuid, formats are always given, and a base image that
points at another file is refused (CVE-2022-47951, CVE-2024-32498: crafted headers that read host files)."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import UUID

FORMATS = ("qcow2", "raw")
PATIENCE_S = 60.0
COPY_PATIENCE_S = 3600.0


class DiskProblem(Exception):
    """A disk could not be made; in words."""


@dataclass(frozen=True, slots=True)
class VMFiles:
    """Where a VM's files are on its host (and on the worker: the same path)."""

    disk: Path
    seed: Path
    console_log: Path

    @property
    def rescue(self) -> Path:
        """The disk that a VM in rescue boots from."""
        return self._of("rescue")

    @property
    def old_disk(self) -> Path:
        """Where a rebuild keeps the disk until the new one runs."""
        return self._of("old")

    def beside(self, name: str) -> Path:
        """A file in the same folder."""
        return self.disk.with_name(name)

    def all(self) -> tuple[Path, ...]:
        """Every file of the VM: those that it has always, and its snapshots' that are there."""
        stem = self.console_log.name.removesuffix("-console.log")
        layers = sorted(self.disk.parent.glob(f"{stem}-*"))
        always = (self.disk, self.beside(f"{stem}.qcow2"), self.seed, self.console_log, self.rescue, self.old_disk)
        return tuple(dict.fromkeys((*always, *layers)))

    def _of(self, what: str) -> Path:
        return self.console_log.with_name(self.console_log.name.replace("-console.log", f"-{what}.qcow2"))


def files_of(disks_dir: str, vm_uuid: UUID, disk_name: str = "") -> VMFiles:
    """The paths of a VM's files, whether they are there or not; `disk_name` is the row's, when snapshots gave it one."""
    folder, stem = Path(disks_dir), f"hs-{vm_uuid}"
    return VMFiles(folder / (disk_name or f"{stem}.qcow2"), folder / f"{stem}-seed.iso", folder / f"{stem}-console.log")


def ensure_overlay(target: Path, base: str, base_format: str, size_gib: int) -> None:
    """A qcow2 of `size_gib` over `base` (none: empty); complete or not there, because it is renamed into place."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    backing: list[str] = []
    size_bytes = size_gib * 1024**3
    if base:
        size_bytes = max(size_bytes, _checked_size(base, base_format))
        backing = ["-F", base_format, "-b", os.path.abspath(base)]
    scratch = target.with_name(target.name + ".new")
    _qemu_img("create", "-q", "-f", "qcow2", *backing, str(scratch), str(size_bytes))
    os.replace(scratch, target)


def copy_disk(source: Path, target: Path, base: str, base_format: str) -> None:
    """A copy of a disk that nobody writes to, over the same base (none: standing alone); complete or not there.

    qemu-img takes the image's own lock, so that a guest cannot start on the source meanwhile, nor it be copied in use.
    """
    if target.exists():
        return
    if not source.is_file():
        raise DiskProblem(f"the disk {source} is not there: was it removed behind our back?")
    backing = ["-B", os.path.abspath(base), "-F", base_format] if base else []
    scratch = target.with_name(target.name + ".new")
    _qemu_img(
        "convert", "-q", "-f", "qcow2", "-O", "qcow2", *backing, str(source), str(scratch), patience_s=COPY_PATIENCE_S
    )
    os.replace(scratch, target)


def write_raw(source: Path, target: Path) -> None:
    """What a qcow2 holds, with what it lies on, as a guest reads it: every byte, in a file with holes."""
    scratch = target.with_name(target.name + ".new")
    arguments = ("-f", "qcow2", "-O", "raw", str(source), str(scratch))
    _qemu_img("convert", "-q", *arguments, patience_s=COPY_PATIENCE_S)
    os.replace(scratch, target)


def ensure_layer(target: Path, below: Path) -> None:
    """An empty qcow2 over another of ours, as large as that; complete or not there."""
    if target.exists():
        return
    if not below.is_file():
        raise DiskProblem(f"the disk {below} is not there: was it removed behind our back?")
    scratch = target.with_name(target.name + ".new")
    _qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(below), str(scratch))
    os.replace(scratch, target)


def commit_offline(top: Path, base: Path) -> None:
    """What is in `top` is in `base` too, on which it lies; nobody may have either open."""
    _qemu_img("commit", "-q", "-d", "-f", "qcow2", "-b", str(base), str(top), patience_s=COPY_PATIENCE_S)


def rebase_offline(target: Path, below: Path) -> None:
    """The file says that it lies on `below`, whose content must be the same as that of what it lay on."""
    _qemu_img("rebase", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", str(below), str(target))


def stand_alone(target: Path) -> None:
    """The file says that it lies on nothing: what it does not hold itself is told elsewhere."""
    _qemu_img("rebase", "-q", "-u", "-f", "qcow2", "-b", "", str(target))


def backing_of(target: Path) -> str:
    """The path of what a qcow2 lies on; nothing when it stands alone."""
    facts = json.loads(_qemu_img("info", "-U", "--output=json", "-f", "qcow2", str(target)))
    return str(facts.get("backing-filename", ""))


def grow_file(target: Path, size_gib: int) -> None:
    """The qcow2 has at least that size."""
    if disk_size_gib(target) < size_gib:
        _qemu_img("resize", "-q", "-f", "qcow2", str(target), f"{size_gib}G")


def disk_size_gib(target: Path) -> int:
    """The size that a guest sees, in whole GiB, rounded up; also while a guest uses it."""
    facts = json.loads(_qemu_img("info", "-U", "--output=json", "-f", "qcow2", str(target)))
    return -(-int(facts["virtual-size"]) // 1024**3)


def write_file(target: Path, content: bytes) -> None:
    """The file with that content, complete or not there; readable by its owner only (a seed holds user-data)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(target.name + ".new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(scratch, target)


def remove_file(target: Path) -> None:
    """Neither the file nor its half-written forerunner is left."""
    for path in (target, target.with_name(target.name + ".new")):
        path.unlink(missing_ok=True)


def _checked_size(base: str, base_format: str) -> int:
    if base_format not in FORMATS:
        raise DiskProblem(f"the image's format is {base_format!r}; {' and '.join(FORMATS)} are allowed")
    if not Path(base).is_file():
        raise DiskProblem(f"the image's disk {base} is not there: import the image again")
    stat = os.stat(base)
    return _checked_size_of(base, base_format, (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=256)
def _checked_size_of(base: str, base_format: str, version: tuple[int, ...]) -> int:
    """One look at each version of a base image: asking qemu-img costs 30 ms of every create."""
    facts = json.loads(_qemu_img("info", "--output=json", "-f", base_format, base))
    special = facts.get("format-specific", {}).get("data", {})
    if facts.get("backing-filename") or special.get("data-file"):
        raise DiskProblem(f"the image's disk {base} points at another file: only images that stand alone are allowed")
    return int(facts["virtual-size"])


def _qemu_img(*arguments: str, patience_s: float = PATIENCE_S) -> str:
    try:
        done = subprocess.run(
            ["qemu-img", *arguments], capture_output=True, text=True, timeout=patience_s, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise DiskProblem("qemu-img is not installed where the worker runs (package qemu-utils)") from None
    except subprocess.TimeoutExpired:
        raise DiskProblem(f"qemu-img {arguments[0]} did not end within {patience_s:.0f} s") from None
    if done.returncode != 0:
        raise DiskProblem(f"qemu-img {arguments[0]}: {(done.stderr or done.stdout).strip()[:200]}")
    return done.stdout
