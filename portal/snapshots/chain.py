"""A volume's backing chain: the files that snapshots, its VM's and its own, froze, as the tree that they are, and the one that is
written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import prefetch_related_objects

from portal.compute.models import VM
from portal.snapshots.models import SnapshotVolume
from portal.volumes.models import Volume


@dataclass(frozen=True, slots=True)
class VolumeLayer:
    """One file. Without a `moment` it is the one that is written; `below` is the file that it lies on, if it lies on one."""

    depth: int
    file_name: str
    below: str
    size_gib: int
    moment: SnapshotVolume | None = None

    @property
    def indent_px(self) -> int:
        """How far it is moved to the right."""
        return min(self.depth, 8) * 18 + 14


def chain_of(volume: Volume) -> tuple[VolumeLayer, ...]:
    """Its files, each after the one that it lies on; none before it was made."""
    prefetch_related_objects([volume], "moments__snapshot")
    return tuple(_layers(volume, list(volume.moments.all()))) if volume.path else ()


def chains_of(vm: VM) -> list[tuple[Volume, tuple[VolumeLayer, ...]]]:
    """The chains of the VM's volumes that are in a snapshot."""
    prefetch_related_objects([vm], "volumes__pool__host", "volumes__moments__snapshot")
    return [(one, chain_of(one)) for one in vm.volumes.all() if one.moments.all()]


def layer_as_json(layer: VolumeLayer) -> dict[str, Any]:
    """One layer as the API tells it."""
    moment = layer.moment
    return {
        "file_name": layer.file_name,
        "below": layer.below or None,
        "size_gib": layer.size_gib,
        "snapshot": moment.title if moment else None,
        "snapshot_uuid": (moment.snapshot or moment).uuid if moment else None,
        "snapshot_of": ("volume" if moment.snapshot is None else "vm") if moment else None,
        "frozen_at": moment.frozen_at if moment else None,
    }


def _layers(volume: Volume, moments: Iterable[SnapshotVolume]) -> Iterator[VolumeLayer]:
    """One that is only being taken has frozen nothing yet, and has no file."""
    frozen = sorted((one for one in moments if one.file_name), key=lambda one: one.pk)
    above: dict[int | None, list[SnapshotVolume]] = {}
    for one in frozen:
        above.setdefault(one.parent_id, []).append(one)

    def lines(parent: SnapshotVolume | None, depth: int) -> Iterator[VolumeLayer]:
        below = parent.file_name if parent else ""
        for one in above.get(parent.pk if parent else None, []):
            yield VolumeLayer(depth, one.file_name, below, one.size_gib, one)
            yield from lines(one, depth + 1)
        if (parent is None and not frozen) or (parent is not None and parent.is_current):
            yield VolumeLayer(depth, volume.file_name, below, volume.size_gib)

    return lines(None, 0)
