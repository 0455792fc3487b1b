"""The volumes of a VM that is restored: their files, fetched and compared, made one, then given to libvirt for its pool.

[….fetched] ← [….fetched] --convert--> [….whole.fetched] --libvirt's upload--> [hs-vol-… in a pool of the VM's host]
                                                       --QEMU of the host--> [a LUN, or what libvirt uploads nothing to]

`params["made_of"]` has each new volume's uuid with that of the one in the backup; one is only trusted once it is in
`params["made"]`: what an earlier worker left half is removed and made again.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction

from portal.backups.models import Backup, BackupVolume
from portal.backups.restored_volumes import volume_links
from portal.live.publishers import volume_deleted
from portal.volumes.models import Pool, Volume, VolumeState
from tasks.hypervisor.disks import VMFiles, copy_disk, rebase_offline, remove_file, write_raw
from tasks.hypervisor.driver import Hypervisor
from tasks.sagas import vm_create
from tasks.sagas.engine import Context, StageError
from tasks.sagas.poured import end_pour, put_poured_file
from tasks.sagas.rows import keep_params, operation_params, placed, update_volume
from tasks.sagas.stored import GIB, put_volume, take_volume
from tasks.sagas.volume import ROWS, choose_pool


def links_with_files(context: Context, links: list[Backup], files: VMFiles) -> list[tuple[BackupVolume, Path]]:
    """Everything in the store that the new volumes are made of, with the file here that each becomes."""
    return [pair for source in _made_of(context).values() for pair in _of(context, links, UUID(source), files)]


def make_volumes(context: Context, links: list[Backup]) -> str:
    """Each new volume in a pool of the VM's host, with the content of then."""
    _, hypervisor, files = placed(context)
    names = []
    for uuid, source in _made_of(context).items():
        volume = ROWS.filter(uuid=uuid).first()
        if volume is None:
            raise StageError("the row of a volume is no longer there")
        if uuid not in operation_params(context).get("made", ()):
            pairs = _of(context, links, UUID(source), files)
            path = _filled(context, hypervisor, volume, [path for _, path in pairs])
            _note_made(context, uuid)
            for _, fetched in pairs:
                remove_file(fetched)
            remove_file(_whole(pairs[0][1]))
            update_volume(volume, path=path, state=VolumeState.ATTACHED)
        names.append(f"{volume.name}, {volume.size_gib} GiB in {volume.pool}")
    return "; ".join(names) or "none are in it"


def unmake_volumes(context: Context) -> None:
    """Nothing of them is in a pool; their rows go with the VM's."""
    params = operation_params(context)
    for volume in ROWS.filter(uuid__in=params.get("made_of", {})):
        if volume.pool is not None:
            hypervisor = context.hypervisors(volume.pool.host)
            end_pour(hypervisor, volume)
            take_volume(hypervisor, volume)
            update_volume(volume, path="", state=VolumeState.CREATING)
    keep_params(context, made=[])


def unplace(context: Context) -> None:
    """Neither the VM nor the volumes that were reserved for it are left."""
    with transaction.atomic():
        for volume in ROWS.filter(uuid__in=operation_params(context).get("made_of", {})):
            volume_deleted(volume)
            volume.delete()
    vm_create.unplace(context)


def _made_of(context: Context) -> dict[str, str]:
    params: dict[str, Any] = operation_params(context)
    return dict(params.get("made_of", {}))


def _of(context: Context, links: list[Backup], source: UUID, files: VMFiles) -> list[tuple[BackupVolume, Path]]:
    rows = volume_links(links, source)
    if not rows:
        raise StageError("a volume of the backup, or what it lies on, is no longer there")
    stem = f"hs-{context.operation.object_uuid}-{source.hex[:12]}"
    return [(row, files.beside(f"{stem}-{number}.fetched")) for number, row in enumerate(rows)]


def _pool_of(volume: Volume) -> Pool:
    with transaction.atomic():
        if volume.pool is None:
            update_volume(volume, pool=choose_pool(volume, is_filled=True))
    assert volume.pool is not None
    return volume.pool


def _filled(context: Context, hypervisor: Hypervisor, volume: Volume, fetched: list[Path]) -> str:
    """By libvirt's upload where its pool takes one, else poured by a QEMU, which reads the file beside the host's disks."""
    pool, whole = _pool_of(volume), _whole(fetched[0])
    if not whole.exists():
        for below, above in pairwise(fetched):
            rebase_offline(above, below)
        if pool.can.disk_format == "qcow2" or not pool.can.is_poured:
            copy_disk(fetched[-1], whole, "", "")
        else:
            write_raw(fetched[-1], whole)
    if not pool.can.is_poured:
        return put_poured_file(context, whole, volume, hypervisor)
    # raw, it is as long as what is poured in: one that was a LUN may have more than whole GiB
    size_bytes = 0 if pool.can.disk_format == "qcow2" else max(whole.stat().st_size, volume.size_gib * GIB)
    path = put_volume(hypervisor, volume, pool, size_bytes=size_bytes)
    hypervisor.fill_volume(pool.name, volume.file_name, str(whole))
    return path


def _whole(first: Path) -> Path:
    return first.with_name(first.name.replace("-0.fetched", "-whole.fetched"))


def _note_made(context: Context, uuid: str) -> None:
    keep_params(context, made=[*operation_params(context).get("made", []), uuid])
