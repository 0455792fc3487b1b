"""The volumes that a VM is made with: a place for the new ones beside their VM, and they themselves.

[place: the host's pools have room for all of them] -> [disk: made in their pools] -> [define: with those that were free, too]
`params["new_volumes"]` has the uuids of those to make; one is only trusted once it is in `params["made"]`: what an earlier worker
left half is removed and made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import transaction
from django.db.models import Sum

from portal.compute.models import VM
from portal.hosts.models import Host
from portal.live.publishers import volume_changed, volume_deleted
from portal.volumes.models import Pool, Volume, VolumeState
from tasks.sagas.engine import Context, StageError
from tasks.sagas.rows import keep_params, operation_params, update_volume
from tasks.sagas.stored import put_volume, take_volume

GIB = 1024**3
Room = tuple[Pool, int]
ROWS = Volume.objects.select_related("team", "pool__host", "vm")


def lacking_for(vm: VM) -> Mapping[str, str]:
    """Hosts by name with why the VM's volumes keep it from there: one lies elsewhere, or no pool has room for a new one."""
    volumes = list(vm.volumes.select_related("pool__host"))
    if not volumes:
        return {}
    pools = _pools_with_room()
    return {
        host.name: words
        for host in Host.objects.only("name")
        if (words := _lack(host, volumes, [one for one in pools if one[0].host_id == host.pk]))
    }


def give_pools(vm: VM, host: Host) -> None:
    """Each new volume's pool on the host that was chosen; the caller holds the hosts' rows, so that nobody else chooses now."""
    volumes = list(ROWS.filter(vm=vm, pool=None))
    if not volumes:
        return
    given, words = _allotted(volumes, [one for one in _pools_with_room() if one[0].host_id == host.pk])
    if words:
        raise StageError(words)
    for volume, pool in given:
        volume.pool = pool
        volume.save(update_fields=["pool"])
        volume_changed(volume)


def make_volumes(context: Context) -> str:
    """The new volumes, empty, in their pools."""
    names = []
    for volume in _new(context):
        pool = volume.pool
        if pool is None:
            raise StageError(f"{volume.name} has no storage pool")
        if str(volume.uuid) not in operation_params(context).get("made", ()):
            hypervisor = context.hypervisors(pool.host)
            path = put_volume(hypervisor, volume, pool)
            keep_params(context, made=[*operation_params(context).get("made", ()), str(volume.uuid)])
            update_volume(volume, path=path, state=VolumeState.ATTACHED)
        names.append(f"{volume.name}, {volume.size_gib} GiB in {pool}")
    return "; ".join(names)


def unmake_volumes(context: Context) -> None:
    """Nothing of the new ones is in a pool; their rows go with the VM's."""
    for volume in _new(context):
        if volume.pool is not None:
            take_volume(context.hypervisors(volume.pool.host), volume)
            update_volume(volume, path="", state=VolumeState.CREATING)
    if operation_params(context).get("made"):
        keep_params(context, made=[])


def forget_volumes(context: Context) -> None:
    """The rows of the new ones are gone, and with them what they held of the quota."""
    with transaction.atomic():
        for volume in _new(context):
            volume_deleted(volume)
            volume.delete()


def _new(context: Context) -> list[Volume]:
    uuids = context.operation.params.get("new_volumes", [])  # as the request wrote them
    return list(ROWS.filter(uuid__in=uuids).order_by("target", "id")) if uuids else []


def _pools_with_room() -> list[Room]:
    """The pools that can be chosen, with what is left there when those volumes are made that are promised a place."""
    pools = Pool.objects.select_related("host").filter(is_offered=True, is_active=True)
    promised = dict(
        Volume.objects.filter(pool__isnull=False, path="")
        .values("pool")
        .annotate(gib=Sum("size_gib"))
        .values_list("pool", "gib")
    )
    return [
        (pool, pool.available_bytes - promised.get(pool.pk, 0) * GIB)
        for pool in pools
        if not pool.can.refusal and not pool.can.has_luns  # a whole LUN is only for who names its pool
    ]


def _lack(host: Host, volumes: Sequence[Volume], pools: list[Room]) -> str:
    for volume in volumes:
        if volume.pool is not None and volume.pool.host_id != host.pk:
            return f"is not {volume.pool.host.name}, where its volume {volume.name} lies"
    return _allotted([volume for volume in volumes if volume.pool is None], pools)[1]


def _allotted(volumes: Sequence[Volume], pools: list[Room]) -> tuple[list[tuple[Volume, Pool]], str]:
    """A pool for each, the largest volumes first and each where most is left; or why there is none."""
    left = dict(pools)
    given: list[tuple[Volume, Pool]] = []
    for volume in sorted(volumes, key=lambda one: (-one.size_gib, one.pk)):
        best = max(left, key=lambda pool: (left[pool], -pool.pk), default=None)
        if best is None:
            return [], f"has no storage pool for its volume {volume.name}"
        if left[best] < volume.size_gib * GIB:
            most = max(0, left[best]) / GIB
            return (
                [],
                f"has {most:.1f} GiB left in a storage pool, {volume.size_gib} GiB are needed for its volume {volume.name}",
            )
        left[best] -= volume.size_gib * GIB
        given.append((volume, best))
    return given, ""
