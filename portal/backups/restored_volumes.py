"""The volumes that a restore makes: which, how they are called, what they take of the quota; their rows, kept for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext

from portal.accounts.models import Team, User
from portal.backups.models import Backup, BackupVolume
from portal.compute.models import VM
from portal.compute.requests import VMProblem
from portal.live.publishers import volume_changed
from portal.volumes.luns import lock_luns, luns_for
from portal.volumes.models import Pool, Volume
from portal.volumes.quota import quota_problems
from portal.volumes.reach import Lun

MOST_NAME = 63


def volumes_in(backup: Backup, names: Sequence[str] | None) -> list[BackupVolume]:
    """The backup's volumes of these names (None: all of them). Raises VMProblem."""
    rows = {one.name: one for one in backup.volumes.all()}
    if names is None:
        return list(rows.values())
    unknown = [f"“{name[:63]}”" for name in names if name not in rows]
    if unknown:
        words = gettext("%(names)s was given; volumes of this backup: %(volumes)s")
        has = ", ".join(sorted(rows)) or gettext("none")
        raise VMProblem({"volumes": [words % {"names": ", ".join(unknown[:8]), "volumes": has}]})
    return [rows[name] for name in dict.fromkeys(names)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A volume of the backup with where the new one of it goes: a pool if one was named, and the LUN there, if it has such."""

    row: BackupVolume
    pool: Pool | None = None
    lun: Lun | None = None

    @property
    def size_gib(self) -> int:
        """Of a LUN, all that it has is the volume's."""
        return self.lun.gib if self.lun else self.row.size_gib


def wanted_volumes(rows: Sequence[BackupVolume], pool: Pool | None) -> list[Wanted]:
    """A place for each in the pool. No other takes these LUNs until the transaction ends. Raises VMProblem."""
    if pool is not None and not pool.is_offered:
        words = gettext("%(pool)s is not offered: choose one of the list")
        raise VMProblem({"volume_pool": [words % {"pool": pool}]})
    if pool is None or not pool.can.has_luns:
        return [Wanted(one, pool) for one in rows]
    lock_luns()
    luns, words = luns_for(pool, (one.size_gib for one in rows))
    if words:
        raise VMProblem({"volume_pool": [words]})
    return [Wanted(one, pool, lun) for one, lun in zip(rows, luns, strict=True)]


def volume_problems(team: Team, wanted: Sequence[Wanted]) -> list[str]:
    """Why the team cannot have so many volumes more."""
    return quota_problems(team, len(wanted), sum(one.size_gib for one in wanted))


def name_for(vm_then: str, vm_now: str, name: str, taken: frozenset[str]) -> str:
    """What the new volume is called: as the old one, after its new VM; with a number where that is taken."""
    own = name.removeprefix(f"{vm_then}-")
    stem = f"{vm_now}-{own}"[:MOST_NAME].rstrip("-")
    if stem not in taken:
        return stem
    numbers = (f"{stem[: MOST_NAME - 4]}-{number}" for number in range(2, 1000))
    return next(one for one in numbers if one not in taken)


def make_rows(vm: VM, user: User, backup: Backup, wanted: Sequence[Wanted]) -> dict[str, str]:
    """The new volumes' uuids, each with that of the volume that it is made of."""
    taken = set(Volume.objects.filter(team=vm.team).values_list("name", flat=True))
    made = {}
    for place in wanted:
        one = place.row
        name = name_for(backup.vm_name, vm.name, one.name, frozenset(taken))
        taken.add(name)
        volume = Volume.objects.create(
            team=vm.team, name=name, size_gib=place.size_gib, vm=vm, bus=one.bus, target=one.target, created_by=user,
            pool=place.pool, lun=place.lun.key if place.lun else "",
        )  # fmt: skip
        volume_changed(volume)
        made[str(volume.uuid)] = str(one.volume_uuid)
    return made


def volume_links(links: Sequence[Backup], volume_uuid: UUID) -> list[BackupVolume]:
    """What a restore of that volume reads of the last backup's chain: a full one first. Nothing where it is not whole."""
    rows = BackupVolume.objects.filter(backup__in=links, volume_uuid=volume_uuid).select_related("backup")
    by_backup = {row.backup_id: row for row in rows}
    found: list[BackupVolume] = []
    for link in reversed(links):
        row = by_backup.get(link.pk)
        if row is None:
            return []
        found.append(row)
        if row.kind == Backup.Kind.FULL:
            return found[::-1]
    return []
