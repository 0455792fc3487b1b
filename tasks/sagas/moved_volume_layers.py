"""The files of a volume that is written in a layer, on their way to a pool of another host; `moved_volumes` says when.

[frozen at monday] ← [frozen at tuesday] ← [what is written]       `written` is that last file, here and there
   copied by the worker, while it is written      copied by QEMU, or by the worker while its VM is off
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from portal.volumes.models import Volume
from tasks.hypervisor.disks import backing_of, copy_disk, disk_size_gib, ensure_layer, grow_file, remove_file
from tasks.sagas.engine import Context, stop_if_cancelled
from tasks.sagas.moved_layers import Need, bytes_of, file_problems, frozen_below, one_folder_words

Written = tuple[Path, Path]


def frozen_of(volume: Volume) -> list[Path]:
    """The files that it and its moments lie on, each after the one that it lies on itself."""
    names = volume.moments.exclude(file_name="").order_by("id").values_list("file_name", flat=True)
    return frozen_below(Path(volume.path), names, f"hs-vol-{volume.uuid}")


def problems_of(moving: Iterable[tuple[Written, tuple[str, ...]]]) -> tuple[list[str], list[Need]]:
    """What is amiss with their files here, and with the folders there; what room they need there."""
    found: list[str] = []
    needs: list[Need] = []
    for (here, there), frozen in moving:
        paths = [here.with_name(name) for name in (*frozen, here.name)]
        if amiss := file_problems(paths):
            found += amiss
        elif not there.parent.is_dir():
            found.append(
                f"the folder {there.parent} of a pool there is not there where the worker runs, which copies layers"
            )
        elif words := one_folder_words(here.parent, there.parent):
            found.append(words)
        else:
            needs.append(Need(str(there.parent), there.parent, bytes_of(paths)))
    return found, needs


def copy_frozen(context: Context, written: Written, frozen: Iterable[str]) -> None:
    """All that froze is there; a file that was copied to its end is not copied again."""
    for name in frozen:
        stop_if_cancelled(context)
        path = written[0].with_name(name)
        copy_disk(path, written[1].with_name(name), _below_there(path, written[1]), "qcow2")


def make_top(written: Written) -> None:
    """What is written there is empty, and lies on what this one lies on."""
    here, there = written
    remove_file(there)
    ensure_layer(there, Path(_below_there(here, there)))
    grow_file(there, disk_size_gib(here))


def fill_top(written: Written) -> None:
    """What is written there holds what this one holds, which no guest has open."""
    here, there = written
    remove_file(there)
    copy_disk(here, there, _below_there(here, there), "qcow2")


def _below_there(path: Path, there: Path) -> str:
    below = backing_of(path)
    return str(there.with_name(Path(below).name)) if below else ""
