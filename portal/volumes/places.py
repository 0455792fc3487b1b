"""Where the volumes of a VM can lie on another host, asked of rows alone: in a pool of the same storage, or in one with room."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext

from portal.compute.models import VM
from portal.config.units import decimals
from portal.hosts.models import Host
from portal.volumes.models import OWN_POOL, Pool, Volume

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Place:
    """A volume and the pool where it would lie. Of one that `is_shared` nothing is copied."""

    volume: Volume
    pool: Pool
    is_shared: bool

    @property
    def words(self) -> str:
        """For people: what becomes of the volume."""
        values = {"name": self.volume.name, "pool": str(self.pool), "size": self.volume.size_gib}
        if self.is_shared:
            return gettext("volume %(name)s stays where it is: %(pool)s is the same storage") % values
        if self.volume.layer:
            return (
                gettext("volume %(name)s and what froze of it are copied to %(pool)s, up to %(size)s GiB each") % values
            )
        return gettext("volume %(name)s is copied to %(pool)s, up to %(size)s GiB") % values


def is_same_storage(one: Pool, other: Pool) -> bool:
    """Whether two hosts' pools are known to be the same: the same place on the network, or both hosts' one folder of disks."""
    if one.name == other.name == OWN_POOL:
        return one.host.disks_dir.rstrip("/") == other.host.disks_dir.rstrip("/")
    return bool(one.source) and (one.kind, one.source) == (other.kind, other.source)


def volumes_to_move(vm: VM) -> list[Volume]:
    """The volumes that its domain has."""
    return list(vm.volumes.select_related("team", "pool__host").exclude(path="").exclude(pool=None).order_by("target"))


def places_on(vm: VM, target: Host) -> tuple[list[Place], list[str]]:
    """A place on the host for each of the VM's volumes, and what is missing for those that have none."""
    volumes = volumes_to_move(vm)
    if not volumes:
        return [], []
    return choose_places(
        volumes, list(Pool.objects.select_related("host").filter(host=target, is_offered=True)), target
    )


def choose_places(volumes: Iterable[Volume], pools: list[Pool], target: Host) -> tuple[list[Place], list[str]]:
    """As `places_on`. The same storage is taken first, then a pool of the same type, of the same name, with most room; large
    volumes choose before small ones, and each takes its room from what is left."""
    left = {pool.pk: pool.available_bytes for pool in pools}
    places, missing = [], []
    for volume in sorted(volumes, key=lambda one: (-one.size_gib, one.pk)):
        refused = [(pool, _refusal(volume, pool, left[pool.pk])) for pool in pools]
        fitting = [pool for pool, reason in refused if not reason]
        if not fitting:
            missing.append(_no_place(volume, target, refused))
            continue
        best = min(fitting, key=lambda pool: _rank(volume, pool, left[pool.pk]))
        is_shared = _is_shared(volume, best)
        left[best.pk] -= 0 if is_shared else volume.size_gib * GIB
        places.append(Place(volume, best, is_shared))
    return places, missing


def _is_shared(volume: Volume, pool: Pool) -> bool:
    return volume.pool is not None and is_same_storage(volume.pool, pool)


def _rank(volume: Volume, pool: Pool, left_bytes: int) -> tuple[bool, bool, bool, int, int]:
    """What operators call the same is likely the same, and perhaps one storage."""
    own = volume.pool
    assert own is not None
    return not _is_shared(volume, pool), pool.kind != own.kind, pool.name != own.name, -left_bytes, pool.pk


def _refusal(volume: Volume, pool: Pool, left_bytes: int) -> str:
    """Why the volume cannot lie in the pool. Formats stay: what is raw on a block device is all of the device, and a new one
    is not empty."""
    assert volume.pool is not None
    if not pool.is_active:
        return gettext("is not active")
    if pool.can.refusal or pool.can.disk_format != volume.pool.can.disk_format:
        return gettext("is %(kind)s, and takes no volume of %(own)s as it is") % {
            "kind": pool.can.words, "own": volume.pool.can.words,
        }  # fmt: skip
    if not _is_shared(volume, pool) and not (pool.can.is_poured and volume.pool.can.is_poured):
        return gettext("is other storage, and libvirt copies no volume of %(own)s into %(kind)s") % {
            "kind": pool.can.words, "own": volume.pool.can.words,
        }  # fmt: skip
    if volume.layer and _is_shared(volume, pool) != (pool.target == volume.pool.target):
        return _layered_refusal(volume.pool, pool)
    if not _is_shared(volume, pool) and left_bytes < volume.size_gib * GIB:
        return gettext("has %(left)s GiB left") % {"left": decimals(f"{max(left_bytes, 0) / GIB:.1f}")}
    return ""


def _layered_refusal(own: Pool, pool: Pool) -> str:
    """Layers name what they lie on by path, and are copied by the worker, for which a path is one folder."""
    if is_same_storage(own, pool):
        return gettext("has it in folder %(target)s, here it is in %(own)s, and the layers of its snapshots name that") % {
            "target": pool.target, "own": own.target,
        }  # fmt: skip
    return gettext("is in folder %(target)s as here, and the worker, which copies layers, cannot tell the two apart") % {
        "target": pool.target,
    }  # fmt: skip


def _no_place(volume: Volume, target: Host, refused: list[tuple[Pool, str]]) -> str:
    reasons = "; ".join(f"{pool} {reason}" for pool, reason in refused)
    return gettext("its volume %(name)s of %(size)s GiB has no place on %(target)s: %(reasons)s") % {
        "name": volume.name, "size": volume.size_gib, "target": target.name,
        "reasons": reasons or gettext("no storage pool is offered there"),
    }  # fmt: skip
