"""The layers of a VM's own disk, and its kept memories, go to another host ahead of what the VM writes.

[image, pulled there] ← [frozen at first] ← [frozen at second] ← [what it writes]
                         copied here, while the guest runs on      moved last, as the disk of a VM without snapshots

Nobody writes to a file that froze, so a copy of it is true for good. A layer names what it lies on by its path: each is written
anew over the copy of what it lay on, side branches too. Which files there are the rows say, and the files themselves: a merge
that stuck half-way leaves one in the chain that no row names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from portal.compute.models import VM
from portal.hosts.models import Host
from tasks.hypervisor.chains import chain_of
from tasks.hypervisor.disks import VMFiles, backing_of, copy_disk, ensure_layer, ensure_overlay, grow_file
from tasks.sagas import vm_create
from tasks.sagas.engine import Context, StageError, stop_if_cancelled

MIB = 1024**2
ROOM_MIB = 64  # what a disk may grow by while it is copied


def frozen_layers(vm: VM, files: VMFiles) -> list[Path]:
    """The files that its disk and its snapshots lie on, each after the one that it lies on itself; not what is written."""
    names = vm.snapshots.exclude(disk_name="").order_by("id").values_list("disk_name", flat=True)
    return frozen_below(files.disk, names, vm.domain)


def frozen_below(written: Path, names: Iterable[str], stem: str) -> list[Path]:
    """As `frozen_layers`, of any disk: `names` are what froze, beside what is written; the names of all begin with `stem`."""
    found: dict[Path, None] = {}
    for name in (*names, written.name):
        chain = [Path(path) for path in chain_of(str(written.with_name(name)))]
        found |= dict.fromkeys(path for path in reversed(chain) if is_layer(written, path, stem))
    found.pop(written, None)
    return list(found)


def memories_of(vm: VM, files: VMFiles) -> list[Path]:
    """The files of the memories that its snapshots keep."""
    return [files.beside(one.memory_name) for one in vm.snapshots.filter(has_memory=True).order_by("id")]


def is_layer(written: Path, path: Path, stem: str) -> bool:
    """Whether it is a file of the disk's own, not of an image."""
    return path.parent == written.parent and path.name.startswith(stem)


def frozen_problems(vm: VM, files: VMFiles) -> list[str]:
    """What is amiss with the files of its snapshots."""
    return file_problems([*frozen_layers(vm, files), *memories_of(vm, files)])


def file_problems(paths: Iterable[Path]) -> list[str]:
    """Which of them are not there, or cannot be read."""
    found = []
    for path in paths:
        if not path.is_file():
            found.append(f"{path} of its snapshots is not there: was it removed behind our back?")
        elif not os.access(path, os.R_OK):
            found.append(f"{path} of its snapshots may not be read where the worker runs")
    return found


def one_folder_words(here: Path, there: Path) -> str:
    """That files made in the one folder would be made in the other; nothing when they are two."""
    return f"{there} and {here} are one folder under two names" if there.samefile(here) else ""


@dataclass(frozen=True, slots=True)
class Need:
    """So many bytes are to be copied into a folder; `where` is what people call it."""

    where: str
    folder: Path
    size_bytes: int


def room_problems(needs: Iterable[Need]) -> list[str]:
    """What does not fit. Folders of one file system share what is left of it, as a host's disks and its own pool do."""
    by_device: dict[int, list[Need]] = {}
    for need in needs:
        by_device.setdefault(need.folder.stat().st_dev, []).append(need)
    return [words for sharing in by_device.values() if (words := _lacking(sharing))]


def _lacking(sharing: list[Need]) -> str:
    room = os.statvfs(sharing[0].folder)
    left, needed = room.f_bavail * room.f_frsize, sum(one.size_bytes for one in sharing) + ROOM_MIB * MIB
    where = sharing[0].where
    return "" if left >= needed else f"{where} has {left // MIB} MiB left for disks; {needed // MIB} MiB are needed"


def bytes_of(paths: Iterable[Path]) -> int:
    """What they take on their disk now."""
    return sum(os.stat(path).st_blocks * 512 for path in paths)


def copy_frozen(context: Context, vm: VM, target: Host, places: tuple[VMFiles, VMFiles]) -> str:
    """All that froze is there. What a worker before this one copied to its end is not copied again."""
    here, there = places
    layers, memories = frozen_layers(vm, here), memories_of(vm, here)
    frozen = [*layers, *memories]
    for number, path in enumerate(frozen):
        stop_if_cancelled(context)
        context.tell(f"{number} of {len(frozen)} files")
        copy = there.beside(path.name)
        if path in layers:
            copy_disk(path, copy, *base_there(context, vm, target, places, path))
        else:
            _copy_file(path, copy)
    if not frozen:
        return "it has none"
    return f"{len(frozen)} files, {bytes_of(there.beside(path.name) for path in frozen) // MIB} MiB"


def base_there(context: Context, vm: VM, target: Host, places: tuple[VMFiles, VMFiles], path: Path) -> tuple[str, str]:
    """What a copy of the file lies on there, and its format: the copy of a layer, its image as that host has it, or nothing."""
    here, there = places
    below = backing_of(path)
    if below and is_layer(here.disk, Path(below), vm.domain):
        return str(there.beside(Path(below).name)), "qcow2"
    base = vm_create.base_on(context, vm.image, target, below).path if below else ""
    if below and not base:
        raise StageError(f"its disk lies on {below}, which is no image's file: it cannot be copied there")
    return base, vm.image.disk_format


def make_top(disk: Path, base: str, base_format: str, size_gib: int) -> None:
    """An empty disk of that size over a copied layer, or over an image."""
    if base and Path(base).parent == disk.parent:
        ensure_layer(disk, Path(base))
        grow_file(disk, size_gib)
    else:
        ensure_overlay(disk, base, base_format, size_gib)


def _copy_file(source: Path, target: Path) -> None:
    """A copy with the same rights; complete or not there."""
    if target.exists():
        return
    scratch = target.with_name(target.name + ".new")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600)
    shutil.copyfile(source, scratch)
    shutil.copymode(source, scratch)
    os.replace(scratch, target)
