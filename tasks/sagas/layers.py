"""Layers of disks that snapshots made: merged, on a running guest or by qemu-img; and the volumes' part of snapshots.

[frozen at s1] ← [frozen at s2] ← [what is written: Volume.path]

A volume's layers are told by `SnapshotVolume`, in the same words as the VM's own disk's by `Snapshot`. They lie in the volume's
pool, whose folder the worker must see, as it sees the folder of VMs' own disks. A volume that is attached to nothing is no
domain's, and what its row names is what is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from portal.compute.models import VM
from portal.snapshots.models import Snapshot, SnapshotVolume
from portal.volumes.models import Volume
from tasks.hypervisor.chains import chain_of, file_of_disk, lies_on
from tasks.hypervisor.disks import commit_offline, ensure_layer, grow_file, rebase_offline, remove_file
from tasks.hypervisor.driver import Hypervisor, HypervisorError
from tasks.sagas.engine import Context, StageError
from tasks.sagas.rows import placed_or_none, update_volume
from tasks.sagas.volume import ROWS

NO_DISK = ("", "")  # nobody's
WITH = ("volume__pool__host", "volume__team", "volume__vm", "parent")  # what a moment is asked for with


def disk_of(volume: Volume) -> tuple[str, str]:
    """(domain, target) of the VM that has it."""
    return (volume.vm.domain, volume.target) if volume.vm is not None and volume.vm.host_id else NO_DISK


def open_layers(hypervisor: Hypervisor, disk: tuple[str, str]) -> tuple[str, ...]:
    """The files of a disk that a guest has open, the one that is written first."""
    return () if disk == NO_DISK else hypervisor.live_layers(*disk)


def standing_layers(hypervisor: Hypervisor, disk: tuple[str, str]) -> tuple[str, ...]:
    """The files of a disk, the one that is written first: as the guest has them open, or would open them if it started now.

    A worker that died knows no more what libvirt did for it. The definition does, also once the guest has powered off: it
    follows each snapshot and each merge. `disk` is (domain, target).
    """
    if disk == NO_DISK:
        return ()
    return hypervisor.live_layers(*disk) or chain_of(file_of_disk(hypervisor.definition(disk[0]), disk[1]))


def merge_layers(
    hypervisor: Hypervisor, disk: tuple[str, str], base: Path, top: Path, above: Iterable[Path] = ()
) -> None:
    """What is in `top` is in `base`, on which it lies, and what lay `above` it lies on `base`. `disk` is (domain, target)."""
    layers = open_layers(hypervisor, disk)
    if str(base) in layers:
        hypervisor.commit_layer(*disk, str(base), str(top))
        layers = hypervisor.live_layers(*disk)
    elif top.exists() and not is_merged(hypervisor, disk, base, top):
        commit_offline(top, base)
    for path in above:  # what a running guest has open, libvirt has told already
        if str(path) not in layers:
            rebase_offline(path, base)


def is_merged(hypervisor: Hypervisor, disk: tuple[str, str], base: Path, top: Path) -> bool:
    """Whether the disk lies on `base` without `top`: then the guest may have written to `base` since, and what is left of
    `top` is older."""
    layers = standing_layers(hypervisor, disk)
    return str(base) in layers and str(top) not in layers


def lay_over(hypervisor: Hypervisor, disk: tuple[str, str], new: Path, below: Path) -> None:
    """`new` lies on `below`; nobody has the disk open. One that does already may be what the guest wrote until it powered
    off, libvirt having switched to it: it is kept as it is."""
    if new.exists() and not lies_on(new, below):
        if str(new) in standing_layers(hypervisor, disk):
            raise StageError(f"{new.name} is what the VM writes, and does not lie on {below.name}: it is left as it is")
        remove_file(new)
    ensure_layer(new, below)


def parts_of(snapshot: Snapshot) -> list[SnapshotVolume]:
    """The volumes in a snapshot. StageError when the worker does not see their files."""
    rows = list(snapshot.volumes.select_related(*WITH, "snapshot").order_by("id"))
    for one in rows:
        check_seen(one.volume)
    return rows


def check_seen(volume: Volume) -> None:
    """StageError when the worker does not see its file."""
    if not Path(volume.path).is_file():
        raise StageError(
            f"the file of volume {volume.name}, {volume.path}, is not there where the worker runs: "
            "its pool's folder must be the same there, or the volume be left out"
        )


def path_of(volume: Volume, name: str) -> Path:
    """A file beside what is written to the volume."""
    return Path(volume.path).with_name(name)


def new_layers(parts: Sequence[SnapshotVolume]) -> dict[str, str]:
    """Target → the file that will be written once the snapshot is taken; none of them is there."""
    found = {}
    for one in parts:
        path = path_of(one.volume, one.next_file_name)
        remove_file(path)
        found[one.volume.target] = str(path)
    return found


def lay(hypervisor: Hypervisor, parts: Sequence[SnapshotVolume]) -> None:
    """The layers of `new_layers` are there: nobody has the volumes open."""
    for one in parts:
        new = path_of(one.volume, one.next_file_name)
        lay_over(hypervisor, disk_of(one.volume), new, Path(one.volume.path))


def lock_rows(volumes: Iterable[UUID], vm: VM | None = None) -> None:
    """All rows that will change are taken before the first change is told: telling takes the team's topic, for which somebody
    may wait who has changed one of those rows. Runs in the caller's transaction."""
    if vm is not None:
        list(VM.objects.select_for_update(no_key=True).filter(pk=vm.pk).values_list("pk"))
    wanted = Volume.objects.select_for_update(no_key=True).filter(uuid__in=list(volumes))
    list(wanted.order_by("pk").values_list("pk"))


def record_frozen(parts: Sequence[SnapshotVolume]) -> None:
    """Rows say what froze, and what is written now. Runs in the caller's transaction."""
    for one in parts:
        one.parent = one.volume.moments.filter(is_current=True).first()
        one.file_name = one.volume.file_name
        one.save(update_fields=["parent", "file_name"])
        _switch(one.volume, one.next_file_name, one)


def unfreeze_part(hypervisor: Hypervisor, part: SnapshotVolume) -> None:
    """What was written to the volume since is in the file that was written before."""
    volume = part.volume
    new, disk = path_of(volume, part.next_file_name), disk_of(volume)
    if volume.layer == new.name or str(new) in standing_layers(hypervisor, disk):
        old = path_of(volume, part.file_name or volume.file_name)
        merge_layers(hypervisor, disk, old, new)
        if volume.layer == new.name:  # else no row told yet that it froze, and what it lies on is as it was
            with transaction.atomic():
                _switch(volume, old.name, part.parent)
    remove_file(new)


def lay_on(parts: Sequence[SnapshotVolume], revert: UUID) -> None:
    """Each has a fresh layer on what froze then, as large as the volume is now."""
    for one in parts:
        new = path_of(one.volume, one.volume.layer_of(revert))
        ensure_layer(new, path_of(one.volume, one.file_name))
        grow_file(new, one.volume.size_gib)


def record_reverted(parts: Sequence[SnapshotVolume], revert: UUID) -> None:
    """Rows say that those are written. Runs in the caller's transaction."""
    for one in parts:
        _switch(one.volume, one.volume.layer_of(revert), one)


def return_volumes(before: Sequence[dict[str, Any]]) -> None:
    """Rows say that what was written before the revert is written again. Runs in the caller's transaction."""
    for told in before:
        if volume := ROWS.filter(uuid=told["volume"]).first():
            _switch(volume, told["layer"], volume.moments.filter(pk=told["current"]).first())


def drop_reverted(revert: UUID, before: Sequence[dict[str, Any]]) -> None:
    """The layers that the revert made are gone."""
    for volume in ROWS.filter(uuid__in=[told["volume"] for told in before]):
        remove_file(path_of(volume, volume.layer_of(revert)))


def drop_before(before: Sequence[dict[str, Any]]) -> None:
    """What was written to them before the revert is lost."""
    for told in before:
        volume = ROWS.filter(uuid=told["volume"]).first()
        if volume is not None and volume.file_name != (told["layer"] or volume.first_name):
            remove_file(path_of(volume, told["layer"] or volume.first_name))


def merge_part(hypervisor: Hypervisor, part: SnapshotVolume) -> Path:
    """What lies on the part is in its file; the file that is then not needed any more. Rows are as before."""
    child, base = part.children.first(), path_of(part.volume, part.file_name)
    if child is None and not part.is_current:
        return base
    top = _top_of(part, child)
    above = [path_of(part.volume, row.file_name) for row in child.children.all()] if child else []
    if child is not None and child.is_current:
        above.append(Path(part.volume.path))
    merge_layers(hypervisor, disk_of(part.volume), base, top, above)
    return top


def record_merged_part(part: SnapshotVolume) -> None:
    """The snapshot has the volume no more; its file is what lay on it. Runs in the caller's transaction."""
    if child := part.children.first():
        SnapshotVolume.objects.filter(pk=child.pk).update(file_name=part.file_name, parent=part.parent)
    elif part.is_current:
        _switch(part.volume, part.file_name, part.parent)
    part.delete()


def too_many_on(part: SnapshotVolume) -> bool:
    """Whether more than one layer lies on it."""
    return part.children.count() + part.is_current > 1


def is_part_merged(hypervisor: Hypervisor, part: SnapshotVolume) -> bool:
    """Whether the VM has the layer on it no more, though rows do not say so yet."""
    child = part.children.first()
    if too_many_on(part) or not (child or part.is_current):
        return False
    base = path_of(part.volume, part.file_name)
    return is_merged(hypervisor, disk_of(part.volume), base, _top_of(part, child))


def _top_of(part: SnapshotVolume, child: SnapshotVolume | None) -> Path:
    return path_of(part.volume, child.file_name) if child else Path(part.volume.path)


def refresh_pools(hypervisor: Hypervisor, volumes: Iterable[Volume]) -> None:
    """libvirt knows the files that came or went in the volumes' pools; a host that is away now, by the next look at pools."""
    with suppress(HypervisorError):
        for name in sorted({one.pool.name for one in volumes if one.pool is not None}):
            hypervisor.refresh_pool(name)


def flatten_volumes(context: Context) -> str:
    """A deletion's: the volumes, which outlive their VM, hold in one file what they hold; no layer of the VM's snapshots is
    left of them. Those of their own stay."""
    names, kept = [], []
    if (found := placed_or_none(context)) and not found[0].adopted:
        vm, hypervisor, _ = found
        for volume in ROWS.filter(vm=vm).exclude(path=""):
            if volume.moments.filter(snapshot=None).exists():
                _drop_moments_of_vm(hypervisor, volume)
                kept.append(volume.name)
            elif _flatten(volume):
                names.append(volume.name)
            _remove_layers(volume)
        refresh_pools(hypervisor, ROWS.filter(vm=vm))
    words = [f"{', '.join(names)} in one file each"] * bool(names)
    words += [f"{', '.join(kept)} with the snapshots of its own"] * bool(kept)
    return "; ".join(words) or "none has layers"


def _flatten(volume: Volume) -> bool:
    first, written = path_of(volume, volume.first_name), Path(volume.path)
    has_layers = bool(volume.layer) and written != first and first.parent.is_dir()
    if has_layers and written.is_file():  # one that somebody removed has nothing to merge
        commit_offline(written, first)
    with transaction.atomic():
        volume.moments.all().delete()
        if volume.layer:
            _switch(volume, first.name, None)
    return has_layers


def _drop_moments_of_vm(hypervisor: Hypervisor, volume: Volume) -> None:
    """One after another what froze with the VM is merged into what lies on it. Where two lines lie on one it cannot be, and
    stays as a snapshot of the volume's own."""
    is_seen = Path(volume.path).is_file()  # what somebody removed has nothing to merge
    while is_seen and (part := next((one for one in _moments_of_vm(volume) if not too_many_on(one)), None)):
        left = merge_part(hypervisor, part)
        with transaction.atomic():
            record_merged_part(part)
        remove_file(left)
        volume.refresh_from_db(fields=["layer", "path"])
    taken = set(volume.moments.filter(snapshot=None).values_list("name", flat=True))
    for part in _moments_of_vm(volume):
        name = _free_name(part.title, taken)
        taken.add(name)
        SnapshotVolume.objects.filter(pk=part.pk).update(snapshot=None, name=name, created_at=part.frozen_at)


def _free_name(name: str, taken: Collection[str]) -> str:
    names = (f"{name[:59]}-{number}" if number else name for number in count())
    return next(one for one in names if one not in taken)


def _moments_of_vm(volume: Volume) -> QuerySet[SnapshotVolume]:
    return volume.moments.exclude(snapshot=None).exclude(file_name="").select_related(*WITH, "snapshot").order_by("id")


def _remove_layers(volume: Volume) -> None:
    """No file is left that no row names."""
    folder = Path(volume.path).parent
    wanted = {volume.file_name, *volume.moments.values_list("file_name", flat=True)}
    if folder.is_dir():
        for path in folder.glob(f"hs-vol-{volume.uuid}-*"):
            if path.name.removesuffix(".new") not in wanted:
                remove_file(path)


def _switch(volume: Volume, name: str, current: SnapshotVolume | None) -> None:
    """From now on that file is written, which lies on what froze at `current`. Runs in the caller's transaction."""
    SnapshotVolume.objects.filter(volume=volume, is_current=True).update(is_current=False)
    if current is not None:
        SnapshotVolume.objects.filter(pk=current.pk).update(is_current=True)
    name = name or volume.first_name
    update_volume(volume, layer="" if name == volume.first_name else name, path=str(path_of(volume, name)))
