"""A volume made in another pool than what it is a copy of, or in one with LUNs: a QEMU in which no guest runs pours it in.

[source, which no guest has] --QEMU of the host--> [what was made in the other pool, or the LUN that was taken]

What is there has the row's `path` before the first byte is poured: from then on an undo clears a LUN, as it may hold some of them.
What an earlier worker poured is poured again from its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from portal.volumes.models import Volume
from tasks.hypervisor.disks import disk_size_gib
from tasks.hypervisor.domain_xml import DiskSpec, format_disk
from tasks.hypervisor.driver import COPIES, Hypervisor, PourAsked
from tasks.sagas import vm_create
from tasks.sagas.awaited import await_copy
from tasks.sagas.engine import Context, StageError
from tasks.sagas.rows import update_volume
from tasks.sagas.stored import put_volume

MIB, GIB = 1024**2, 1024**3


def is_poured(source: Volume, volume: Volume) -> bool:
    """Whether libvirt itself cannot make the one as a copy of the other."""
    return volume.pool is not None and (volume.pool_id != source.pool_id or volume.pool.can.has_luns)


def put_poured(context: Context, source: Volume, volume: Volume, hypervisor: Hypervisor) -> str:
    """By what domains name the volume, which is there and holds what its source holds."""
    of = source.pool
    if volume.pool is None or of is None or volume.pool.host_id != of.host_id:
        raise StageError(f"{source.name} and {volume.name} do not lie on one host")
    end_pour(hypervisor, volume)
    hypervisor.refresh_pool(of.name)
    has_bytes = hypervisor.volume_bytes(of.name, source.file_name)
    first = _first_bytes(source, volume, has_bytes)
    return _poured(context, volume, hypervisor, Poured(source.name, (of.name, source.file_name), _disk(source), first))


def put_poured_file(context: Context, path: Path, volume: Volume, hypervisor: Hypervisor) -> str:
    """As `put_poured`, of a qcow2 that lies beside the disks of the host."""
    end_pour(hypervisor, volume)
    disk = format_disk(DiskSpec(str(path), "vda", "virtio", volume.serial))
    first = max(volume.size_gib, disk_size_gib(path)) * GIB
    return _poured(context, volume, hypervisor, Poured(path.name, ("", str(path)), disk, first))


@dataclass(frozen=True, slots=True)
class Poured:
    """What is poured: what people call it, (pool, name) or ("", path), its disk, and how large what is made has to be at first."""

    name: str
    of: tuple[str, str]
    disk: str
    first_bytes: int


def _poured(context: Context, volume: Volume, hypervisor: Hypervisor, source: Poured) -> str:
    pool = volume.pool
    assert pool is not None
    path = put_volume(hypervisor, volume, pool, size_bytes=source.first_bytes)
    volume.path = path
    update_volume(volume, path=path)
    asked = PourAsked(
        copy_name(volume), source.of, (pool.name, volume.file_name), source.disk, _disk(volume)
    )  # fmt: skip
    try:
        hypervisor.begin_pour(asked)
        problem = await_copy(context, lambda: hypervisor.pour_progress(asked.name))
    finally:
        hypervisor.end_pour(asked.name)
    if problem:
        raise StageError(f"{pool.host} could not copy {source.name} into {pool}: {problem}")
    if not pool.can.has_luns and hypervisor.volume_bytes(*asked.into) < volume.size_gib * GIB:
        hypervisor.grow_volume(*asked.into, volume.size_gib * GIB)
    return path


def _disk(volume: Volume) -> str:
    return format_disk(vm_create.disk_spec(volume))


def end_pour(hypervisor: Hypervisor, volume: Volume) -> None:
    """Nothing is poured into the volume any more."""
    hypervisor.end_pour(copy_name(volume))


def copy_name(volume: Volume) -> str:
    """The name of the domain that pours into it."""
    return f"{COPIES}{volume.uuid}"


def _first_bytes(source: Volume, volume: Volume, has_bytes: int) -> int:
    """As large as what is made has to be before it is filled. A qcow2 grows to what QEMU finds the source to have, and then to
    what was asked for; what is raw has room at once, as LVM's grow no more. Of a LUN that the host does not have as a device,
    libvirt tells up to a block less than there is."""
    assert volume.pool is not None and source.pool is not None
    if volume.pool.can.disk_format == "qcow2":
        return has_bytes
    is_told_short = source.pool.can.has_luns and source.pool.can.source != "block"
    return max(volume.size_gib * GIB, (has_bytes // MIB + 1) * MIB if is_told_short else has_bytes)
