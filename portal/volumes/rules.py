"""What can be done with a volume now, and why not; its team's quota. Page, API and requests read this."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q, Sum
from django.utils.translation import gettext, gettext_noop

from portal.accounts.models import Team
from portal.compute.actions import OFF
from portal.compute.changes import changes_of
from portal.compute.models import VM
from portal.config.told import told
from portal.operations.models import UNFINISHED, Operation
from portal.operations.stages import TITLES
from portal.snapshots.models import SnapshotVolume
from portal.volumes.models import Bus, Volume, VolumeState

MOST_VOLUMES = 8  # of one VM
MOST_GIB = 16 * 1024
LETTERS = "defghijklmnopqrstuvwxyz"  # a to c are the VM's own, on whatever bus they are
CHANGES = ("attach", "detach", "grow", "clone", "delete")


@dataclass(frozen=True, slots=True)
class VolumeUse:
    """What a team's volumes hold of its quota."""

    volumes: int
    gib: int


def use_of_volumes(team: Team) -> VolumeUse:
    """The sum over the team's volume rows; in a snapshot each may hold as much once more."""
    found = team.volumes.aggregate(count=Count("id"), gib=Sum("size_gib"))
    kept = SnapshotVolume.objects.filter(snapshot__vm__team=team).aggregate(gib=Sum("size_gib"))["gib"] or 0
    return VolumeUse(found["count"], (found["gib"] or 0) + kept)


def quota_problems(team: Team, volumes: int, gib: int) -> list[str]:
    """Why so many volumes and GiB more do not fit the team's quota."""
    use = use_of_volumes(team)
    checks = (
        (gettext_noop("volumes"), use.volumes, volumes, team.max_volumes, ""),
        (gettext_noop("of volumes"), use.gib, gib, team.max_volume_gib, " GiB"),
    )
    return [
        gettext("over quota: %(wanted)s%(unit)s %(what)s asked, %(left)s%(unit)s of %(limit)s%(unit)s left")
        % {"wanted": more, "unit": unit, "what": gettext(what), "left": max(0, limit - used), "limit": limit}
        for what, used, more, limit, unit in checks
        if more > 0 and used + more > limit
    ]


def size_problems(size_gib: int) -> list[str]:
    """Why a volume cannot be that large."""
    return (
        []
        if 1 <= size_gib <= MOST_GIB
        else [
            gettext("%(size_gib)s GiB were given; 1 to %(most_gib)s are allowed")
            % {"size_gib": size_gib, "most_gib": MOST_GIB}
        ]
    )


def refusals_of(volume: Volume) -> dict[str, str]:
    """Each change's name with the reason that forbids it now, or ""."""
    busy = _busy_words(volume)
    return {name: busy or _refusal(volume, name) for name in CHANGES}


def attach_refusal(vm: VM, volume: Volume, bus: str) -> str:
    """Why this VM cannot have that volume by that bus now."""
    pool = volume.pool
    if pool is not None and vm.host_id != pool.host_id:
        return gettext(
            "%(volume)s lies on %(host)s, and %(vm)s runs on %(host2)s: a volume does not move between hosts yet"
        ) % {"volume": volume.name, "host": pool.host.name, "vm": vm.name, "host2": vm.host}
    return vm_refusal(vm, bus)


def vm_refusal(vm: VM, bus: str) -> str:
    """Why the VM takes no further volume by that bus now."""
    if bus == "ide":
        return gettext("its machine (q35) has no IDE: sata is the emulated bus")
    if bus not in Bus.values:
        return gettext("“%(bus)s” was given; %(values)s are allowed") % {
            "bus": bus[:20],
            "values": ", ".join(Bus.values),
        }
    if reason := changes_of(vm)["volumes"]:
        return f"{vm.name}: {reason}"
    if vm.volumes.count() >= MOST_VOLUMES:
        return gettext("%(vm)s has %(most_volumes)s volumes; that is the most") % {
            "vm": vm.name,
            "most_volumes": MOST_VOLUMES,
        }
    return _hot_refusal(vm, bus)


def free_target(vm: VM, bus: str) -> str:
    """The first place that is free in the VM for a disk of that bus."""
    taken = set(vm.volumes.values_list("target", flat=True))
    prefix = "vd" if bus == Bus.VIRTIO else "sd"
    return next(f"{prefix}{letter}" for letter in LETTERS if f"{prefix}{letter}" not in taken)


def _busy_words(volume: Volume) -> str:
    uuid = str(volume.uuid)
    mine = Q(object_uuid=volume.uuid) | Q(params__volume=uuid) | Q(params__source_volume=uuid)
    kind = (
        Operation.objects.filter(mine, team=volume.team_id, state__in=UNFINISHED).values_list("kind", flat=True).first()
    )
    return (gettext("“%(title)s” is under way") % {"title": gettext(TITLES.get(kind, kind))}) if kind else ""


def _refusal(volume: Volume, name: str) -> str:
    if volume.state in (VolumeState.CREATING, VolumeState.DELETING):
        return gettext("it is %(state)s") % {"state": str(volume.get_state_display()).lower()}
    vm = volume.vm
    if vm is None:
        return (
            _away(volume)
            or (gettext("it is attached to nothing") if name == "detach" else "")
            or _cannot_grow(volume, name)
        )
    if name in ("attach", "delete"):
        return gettext("it is attached to %(vm)s: detach it first") % {"vm": vm.name}
    if reason := changes_of(vm)["volumes"]:
        return f"{vm.name}: {reason}"
    if name == "detach" and (names := [one.snapshot.name for one in volume.moments.all()]):
        return gettext("it is in snapshots of %(vm)s, which would have no way back for it: delete %(names)s first") % {
            "vm": vm.name,
            "names": ", ".join(names),
        }
    if name == "clone" and vm.state not in OFF:
        return gettext("%(vm)s may write to it: shut %(vm)s down, or detach it first") % {"vm": vm.name}
    return (_hot_refusal(vm, volume.bus) if name == "detach" else "") or _cannot_grow(volume, name)


def _away(volume: Volume) -> str:
    host = volume.pool.host if volume.pool else None
    return (
        (
            gettext("%(host)s does not answer: %(libvirt_error)s")
            % {"host": host.name, "libvirt_error": host.libvirt_error[:120]}
        )
        if host is not None and host.libvirt_error
        else ""
    )


def _cannot_grow(volume: Volume, name: str) -> str:
    return told(volume.pool.can.no_growing) if name == "grow" and volume.pool is not None else ""


def _hot_refusal(vm: VM, bus: str) -> str:
    if bus == Bus.SATA and vm.state not in OFF:
        return gettext("%(vm)s runs, and a SATA disk is not hot-plugged: shut it down first, or take a virtio bus") % {
            "vm": vm.name
        }
    return ""
