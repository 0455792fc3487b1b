"""What people ask of volumes. Checked and stored under the team's row lock; what meets a host is an operation.

An operation on an attached volume is its VM's, so that it never runs beside a start of that VM.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.compute.models import VM
from portal.compute.requests import NAME, VMProblem
from portal.config.told import told
from portal.live.publishers import volume_changed
from portal.operations.models import Operation
from portal.operations.requests import Subject, begin_operation
from portal.volumes.luns import lock_luns, lun_for, no_lun_words
from portal.volumes.models import Bus, Pool, Volume, VolumeState
from portal.volumes.quota import free_target, quota_problems, size_problems
from portal.volumes.reach import Lun
from portal.volumes.rules import attach_refusal, refusals_of, vm_refusal

Errors = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """A volume as asked for; with a `vm` it is attached to it at once, without a `pool` one is chosen."""

    name: str
    size_gib: int
    pool: Pool | None = None
    vm: VM | None = None
    bus: str = Bus.VIRTIO


def create_volume(team: Team, user: User, spec: VolumeSpec) -> tuple[Volume, Operation]:
    """The volume's row and the operation that makes it. Raises VMProblem, and then nothing is stored."""
    with transaction.atomic():
        locked = Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        lun = _lun_of(spec)
        if errors := _spec_errors(locked, spec, lun):
            raise VMProblem(errors)
        volume = Volume.objects.create(
            team=locked, name=spec.name, size_gib=lun.gib if lun else spec.size_gib, lun=lun.key if lun else "",
            pool=spec.pool, created_by=user, vm=spec.vm, bus=spec.bus,
            target=free_target(spec.vm, spec.bus) if spec.vm else "",
        )  # fmt: skip
        kind = "vm.volume_add" if spec.vm else "volume.create"
        asked = {"name": spec.name, "size_gib": spec.size_gib, "bus": spec.bus}
        return volume, begin_change(kind, volume, user, asked | _pool_asked(spec.pool))


def attach_volume(volume: Volume, user: User, vm: VM | None, bus: str = Bus.VIRTIO) -> Operation:
    """The operation that gives a VM of the team the volume."""
    with transaction.atomic():
        fresh = locked_volume(volume, "attach")
        if vm is None or vm.team_id != fresh.team_id:
            raise VMProblem(
                {
                    "vm": [
                        gettext("no VM of that name in team %(team)s: choose one of the list")
                        % {"team": fresh.team.name}
                    ]
                }
            )
        if reason := attach_refusal(vm, fresh, bus):
            raise VMProblem({"bus" if bus not in Bus.values else "vm": [reason]})
        fresh.vm, fresh.bus, fresh.target, fresh.state = vm, bus, free_target(vm, bus), VolumeState.ATTACHED
        fresh.save(update_fields=["vm", "bus", "target", "state"])
        return begin_change("vm.volume_attach", fresh, user, {"name": fresh.name, "bus": bus})


def detach_volume(volume: Volume, user: User) -> Operation:
    """The operation that takes the volume from its VM; it is free when the guest has let go of it."""
    with transaction.atomic():
        fresh = locked_volume(volume, "detach")
        return begin_change("vm.volume_detach", fresh, user, {"name": fresh.name})


def grow_volume(volume: Volume, user: User, size_gib: int) -> Operation:
    """The operation that makes the volume larger, in a running guest too; it never shrinks."""
    with transaction.atomic():
        fresh = locked_volume(volume, "grow")
        problems = size_problems(size_gib) or quota_problems(fresh.team, 0, size_gib - fresh.size_gib)
        if size_gib <= fresh.size_gib and not problems:
            problems = [
                gettext("%(size_gib)s GiB were given; it has %(has_gib)s, and a volume never shrinks")
                % {"size_gib": size_gib, "has_gib": fresh.size_gib}
            ]
        if problems:
            raise VMProblem({"size_gib": problems})
        before, fresh.size_gib = fresh.size_gib, size_gib
        fresh.save(update_fields=["size_gib"])
        return begin_change("volume.grow", fresh, user, {"before": {"size_gib": before}, "size_gib": size_gib})


def clone_volume(
    volume: Volume, user: User, name: str, size_gib: int | None = None, pool: Pool | None = None
) -> tuple[Volume, Operation]:
    """A volume with the same content, as large or larger, attached to nothing; in the same pool, or in another one of its host."""
    with transaction.atomic():
        source = locked_volume(volume, "clone")
        made = made_like(source, user, VolumeSpec(name, source.size_gib, pool), size_gib)
        params = {"source_volume": str(source.uuid), "source": source.name, "name": name} | _pool_asked(pool)
        sized = {"size_gib": source.size_gib if size_gib is None else size_gib}
        return made, begin_change("volume.clone", made, user, params | sized, source)


def made_like(source: Volume, user: User, least: VolumeSpec, size_gib: int | None) -> Volume:
    """The row of a volume that will hold what that one holds, or a snapshot of it: as large as said or, if asked for, larger."""
    spec = replace(least, size_gib=least.size_gib if size_gib is None else size_gib, pool=least.pool or source.pool)
    errors, lun = name_errors(source.team, spec.name), _lun_of(spec)
    if sizes := _size_errors(source.team, spec, lun):
        errors["size_gib"] = sizes
    if spec.size_gib < least.size_gib:
        words = gettext("%(wanted)s GiB were given; its source has %(size_gib)s")
        errors["size_gib"] = [words % {"wanted": spec.size_gib, "size_gib": least.size_gib}]
    if least.pool is not None and (words := _no_clone_there(source, least.pool)):
        errors["pool"] = [words]
    if errors:
        raise VMProblem(errors)
    return Volume.objects.create(
        team=source.team, name=spec.name, size_gib=lun.gib if lun else spec.size_gib, lun=lun.key if lun else "",
        pool=spec.pool, created_by=user, bus=source.bus,
    )  # fmt: skip


def _no_clone_there(source: Volume, pool: Pool) -> str:
    """Why its clone cannot lie in that pool."""
    if not pool.is_offered:
        return _not_offered(pool)
    if source.pool is None or pool.host_id != source.pool.host_id:
        words = gettext(
            "%(pool)s is on another host than %(volume)s, and a clone is made on the same: choose one of the list"
        )
        return words % {"pool": pool, "volume": source.name}
    return ""


def _not_offered(pool: Pool) -> str:
    return gettext("%(pool)s is not offered: choose one of the list") % {"pool": pool}


def _pool_asked(pool: Pool | None) -> dict[str, str]:
    return {"pool": str(pool.uuid)} if pool else {}


def delete_volume(volume: Volume, user: User) -> Operation:
    """The operation that removes the volume with all that is on it."""
    with transaction.atomic():
        fresh = locked_volume(volume, "delete")
        fresh.state = VolumeState.DELETING
        fresh.save(update_fields=["state"])
        return begin_change("volume.delete", fresh, user, {"name": fresh.name})


def offer_pool(pool: Pool, user: User, is_offered: bool) -> Pool:
    """The pool, which teams may use from now on, or no more; volumes that lie there stay."""
    with transaction.atomic():
        if is_offered and pool.can.refusal:
            raise VMProblem({"is_offered": [f"{pool}: {told(pool.can.refusal)}"]})
        if pool.is_offered != is_offered:
            Pool.objects.filter(pk=pool.pk).update(is_offered=is_offered)
            before, pool.is_offered = pool.is_offered, is_offered
            what = ("pool", str(pool.uuid), str(pool))
            record("pool.offer", None, user, what, before={"offered": before}, after={"offered": is_offered})
        return pool


def locked_volume(volume: Volume, change: str = "") -> Volume:
    """The volume as it is now, its team's row locked. Raises VMProblem when the change, if one is named, is not possible now."""
    Team.objects.select_for_update(no_key=True).get(pk=volume.team_id)
    rows = Volume.objects.select_related("team", "pool__host", "vm__host", "vm__team")
    fresh = rows.filter(pk=volume.pk).first()
    if fresh is None:
        raise VMProblem({"volume": [gettext("%(volume)s is gone meanwhile") % {"volume": volume.name}]})
    if change and (reason := refusals_of(fresh)[change]):
        raise VMProblem(
            {
                "volume": [
                    gettext("%(fresh)s: %(change)s is not possible now: %(reason)s")
                    % {"fresh": fresh.name, "change": change, "reason": reason}
                ]
            }
        )
    return fresh


def begin_change(
    kind: str, volume: Volume, user: User | None, params: dict[str, Any], about: Volume | None = None
) -> Operation:
    """The operation of `about` (none: the volume itself), or of the VM that has it."""
    held = about or volume
    subject = Subject("vm", held.vm.uuid, held.vm.name) if held.vm else Subject("volume", held.uuid, held.name)
    operation = begin_operation(kind, volume.team, user, subject, {**params, "volume": str(volume.uuid)}, params)
    volume_changed(volume)
    return operation


def name_errors(team: Team, name: str) -> Errors:
    if not NAME.fullmatch(name):
        shown = name if len(name) <= 40 else f"{name[:40]}… ({len(name)} characters)"
        return {
            "name": [
                gettext("“%(shown)s” was given; allowed are 1 to 63 of a-z, 0-9 and -, not at either end")
                % {"shown": shown}
            ]
        }
    if team.volumes.filter(name=name).exists():
        return {
            "name": [
                gettext("%(team)s has a volume %(name)s already: choose another name")
                % {"team": team.name, "name": name}
            ]
        }
    return {}


def _lun_of(spec: VolumeSpec) -> Lun | None:
    """The LUN that becomes the volume, where the pool has LUNs. None chooses another until the transaction ends."""
    if spec.pool is None or not spec.pool.can.has_luns:
        return None
    lock_luns()
    return lun_for(spec.pool, spec.size_gib)


def _size_errors(team: Team, spec: VolumeSpec, lun: Lun | None) -> list[str]:
    """Of a LUN, all that it has is the volume's, and counts."""
    if sizes := size_problems(spec.size_gib):
        return sizes
    if spec.pool is None or not spec.pool.can.has_luns:
        return quota_problems(team, 1, spec.size_gib)
    if lun is None:
        return [no_lun_words(spec.pool, spec.size_gib)]
    over = quota_problems(team, 1, lun.gib)
    if over and lun.gib > spec.size_gib:
        words = gettext("the smallest free LUN of %(pool)s that has %(size_gib)s GiB has %(gib)s")
        return [words % {"pool": spec.pool, "size_gib": spec.size_gib, "gib": lun.gib}, *over]
    return over


def _spec_errors(team: Team, spec: VolumeSpec, lun: Lun | None) -> Errors:
    errors = name_errors(team, spec.name)
    if sizes := _size_errors(team, spec, lun):
        errors["size_gib"] = sizes
    if spec.pool is not None and not spec.pool.is_offered:
        errors["pool"] = [_not_offered(spec.pool)]
    if spec.vm is None:
        if spec.bus not in Bus.values:
            errors["bus"] = [
                gettext("“%(bus)s” was given; %(values)s are allowed")
                % {"bus": spec.bus[:20], "values": ", ".join(Bus.values)}
            ]
    elif spec.vm.team_id != team.pk:
        errors["vm"] = [gettext("no VM of that name in team %(team)s: choose one of the list") % {"team": team.name}]
    elif reason := vm_refusal(spec.vm, spec.bus):
        errors["bus" if spec.bus not in Bus.values else "vm"] = [reason]
    elif spec.pool is not None and spec.pool.host_id != spec.vm.host_id:
        errors["pool"] = [
            gettext("%(pool)s is not on %(host)s, where %(vm)s runs")
            % {"pool": spec.pool, "host": spec.vm.host, "vm": spec.vm.name}
        ]
    return errors
