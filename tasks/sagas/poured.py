"""A volume made in another pool than what it is a copy of, or in one with LUNs: a QEMU in which no guest runs pours it in.

[source, which no guest has] --QEMU of the host--> [what was made in the other pool, or the LUN that was taken]

What is there has the row's `path` before the first byte is poured: from then on an undo clears a LUN, as it may hold some of them.
What an earlier worker poured is poured again from its beginning.
"""

from __future__ import annotations

from portal.volumes.models import Volume
from tasks.hypervisor.domain_xml import format_disk
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
    pool, of = volume.pool, source.pool
    if pool is None or of is None or pool.host_id != of.host_id:
        raise StageError(f"{source.name} and {volume.name} do not lie on one host")
    name = copy_name(volume)
    hypervisor.end_pour(name)
    hypervisor.refresh_pool(of.name)
    has_bytes = hypervisor.volume_bytes(of.name, source.file_name)
    path = put_volume(hypervisor, volume, pool, size_bytes=_first_bytes(source, volume, has_bytes))
    volume.path = path
    update_volume(volume, path=path)
    named = [format_disk(vm_create.disk_spec(one)) for one in (source, volume)]
    asked = PourAsked(name, (of.name, source.file_name), (pool.name, volume.file_name), *named)
    try:
        hypervisor.begin_pour(asked)
        problem = await_copy(context, lambda: hypervisor.pour_progress(name))
    finally:
        hypervisor.end_pour(name)
    if problem:
        raise StageError(f"{pool.host} could not copy {source.name} into {pool}: {problem}")
    if not pool.can.has_luns and hypervisor.volume_bytes(*asked.into) < volume.size_gib * GIB:
        hypervisor.grow_volume(*asked.into, volume.size_gib * GIB)
    return path


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
