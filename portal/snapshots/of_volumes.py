"""What people ask of a volume's own snapshots: taken, gone back to, deleted, and a volume made of one. Under the team's row lock.

[frozen at monday] ← [frozen at a snapshot of its VM] ← [frozen at tuesday] ← [what is written: Volume.layer]

They are moments of the volume as those in its VM's snapshots are (`SnapshotVolume`), in one tree with them, and go where it goes.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet, prefetch_related_objects
from django.utils.translation import gettext

from portal.accounts.models import User
from portal.compute.actions import OFF
from portal.compute.requests import NAME, VMProblem
from portal.operations.models import Operation
from portal.snapshots.models import Snapshot, SnapshotVolume
from portal.snapshots.requests import lines_of, too_many_words, written_of
from portal.volumes.models import Volume
from portal.volumes.quota import quota_problems
from portal.volumes.requests import VolumeSpec, begin_change, locked_volume, made_like
from portal.volumes.rules import chain_refusal


@dataclass(frozen=True, slots=True)
class OwnSnapshot:
    """One of a volume's own, with why it cannot be gone back to, deleted or cloned now, or ""."""

    moment: SnapshotVolume
    no_revert: str
    no_delete: str
    no_clone: str


def snapshots_of_volume(volume: Volume, why: str = "") -> list[OwnSnapshot]:
    """Its own, oldest first; `why` is a reason against every change."""
    prefetch_related_objects([volume], "moments__snapshot", "moments__created_by", "moments__children__snapshot")
    rows = sorted((one for one in volume.moments.all() if one.snapshot_id is None), key=lambda one: one.pk)
    busy = why or (chain_refusal(volume) if rows else "")
    found = []
    for row in rows:
        row.volume = volume
        found.append(OwnSnapshot(row, *refusals_of_moment(row, busy).values()))
    return found


def refusals_of_moment(moment: SnapshotVolume, busy: str | None = None) -> dict[str, str]:
    """Why a volume's own snapshot cannot be gone back to, deleted or cloned now, or ""; `busy` is its volume's `chain_refusal`,
    if that is known."""
    busy = chain_refusal(moment.volume) if busy is None else busy
    return {
        "revert": busy or _revert_refusal(moment),
        "delete": busy or too_many_words(lines_of(moment)),
        "clone": busy or _deleting(moment),
    }


def moment_of(volume: Volume, text: str) -> SnapshotVolume | None:
    """Its own snapshot of that uuid; None when there is none."""
    return next((one for one in _rows(volume) if str(one.uuid) == text), None)


def take_volume_snapshot(volume: Volume, user: User | None, name: str, is_scheduled: bool = False) -> Operation:
    """The operation that freezes the volume as it is, whether a guest writes to it or not."""
    with transaction.atomic():
        fresh = locked_volume(volume, "snapshot")
        errors = _name_errors(fresh, name)
        if over := quota_problems(fresh.team, 0, fresh.size_gib):
            errors["snapshot"] = over
        if errors:
            raise VMProblem(errors)
        taking = {"state": Snapshot.State.TAKING, "size_gib": fresh.size_gib, "created_by": user}
        made = SnapshotVolume.objects.create(volume=fresh, name=name, is_scheduled=is_scheduled, **taking)
        return begin_change("volume.snapshot", fresh, user, {"snapshot": str(made.uuid), "name": name})


def revert_volume(moment: SnapshotVolume, user: User) -> Operation:
    """The operation that gives the volume what it held then; what it holds now is lost."""
    with transaction.atomic():
        fresh = _locked(moment, "revert")
        params = {"snapshot": str(fresh.uuid), "name": fresh.name}
        before = {"before": written_of(fresh.volume)}
        return begin_change("volume.snapshot_revert", fresh.volume, user, params | before)


def delete_volume_snapshot(moment: SnapshotVolume, user: User | None) -> Operation:
    """The operation that forgets the moment: its layer is merged with the one above; the volume stays as it is."""
    with transaction.atomic():
        fresh = _locked(moment, "delete")
        fresh.state = Snapshot.State.DELETING
        fresh.save(update_fields=["state"])
        params = {"snapshot": str(fresh.uuid), "name": fresh.name}
        return begin_change("volume.snapshot_delete", fresh.volume, user, params)


def clone_snapshot(
    moment: SnapshotVolume, user: User, name: str, size_gib: int | None = None
) -> tuple[Volume, Operation]:
    """A volume with what that one held then, in the same pool, attached to nothing; also while a guest writes to its source."""
    with transaction.atomic():
        fresh = _locked(moment, "clone")
        source = fresh.volume
        made = made_like(source, user, VolumeSpec(name, fresh.size_gib), size_gib)
        params = {"source_volume": str(source.uuid), "source": source.name, "name": name, "size_gib": made.size_gib}
        params |= {"source_snapshot": str(fresh.uuid), "snapshot": fresh.name}
        return made, begin_change("volume.clone", made, user, params, source)


def _rows(volume: Volume) -> QuerySet[SnapshotVolume]:
    return volume.moments.filter(snapshot=None).select_related("created_by").order_by("id")


def _locked(moment: SnapshotVolume, change: str) -> SnapshotVolume:
    """The snapshot as it is now, its team's row locked. Raises VMProblem when the change is not possible now."""
    volume = locked_volume(moment.volume)
    fresh = SnapshotVolume.objects.filter(pk=moment.pk).first()
    if fresh is None:
        raise VMProblem({"snapshot": [gettext("%(snapshot)s is gone meanwhile") % {"snapshot": moment.name}]})
    fresh.volume = volume
    if reason := refusals_of_moment(fresh)[change]:
        words = gettext("%(fresh)s: %(change)s is not possible now: %(reason)s")
        raise VMProblem({"snapshot": [words % {"fresh": fresh.name, "change": change, "reason": reason}]})
    return fresh


def _name_errors(volume: Volume, name: str) -> dict[str, list[str]]:
    if not NAME.fullmatch(name):
        words = gettext("“%(name)s” was given; allowed are 1 to 63 of a-z, 0-9 and -, not at either end")
        return {"name": [words % {"name": name[:40]}]}
    if volume.moments.filter(snapshot=None, name=name).exists():
        words = gettext("%(fresh)s has a snapshot %(name)s already: choose another name")
        return {"name": [words % {"fresh": volume.name, "name": name}]}
    return {}


def _deleting(moment: SnapshotVolume) -> str:
    if moment.state == Snapshot.State.DELETING:
        return gettext("its deletion has begun: it can only be deleted")
    return ""


def _revert_refusal(moment: SnapshotVolume) -> str:
    vm = moment.volume.vm
    if vm is not None and vm.state not in OFF:
        return gettext("%(vm)s may write to it: shut %(vm)s down, or detach it first") % {"vm": vm.name}
    return _deleting(moment)
