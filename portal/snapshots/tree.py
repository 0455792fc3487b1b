"""A VM's snapshots as the tree that their files are: what lies on what, with the layer that the VM writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import prefetch_related_objects

from portal.compute.models import VM
from portal.snapshots.models import Snapshot, SnapshotVolume
from portal.snapshots.requests import busy_words, refusals_of, staying_of


@dataclass(frozen=True, slots=True)
class Line:
    """One layer. Without a `snapshot` it is the one that the VM writes."""

    depth: int
    snapshot: Snapshot | None
    disk_name: str
    no_revert: str = ""
    no_delete: str = ""
    volumes: tuple[SnapshotVolume, ...] = ()
    stays: tuple[str, ...] = ()  # volumes of the VM that a revert leaves as they are

    @property
    def indent_px(self) -> int:
        """How far it is moved to the right."""
        return min(self.depth, 8) * 18


def tree_of(vm: VM, why: str = "") -> list[Line]:
    """The layers, each after the one that it lies on; `why` is a reason against every change."""
    prefetch_related_objects([vm], "volumes__pool__host")
    parts = ("children", "volumes__volume", "volumes__children__snapshot")
    rows = list(vm.snapshots.prefetch_related(*parts).select_related("created_by", "parent"))
    known = {row.pk for row in rows}
    below: dict[int | None, list[Snapshot]] = {}
    for row in rows:
        row.vm = vm
        below.setdefault(row.parent_id if row.parent_id in known else None, []).append(row)
    busy = why or busy_words(vm)
    written = Line(0, None, vm.disk_name or f"{vm.domain}.qcow2")
    current = next((row for row in rows if row.is_current), None)

    def lines(parent: Snapshot | None, depth: int) -> Iterator[Line]:
        for row in below.get(parent.pk if parent else None, []):
            reasons = refusals_of(row, busy)
            inside, stays = tuple(row.volumes.all()), tuple(staying_of(row))
            yield Line(depth, row, row.disk_name, reasons["revert"], reasons["delete"], inside, stays)
            yield from lines(row, depth + 1)
        if parent is current and rows:
            yield Line(depth, None, written.disk_name)

    return list(lines(None, 0))
