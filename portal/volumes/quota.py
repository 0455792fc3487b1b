"""What a team's volumes hold of its quota, and what is asked of one before it can be a VM's; asked of rows alone.

Apart from `rules`, which needs to know what can be done with a VM: what asks for a VM reads this, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q, Sum
from django.utils.translation import gettext, gettext_noop

from portal.accounts.models import Team
from portal.compute.models import VM
from portal.operations.models import UNFINISHED, Operation
from portal.operations.stages import TITLES
from portal.snapshots.models import SnapshotVolume
from portal.volumes.models import Bus, Volume

MOST_VOLUMES = 8  # of one VM
MOST_GIB = 16 * 1024
LETTERS = "defghijklmnopqrstuvwxyz"  # a to c are the VM's own, on whatever bus they are


@dataclass(frozen=True, slots=True)
class VolumeUse:
    """What a team's volumes hold of its quota."""

    volumes: int
    gib: int


def use_of_volumes(team: Team) -> VolumeUse:
    """The sum over the team's volume rows; in each snapshot one may hold as much once more."""
    found = team.volumes.aggregate(count=Count("id"), gib=Sum("size_gib"))
    kept = SnapshotVolume.objects.filter(volume__team=team).aggregate(gib=Sum("size_gib"))["gib"] or 0
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


def free_target(vm: VM, bus: str) -> str:
    """The first place that is free in the VM for a disk of that bus."""
    taken = set(vm.volumes.values_list("target", flat=True))
    prefix = "vd" if bus == Bus.VIRTIO else "sd"
    return next(f"{prefix}{letter}" for letter in LETTERS if f"{prefix}{letter}" not in taken)


def busy_words(volume: Volume) -> str:
    """Which operation of the volume is under way; nothing when none is."""
    uuid = str(volume.uuid)
    mine = Q(object_uuid=volume.uuid) | Q(params__volume=uuid) | Q(params__source_volume=uuid)
    kind = (
        Operation.objects.filter(mine, team=volume.team_id, state__in=UNFINISHED).values_list("kind", flat=True).first()
    )
    return (gettext("“%(title)s” is under way") % {"title": gettext(TITLES.get(kind, kind))}) if kind else ""


def away(volume: Volume) -> str:
    """Why the host that it lies on cannot be asked."""
    host = volume.pool.host if volume.pool else None
    return (
        (
            gettext("%(host)s does not answer: %(libvirt_error)s")
            % {"host": host.name, "libvirt_error": host.libvirt_error[:120]}
        )
        if host is not None and host.libvirt_error
        else ""
    )
