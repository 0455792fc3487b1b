"""The volumes of a VM that moves to another host.

[volume in a pool of here] --copied by QEMU while the guest runs, by libvirt's streams while it is off--> [of the same name there]
[volume in a pool that both hosts have] stays, and its row names the other host's pool from then on.
[frozen] ← [frozen] ← [volume, written in a layer] is files that the worker sees: what froze is copied ahead, file by file.

`params["volumes"]` says of each where it is and where it goes. What is there is trusted only once its `path` is written,
and full only once `is_full` is. Here it stays as it is until the VM has moved; there it goes if the VM does not come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from portal.compute.models import VM
from portal.hosts.models import Host
from portal.live.publishers import volume_changed
from portal.volumes.models import Pool, Volume
from portal.volumes.places import Place, places_on
from tasks.hypervisor.disks import remove_file
from tasks.hypervisor.domain_xml import DiskSpec
from tasks.hypervisor.driver import Hypervisor, VolumeAsked
from tasks.sagas import moved_volume_layers, vm_create
from tasks.sagas.engine import Context, StageError, stop_if_cancelled
from tasks.sagas.moved_layers import Need, room_problems
from tasks.sagas.rows import keep_params, operation_params

PROBE_BYTES = 4 * 1024**2  # the least that LVM makes


@dataclass(frozen=True, slots=True)
class Moving:
    """One volume on its way: (pool, name) here and there."""

    uuid: str
    name: str
    here: tuple[str, str]
    there: tuple[str, str]
    is_shared: bool
    is_begun: bool = False
    is_full: bool = False
    path: str = ""  # there
    frozen: tuple[str, ...] = ()  # the files that froze at snapshots, each after the one that it lies on
    folders: tuple[str, str] = ("", "")  # of those, here and there

    @property
    def written(self) -> tuple[Path, Path]:
        """The file that lies on those, here and there."""
        return Path(self.folders[0], self.here[1]), Path(self.folders[1], self.there[1])

    @property
    def files_there(self) -> list[Path]:
        """What is made of a volume in layers."""
        return [self.written[1].with_name(name) for name in (*self.frozen, self.there[1])]

    @property
    def probe(self) -> str:
        """What is made there to see whether it is here too."""
        return f"hs-vol-{self.uuid}.probe"


def plan_volumes(context: Context, vm: VM, target: Host, needs: list[Need]) -> list[str]:
    """Choose where each goes, and write it down; what is missing, room too: `needs` is what else the VM's files need there."""
    places, missing = places_on(vm, target)
    if missing:
        return missing + room_problems(needs)
    moving = [_moving(place) for place in places]
    missing, more = moved_volume_layers.problems_of([(one.written, one.frozen) for one in moving if one.frozen])
    missing = missing or room_problems([*needs, *more])
    if not missing:
        _keep(context, moving)
    return missing


def _moving(place: Place) -> Moving:
    volume = place.volume
    assert volume.pool is not None
    there = (place.pool.name, volume.file_name)  # formats stay, and so does a LUN
    made = Moving(str(volume.uuid), volume.name, (volume.pool.name, volume.file_name), there, place.is_shared)
    if place.is_shared or not volume.layer:
        return made
    frozen = tuple(path.name for path in moved_volume_layers.frozen_of(volume))
    return replace(made, frozen=frozen, folders=(str(Path(volume.path).parent), place.pool.target))


def moving_of(context: Context) -> list[Moving]:
    """What was planned, as far as it has come."""
    stored: list[dict[str, Any]] = operation_params(context).get("volumes", [])
    return [Moving(**_with_tuples(one)) for one in stored]


def _with_tuples(stored: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}


def _keep(context: Context, all_of_them: list[Moving]) -> None:
    keep_params(context, volumes=[asdict(one) for one in all_of_them])


def _note(context: Context, changed: Moving) -> None:
    _keep(context, [changed if one.uuid == changed.uuid else one for one in moving_of(context)])


def make_volumes(context: Context, here: Hypervisor, there: Hypervisor, runs: bool) -> str:
    """Each is there: the same one, one that is full, or for a guest that runs an empty one."""
    for one in moving_of(context):
        stop_if_cancelled(context)
        if not one.path:
            _make(context, one, here, there)
    if not runs:
        fill_volumes(context, here, there)
    words = [f"{one.name} {'is shared' if one.is_shared else 'in ' + one.there[0]}" for one in moving_of(context)]
    return ", ".join(words) or "it has none"


def _make(context: Context, one: Moving, here: Hypervisor, there: Hypervisor) -> None:
    pool, name = one.there
    if not one.is_begun and not one.is_shared and _find(there, one.there):
        one = replace(one, is_shared=_is_one_storage(one, here, there))  # rows could not tell
        if one.is_shared and one.frozen:
            here_and_there = f"{one.folders[0]} here and {one.folders[1]} there"
            raise StageError(f"{here_and_there} are one storage, and the layers of {one.name} name each other by path")
    if one.is_shared:
        path = _find(there, one.there)
        if not path:
            raise StageError(
                f"{pool} there is the same storage as {one.here[0]} here, but volume {one.name} is not in it"
            )
        return _note(context, replace(one, path=path, is_full=True))
    if one.frozen:
        return _make_layered(context, one, there)
    one = replace(one, is_begun=True)
    _note(context, one)
    there.remove_volume(pool, name)
    disk_format = "qcow2" if name.endswith(".qcow2") else "raw"
    path = there.make_volume(VolumeAsked(pool, name, disk_format, here.volume_bytes(*one.here)))
    _note(context, replace(one, path=path))


def _make_layered(context: Context, one: Moving, there: Hypervisor) -> None:
    """What froze is there, and an empty file over it; what an earlier worker copied to its end stays."""
    if not one.is_begun:
        for path in one.files_there:
            remove_file(path)
        one = replace(one, is_begun=True)
        _note(context, one)
    moved_volume_layers.copy_frozen(context, one.written, one.frozen)
    moved_volume_layers.make_top(one.written)
    _note(context, replace(one, path=_found(there, one)))


def _found(there: Hypervisor, one: Moving) -> str:
    path = _find(there, one.there)
    if not path:
        raise StageError(
            f"{one.written[1]} was made where the worker runs, and {one.there[0]} there does not have it: "
            "the pool's folder must be the same there"
        )
    return path


def _find(hypervisor: Hypervisor, place: tuple[str, str]) -> str:
    """The path of a volume, if it is in its pool now."""
    hypervisor.refresh_pool(place[0])
    return next((seen.path for seen in hypervisor.pool_volumes(place[0]) if seen.name == place[1]), "")


def _is_one_storage(one: Moving, here: Hypervisor, there: Hypervisor) -> bool:
    """Whether what is made in the pool there is seen in the one here: then the volume that is there is not a copy of it."""
    there.make_volume(VolumeAsked(one.there[0], one.probe, "raw", PROBE_BYTES))
    try:
        return bool(_find(here, (one.here[0], one.probe)))
    finally:
        there.remove_volume(one.there[0], one.probe)


def fill_volumes(context: Context, here: Hypervisor, there: Hypervisor) -> None:
    """What is there has the bytes of what is here, which no guest has open."""
    if any(not one.is_full for one in moving_of(context)):
        _make_again_if_begun(context, here, there)
    for one in moving_of(context):
        if not one.is_full:
            stop_if_cancelled(context)
            if one.frozen:
                moved_volume_layers.fill_top(one.written)
                there.refresh_pool(one.there[0])
            else:
                here.copy_volume(one.here, there, one.there)
            _note(context, replace(one, is_full=True))


def begin_filling(context: Context, here: Hypervisor, there: Hypervisor) -> None:
    """What QEMU is to fill is empty, though an earlier worker may have begun."""
    _make_again_if_begun(context, here, there)
    keep_params(context, is_filling=True)


def _make_again_if_begun(context: Context, here: Hypervisor, there: Hypervisor) -> None:
    """Of what the guest has thrown away since, nothing would be copied, and what was there would come back."""
    if operation_params(context).get("is_filling"):
        for one in moving_of(context):
            if not one.is_shared:
                _make(context, replace(one, is_begun=True, is_full=False), here, there)
        keep_params(context, is_filling=False)


def unmake_volumes(context: Context, there: Hypervisor) -> None:
    """What was made there is gone; what is here was never touched."""
    for one in moving_of(context):
        there.remove_volume(one.there[0], one.probe)
        if one.is_begun and one.frozen:
            _remove_files(there, one.there[0], one.files_there)
        elif one.is_begun and not one.is_shared:
            there.remove_volume(*one.there)


def disks_there(context: Context, vm: VM, target: Host) -> tuple[DiskSpec, ...]:
    """Its volumes' disks as they are there."""
    paths = {one.uuid: one for one in moving_of(context)}
    found = []
    for volume in vm.volumes.select_related("pool").exclude(path="").order_by("target"):
        one = paths.get(str(volume.uuid))
        if one is None or not one.path:
            raise StageError(f"volume {volume.name} came to it while it was to move: move it again")
        volume.pool = Pool.objects.get(host=target, name=one.there[0])
        found.append(replace(vm_create.disk_spec(volume), path=one.path))
    return tuple(found)


def copied_targets(context: Context, vm: VM) -> list[str]:
    """The disks that QEMU is to copy, as the domain calls them."""
    copied = [one.uuid for one in moving_of(context) if not one.is_shared]
    return list(vm.volumes.filter(uuid__in=copied).order_by("target").values_list("target", flat=True))


def rebook_volumes(context: Context, target: Host) -> None:
    """The rows say that they are there. In the caller's transaction, with what else says that the VM has moved."""
    for one in moving_of(context):
        volume = Volume.objects.select_related("team", "pool__host", "vm").filter(uuid=one.uuid).first()
        if volume is not None and volume.pool is not None:
            kept = {"kind": volume.pool.kind, "is_offered": True}  # should its row have gone meanwhile
            volume.pool, _ = Pool.objects.get_or_create(host=target, name=one.there[0], defaults=kept)
            volume.path = one.path
            volume.save(update_fields=["pool", "path"])
            volume_changed(volume)


def remove_left(context: Context, here: Hypervisor) -> list[str]:
    """What is not needed here any more is gone; the names of those volumes."""
    left = [one for one in moving_of(context) if not one.is_shared]
    for one in left:
        if one.frozen:
            folder = one.written[0].parent
            _remove_files(here, one.here[0], [folder / name for name in (*one.frozen, one.here[1])])
        else:
            here.remove_volume(*one.here)
    return [one.name for one in left]


def _remove_files(hypervisor: Hypervisor, pool: str, paths: Iterable[Path]) -> None:
    for path in paths:
        remove_file(path)
    hypervisor.refresh_pool(pool)
