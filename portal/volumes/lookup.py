"""Finding volumes, pools and VMs as people name them, with what pages and answers show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from portal.accounts.models import Team, User
from portal.compute.models import VM, VMState
from portal.volumes.luns import MOST_NAMED, free_luns, taken_luns
from portal.volumes.models import Pool, Volume


def volumes_of(team: Team) -> QuerySet[Volume]:
    """The team's volumes with what lists show."""
    return Volume.objects.filter(team=team).select_related("team", "pool__host", "vm__host", "vm__team")


def volumes_for(user: User) -> QuerySet[Volume]:
    """The volumes of all the person's teams."""
    rows = Volume.objects.filter(team__memberships__user=user)
    return rows.select_related("team", "pool__host", "vm__host", "vm__team")


def offered_pools() -> QuerySet[Pool]:
    """What teams may choose from."""
    return Pool.objects.filter(is_offered=True, is_active=True).select_related("host")


def pools_for_clones(volume: Volume) -> QuerySet[Pool]:
    """The other pools that a clone of it can be made in."""
    own = volume.pool
    return offered_pools().filter(host=own.host_id).exclude(pk=own.pk) if own is not None else Pool.objects.none()


@dataclass(frozen=True, slots=True)
class PoolChoice:
    """A pool to choose, or to offer; `free_gib` are the sizes of its free LUNs, of one that has LUNs."""

    pool: Pool
    free_gib: tuple[int, ...]

    @property
    def sizes(self) -> str:
        """The sizes, as many as fit a line."""
        return ", ".join(map(str, self.free_gib[:MOST_NAMED])) + (" …" if len(self.free_gib) > MOST_NAMED else "")


def as_choices(pools: Iterable[Pool]) -> list[PoolChoice]:
    """The pools with what of them is free; which LUNs volumes have is asked once, and only where there are LUNs."""
    rows = list(pools)
    taken = taken_luns(rows)
    return [PoolChoice(one, tuple(lun.gib for lun in free_luns(one, taken))) for one in rows]


def limits_of(pools: Iterable[Pool]) -> list[tuple[str, tuple[str, ...]]]:
    """What volumes in pools of their kinds can never do: (the kind's name, why), of each kind once."""
    kinds = {one.can.name: one.can for one in pools}
    return [(kind.words, kind.limits) for kind in kinds.values() if kind.limits]


def pool_named(text: str) -> Pool | None:
    """The offered pool of that `host/name`; None when there is none."""
    host, _, name = text.replace("\0", "?").partition("/")
    return offered_pools().filter(host__name=host, name=name).first()


def pool_of_uuid(text: str) -> Pool | None:
    """Any host's pool of that uuid; None when there is none."""
    try:
        return Pool.objects.select_related("host").filter(uuid=UUID(text)).first()
    except ValueError:
        return None


def vms_that_take(team: Team, volume: Volume | None = None) -> QuerySet[VM]:
    """The team's VMs that could have a volume; those on its host when it has a place."""
    rows = VM.objects.filter(team=team, host__isnull=False).exclude(state__in=(VMState.DELETED, VMState.DELETING))
    if volume is not None and volume.pool is not None:
        rows = rows.filter(host=volume.pool.host)
    return rows.select_related("host")


def vm_named(team: Team, text: str) -> VM | None:
    """The team's VM of that name or uuid; None when there is none."""
    rows = VM.objects.filter(team=team).select_related("team", "host", "image", "flavor")
    return next((vm for vm in rows.filter(name=text[:63].replace("\0", "?"))), None) or _by_uuid(rows, text)


def _by_uuid(rows: QuerySet[VM], text: str) -> VM | None:
    return next((vm for vm in rows if str(vm.uuid) == text), None) if len(text) == 36 else None
