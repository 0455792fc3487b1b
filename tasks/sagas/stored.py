"""A volume put into its pool, and taken out of it again: made and removed where libvirt makes volumes; where the pool has LUNs, the
one that the row was given is looked at and handed over, and given back with nothing on it.
"""

from __future__ import annotations

from portal.volumes.models import Pool, Volume
from tasks.hypervisor.driver import COPIES, Hypervisor, PoolSeen, VolumeAsked
from tasks.sagas.engine import StageError

GIB = 1024**3


def put_volume(hypervisor: Hypervisor, volume: Volume, pool: Pool, copy_of: str = "", size_bytes: int = 0) -> str:
    """By what domains name the volume, which is there, empty or a copy; what an earlier worker left half is made anew. It has
    so many bytes (none said: as the row says), or all of its LUN."""
    size = size_bytes or volume.size_gib * GIB
    asked = VolumeAsked(pool.name, volume.file_name, pool.can.disk_format, size, copy_of)
    if pool.can.has_luns:
        _look_at_lun(hypervisor, volume, pool)
    else:
        hypervisor.remove_volume(pool.name, volume.file_name)
    return hypervisor.make_volume(asked)


def take_volume(hypervisor: Hypervisor, volume: Volume) -> None:
    """Nothing of the volume is left; a LUN that nobody was handed yet is left as it was, and one that is away stays a volume."""
    pool = volume.pool
    if pool is None or (pool.can.has_luns and not volume.path):
        return
    if pool.can.has_luns:
        hypervisor.refresh_pool(pool.name)
        if all(one.name != volume.file_name for one in hypervisor.pool_volumes(pool.name)):
            raise StageError(f"{pool} does not have LUN {volume.lun} now: it stays a volume until it can be cleared")
    hypervisor.remove_volume(pool.name, volume.file_name)


def _look_at_lun(hypervisor: Hypervisor, volume: Volume, pool: Pool) -> None:
    """It is there, as large as the row says, and no domain of the host has it."""
    hypervisor.refresh_pool(pool.name)
    seen = next((one for one in hypervisor.pools() if one.name == pool.name and one.is_active), None)
    if seen is None:
        raise StageError(f"{pool} is not active: its server may be away")
    lun = next((one for one in seen.luns if one.key == volume.lun), None)
    if lun is None:
        raise StageError(f"{pool} has LUN {volume.lun} no more: ask again, and another one is taken")
    if lun.gib < volume.size_gib:
        raise StageError(f"LUN {lun.key} has {lun.gib} GiB now, {volume.size_gib} GiB are needed: ask again")
    if user := lun_users(hypervisor, seen).get(lun.key):
        raise StageError(f"LUN {lun.key} is in use: the domain {user} of {pool.host.name} names it")


def lun_users(hypervisor: Hypervisor, seen: PoolSeen) -> dict[str, str]:
    """Key → a domain of the host that names the LUN, for those that one names."""
    in_use = hypervisor.files_in_use()
    named = {path: domain for path, domain in in_use if not domain.startswith(COPIES)}  # which end by themselves
    keys = {lun.key.rpartition("/")[2]: lun.key for lun in seen.luns}
    there = {keys.get(one.name.rpartition(":")[2], ""): one.path for one in hypervisor.pool_volumes(seen.name)}
    return {key: named[path] for key, path in there.items() if key and path in named}
