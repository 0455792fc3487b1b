"""What people ask of snapshots: taken, gone back to, deleted. Under the team's row lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.models import Team, User
from portal.compute.changes import changes_of, locked_vm
from portal.compute.models import VM, VMState
from portal.compute.requests import NAME, Use, VMProblem, over_quota_by, start_operation, use_of
from portal.operations.models import Operation
from portal.snapshots.models import Snapshot, SnapshotVolume
from portal.volumes.models import Volume
from portal.volumes.quota import quota_problems

MOST = 16  # of one VM: each is one more file to look through for every block that is read
ON = (VMState.RUNNING, VMState.PAUSED)


def take_refusal(vm: VM, memory: bool = False) -> str:
    """Why no snapshot of the VM can be taken now."""
    if reason := busy_words(vm):
        return reason
    if vm.snapshots.count() >= MOST:
        return gettext("it has %(most)s snapshots; that is the most: delete one first") % {"most": MOST}
    if reason := team_refusal(vm.team):
        return reason
    if memory and vm.state != VMState.RUNNING:
        return gettext("it is %(state)s; only a running VM has a memory to keep") % {
            "state": str(VMState(vm.state).label).lower()
        }
    if memory and (out := [one.name for one in vm.volumes.all() if left_out_words(one)]):
        return _memory_words(out)
    return ""


def snapshots_of(team: Team) -> int:
    """How many snapshots the team's VMs and its volumes have, those that plans took and those that are being deleted too."""
    alone = SnapshotVolume.objects.filter(volume__team=team, snapshot=None)
    return Snapshot.objects.filter(vm__team=team).count() + alone.count()


def team_refusal(team: Team) -> str:
    """Why the team can have no snapshot more."""
    told = {"used": snapshots_of(team), "limit": team.max_snapshots}
    words = gettext(
        "over quota: %(used)s of %(limit)s snapshots of the team are there; delete one, or ask an operator for more"
    )
    return words % told if told["used"] >= told["limit"] else ""


def left_out_words(volume: Volume) -> str:
    """Why the volume cannot be in a snapshot of its VM, or ""."""
    if volume.pool is None or not volume.path:
        return gettext("it is not made yet")
    if volume.pool.can.disk_format != "qcow2":
        return gettext("in a pool of %(kind)s it is raw, and only a qcow2 file has layers") % {
            "kind": volume.pool.can.words
        }
    return ""


def _memory_words(names: Sequence[str]) -> str:
    words = gettext("with the memory all its volumes must be in it, and %(names)s would not be: it would not fit them")
    return words % {"names": ", ".join(names)}


def busy_words(vm: VM) -> str:
    """Why no snapshot of the VM can be changed now, or ""."""
    return changes_of(vm)["snapshots"] or (
        gettext("it is in rescue: end the rescue first") if vm.rescue_image_id else ""
    )


def refusals_of(snapshot: Snapshot, busy: str | None = None) -> dict[str, str]:
    """Why the snapshot cannot be gone back to or deleted now, or ""; `busy` are its VM's `busy_words`, if they are known."""
    busy = busy_words(snapshot.vm) if busy is None else busy
    return {"revert": busy or _revert_refusal(snapshot), "delete": busy or _delete_refusal(snapshot)}


def _revert_refusal(snapshot: Snapshot) -> str:
    if snapshot.state == Snapshot.State.DELETING:
        return gettext("its deletion has begun: it can only be deleted")
    if snapshot.has_memory and (names := staying_of(snapshot)):
        return gettext("it keeps a memory, which does not know %(names)s: detach that first") % {
            "names": ", ".join(names)
        }
    return ""


def staying_of(snapshot: Snapshot) -> list[str]:
    """The names of the volumes of its VM that a revert leaves as they are: they are not in it, or were attached since."""
    inside = {one.volume_id for one in snapshot.volumes.all()}
    return [one.name for one in snapshot.vm.volumes.all() if one.pk not in inside]


def _delete_refusal(snapshot: Snapshot) -> str:
    lines = [child.name for child in snapshot.children.all()] + [gettext("the VM's disk")] * snapshot.is_current
    of_volumes = [lines_of(part) for part in snapshot.volumes.all()]
    return next((words for one in (lines, *of_volumes) if (words := too_many_words(one))), "")


def too_many_words(lines: Sequence[str]) -> str:
    """Why what these lie on cannot be merged, or ""."""
    words = gettext("%(lines)s lie on it: delete all but one of them first")
    return words % {"lines": gettext(" and ").join(lines)} if len(lines) > 1 else ""


def lines_of(part: SnapshotVolume) -> list[str]:
    """What lies on a volume's file in a snapshot."""
    now = gettext("what is written to volume %(volume)s") % {"volume": part.volume.name}
    alone = gettext("snapshot %(name)s of volume %(volume)s")
    children = [
        child.snapshot.name if child.snapshot else alone % {"name": child.name, "volume": part.volume.name}
        for child in part.children.all()
    ]
    return children + [now] * part.is_current


def chosen_volumes(vm: VM, names: Sequence[str] | None) -> list[Volume]:
    """The VM's volumes of these names; None is all that can be in a snapshot. Raises VMProblem."""
    known = {one.name: one for one in vm.volumes.select_related("pool__host")}
    if names is None:
        return [one for one in known.values() if not left_out_words(one)]
    problems = []
    if unknown := [f"“{name[:63]}”" for name in dict.fromkeys(names) if name not in known]:
        told = {"names": ", ".join(unknown[:8]), "vm": vm.name, "volumes": ", ".join(sorted(known)) or gettext("none")}
        problems.append(gettext("%(names)s was given; %(vm)s has %(volumes)s") % told)
    chosen = [known[name] for name in dict.fromkeys(names) if name in known]
    problems += [f"{one.name}: {reason}" for one in chosen if (reason := left_out_words(one))]
    if problems:
        raise VMProblem({"volumes": problems[:8]})
    return chosen


@dataclass(frozen=True, slots=True)
class SnapshotSpec:
    """A snapshot as asked for. No `volumes`: all that can be in one, by name."""

    name: str
    memory: bool = False
    volumes: Sequence[str] | None = None
    is_scheduled: bool = False


def take_snapshot(vm: VM, user: User | None, spec: SnapshotSpec) -> Operation:
    """The operation that freezes the VM's disk and volumes as they are, with its memory if asked for; each may hold as much
    as it has."""
    with transaction.atomic():
        fresh = locked_vm(vm, "snapshots")
        volumes = chosen_volumes(fresh, spec.volumes)
        if errors := _spec_errors(fresh, spec, volumes):
            raise VMProblem(errors)
        made = Snapshot.objects.create(
            vm=fresh, name=spec.name, has_memory=spec.memory, disk_gib=fresh.disk_gib, created_by=user,
            is_scheduled=spec.is_scheduled,
        )  # fmt: skip
        SnapshotVolume.objects.bulk_create(
            SnapshotVolume(snapshot=made, volume=one, size_gib=one.size_gib) for one in volumes
        )
        told = {"snapshot": str(made.uuid), "name": spec.name, "memory": spec.memory}
        told |= {"volumes": ", ".join(one.name for one in volumes) or "none"}
        chosen = None if spec.volumes is None else [one.name for one in volumes]
        kept = {"chosen": chosen, "uuids": [str(one.uuid) for one in volumes]}
        return start_operation("vm.snapshot", fresh, user, told | kept)


def _spec_errors(vm: VM, spec: SnapshotSpec, volumes: Sequence[Volume]) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    if not NAME.fullmatch(spec.name):
        errors["name"] = [
            gettext("“%(name)s” was given; allowed are 1 to 63 of a-z, 0-9 and -, not at either end")
            % {"name": spec.name[:40]}
        ]
    elif vm.snapshots.filter(name=spec.name).exists():
        errors["name"] = [
            gettext("%(fresh)s has a snapshot %(name)s already: choose another name")
            % {"fresh": vm.name, "name": spec.name}
        ]
    if over := over_quota_by(vm.team, use_of(vm.team), Use(0, 0, vm.disk_gib, 0)):
        errors["snapshot"] = over
    if over := quota_problems(vm.team, 0, sum(one.size_gib for one in volumes)):
        errors["volumes"] = over
    if reason := take_refusal(vm, spec.memory):
        errors["memory" if spec.memory and not take_refusal(vm) else "snapshot"] = [f"{vm.name}: {reason}"]
    elif spec.memory and (out := [one.name for one in vm.volumes.all() if one not in volumes]):
        errors["memory"] = [f"{vm.name}: {_memory_words(out)}"]
    return errors


def revert_to(snapshot: Snapshot, user: User) -> Operation:
    """The operation that gives the VM the disk, and the memory, of that moment; what it has now is lost."""
    with transaction.atomic():
        fresh = _locked(snapshot, "revert")
        vm = fresh.vm
        current = vm.snapshots.filter(is_current=True).first()
        before: dict[str, Any] = {"disk_name": vm.disk_name, "current": str(current.uuid) if current else ""}
        before["volumes"] = [written_of(one.volume) for one in fresh.volumes.select_related("volume")]
        params = {"snapshot": str(fresh.uuid), "name": fresh.name, "before": before, "runs": vm.state in ON}
        return start_operation("vm.snapshot_revert", vm, user, params)


def written_of(volume: Volume) -> dict[str, Any]:
    """What is written to the volume now, for a revert that is undone."""
    current = volume.moments.filter(is_current=True).first()
    return {"volume": str(volume.uuid), "layer": volume.layer, "current": current.pk if current else None}


def delete_snapshot(snapshot: Snapshot, user: User | None) -> Operation:
    """The operation that forgets the moment: its layer is merged with the one above; the VM's disk stays as it is."""
    with transaction.atomic():
        fresh = _locked(snapshot, "delete")
        fresh.state = Snapshot.State.DELETING
        fresh.save(update_fields=["state"])
        told: dict[str, Any] = {"snapshot": str(fresh.uuid), "name": fresh.name}
        told |= {"uuids": [str(one.volume.uuid) for one in fresh.volumes.select_related("volume")]}
        return start_operation("vm.snapshot_delete", fresh.vm, user, told)


def _locked(snapshot: Snapshot, change: str) -> Snapshot:
    vm = locked_vm(snapshot.vm, "snapshots")
    fresh = Snapshot.objects.filter(pk=snapshot.pk).first()
    if fresh is None:
        raise VMProblem({"snapshot": [gettext("%(snapshot)s is gone meanwhile") % {"snapshot": snapshot.name}]})
    fresh.vm = vm
    if reason := refusals_of(fresh)[change]:
        raise VMProblem(
            {
                "snapshot": [
                    gettext("%(fresh)s: %(change)s is not possible now: %(reason)s")
                    % {"fresh": fresh.name, "change": change, "reason": reason}
                ]
            }
        )
    return fresh
