"""Volumes' operations asked for again, with the values that they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.utils.translation import gettext

from portal.accounts.models import User
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.operations.models import Operation
from portal.snapshots.models import SnapshotVolume
from portal.snapshots.of_volumes import (
    clone_snapshot,
    delete_volume_snapshot,
    moment_of,
    revert_volume,
    take_volume_snapshot,
)
from portal.volumes.lookup import offered_pools, volumes_of
from portal.volumes.models import Bus, Pool, Volume
from portal.volumes.requests import (
    VolumeSpec,
    attach_volume,
    clone_volume,
    create_volume,
    delete_volume,
    detach_volume,
    grow_volume,
)


def _volume(operation: Operation, field: str = "volume") -> Volume:
    found = volumes_of(operation.owner).filter(uuid=operation.params[field]).first()
    if found is None:
        raise VMProblem({"volume": ["the volume is no longer there"]})
    return found


def _vm(operation: Operation) -> VM | None:
    return VM.objects.select_related("team", "host").filter(team=operation.team, uuid=operation.object_uuid).first()


def _pool(operation: Operation) -> Pool | None:
    """The one that was asked for, if it is still offered."""
    return offered_pools().filter(uuid=operation.params["pool"]).first() if "pool" in operation.params else None


def _create(operation: Operation, user: User) -> Operation:
    asked = operation.params
    vm = _vm(operation) if operation.kind == "vm.volume_add" else None
    spec = VolumeSpec(asked["name"], asked["size_gib"], _pool(operation), vm, asked.get("bus", Bus.VIRTIO))
    return create_volume(operation.owner, user, spec)[1]


def _attach(operation: Operation, user: User) -> Operation:
    return attach_volume(_volume(operation), user, _vm(operation), operation.params["bus"])


def _moment(operation: Operation, field: str = "snapshot", volume: str = "volume") -> SnapshotVolume:
    found = moment_of(_volume(operation, volume), operation.params[field])
    if found is None:
        raise VMProblem({"snapshot": [gettext("the snapshot is no longer there")]})
    return found


def _clone(operation: Operation, user: User) -> Operation:
    asked = operation.params
    if "source_snapshot" in asked:
        moment = _moment(operation, "source_snapshot", "source_volume")
        return clone_snapshot(moment, user, asked["name"], asked.get("size_gib"))[1]
    source = _volume(operation, "source_volume")
    return clone_volume(source, user, asked["name"], asked.get("size_gib"), _pool(operation))[1]


AGAIN: Mapping[str, Callable[[Operation, User], Operation]] = {
    "volume.create": _create,
    "vm.volume_add": _create,
    "volume.clone": _clone,
    "volume.grow": lambda operation, user: grow_volume(_volume(operation), user, operation.params["size_gib"]),
    "volume.delete": lambda operation, user: delete_volume(_volume(operation), user),
    "volume.snapshot": lambda operation, user: take_volume_snapshot(_volume(operation), user, operation.params["name"]),
    "volume.snapshot_revert": lambda operation, user: revert_volume(_moment(operation), user),
    "volume.snapshot_delete": lambda operation, user: delete_volume_snapshot(_moment(operation), user),
    "vm.volume_attach": _attach,
    "vm.volume_detach": lambda operation, user: detach_volume(_volume(operation), user),
}
