"""The create form's volumes: rows of new ones, ticks for the team's free ones, and what both would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from django.http import QueryDict
from django.utils.translation import gettext, gettext_noop

from portal.accounts.models import Team
from portal.compute.bars import QuotaBar
from portal.config.units import with_units
from portal.volumes.models import Bus, Volume, VolumeState
from portal.volumes.quota import MOST_GIB, MOST_VOLUMES, use_of_volumes
from portal.volumes.with_vm import (
    DEFAULT_NAME,
    NewVolume,
    VolumesAsked,
    attached_to_be,
    names_of,
    pinned_to,
    taken_names,
)

SIZE, NAME, BUS, ATTACH = "volume_size_gib", "volume_name", "volume_bus", "attach"
MOST_READ = 50  # of what a form brings
MOST_TICKS = 60


@dataclass(frozen=True)
class VolumeRow:
    """One row of fields, as it is shown; without a size it asks for nothing."""

    number: int
    size_gib: str
    name: str
    bus: str
    lines: tuple[str, ...] = ()
    wrong: frozenset[str] = frozenset()  # which of its fields the lines are about


@dataclass(frozen=True)
class VolumeFields:
    """The part of the form: `rows` with an empty one at the end, `free` to be ticked, `more` that are too many to show."""

    rows: list[VolumeRow]
    free: list[Volume]
    more: int
    ticked: frozenset[str]
    buses: list[tuple[str, str]]
    most: int = MOST_VOLUMES

    @property
    def is_filled(self) -> bool:
        """Does it ask for anything, so that it has to be seen?"""
        return bool(self.ticked) or any(row.size_gib for row in self.rows)


@dataclass(frozen=True)
class VolumesEffect:
    """What the volumes asked for would do: to the quota, by name, and to where the VM lies."""

    attached: list[Volume] = field(default_factory=list)
    pinned: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    bars: list[QuotaBar] = field(default_factory=list)


def copy_volumes(posted: QueryDict, into: QueryDict) -> None:
    """The fields of volumes, of which a name stands for several."""
    for name in (SIZE, NAME, BUS, ATTACH):
        into.setlist(name, posted.getlist(name))


def volumes_posted(posted: QueryDict, errors: dict[str, list[str]]) -> VolumesAsked:
    """What was asked for of volumes; `errors` gets what is no number."""
    new = []
    for row in _filled(posted):
        if not (row.size_gib.isascii() and row.size_gib.isdecimal() and len(row.size_gib) <= 6):
            words = gettext("“%(text)s” was given; a whole number from %(least)s to %(most)s is allowed")
            told = words % {"text": row.size_gib[:20], "least": 1, "most": MOST_GIB}
            errors[f"volume_{row.number}_size_gib"] = [told]
            new.append(NewVolume(0, row.name, row.bus))  # the rows after it keep their numbers
        else:
            new.append(NewVolume(int(row.size_gib), row.name, row.bus))
    ticked = (text.replace("\0", "?")[:63] for text in posted.getlist(ATTACH)[:MOST_READ])
    return VolumesAsked(tuple(new), tuple(text for text in ticked if text))


def volume_fields(team: Team, posted: QueryDict, errors: dict[str, list[str]]) -> VolumeFields:
    """The part as it was filled in, with what is wrong with each row, and the volumes that are free."""
    rows = [
        VolumeRow(row.number, row.size_gib, row.name, row.bus, _lines(errors, row.number), _wrong(errors, row.number))
        for row in _filled(posted)
    ]
    taken = {row.name for row in rows}
    names = (DEFAULT_NAME, *(f"{DEFAULT_NAME}-{number}" for number in range(2, MOST_READ + 3)))
    if len(rows) < MOST_VOLUMES:
        rows.append(VolumeRow(len(rows) + 1, "", next(name for name in names if name not in taken), Bus.VIRTIO))
    found = team.volumes.filter(vm=None, state=VolumeState.AVAILABLE, pool__isnull=False).select_related("pool__host")
    free = list(found[: MOST_TICKS + 1])
    more = found.count() - MOST_TICKS if len(free) > MOST_TICKS else 0
    ticked = frozenset(posted.getlist(ATTACH)[:MOST_READ])
    return VolumeFields(rows, free[:MOST_TICKS], more, ticked, [(str(one.value), str(one.label)) for one in Bus])


def effect_of_volumes(team: Team, vm_names: Sequence[str], asked: VolumesAsked, count: int) -> VolumesEffect:
    """What the volumes would do, of which each of so many VMs has its own; `vm_names` are those to be shown."""
    if not asked:
        return VolumesEffect()
    attached = list(dict.fromkeys(attached_to_be(team, asked)[0]))
    new = asked.new[:MOST_VOLUMES]
    lines = [
        f"{name}, {with_units(f'{one.size_gib} GiB')}"
        for vm_name in vm_names
        for one, name in zip(new, names_of(vm_name, new, taken_names(team, vm_name)), strict=True)
    ]
    kept = gettext("%(name)s, %(gib)s GiB, as it is")
    lines += [kept % {"name": one.name, "gib": one.size_gib} for one in attached]
    return VolumesEffect(attached, pinned_to(attached), lines, _bars(team, asked, count) if new else [])


def _bars(team: Team, asked: VolumesAsked, count: int) -> list[QuotaBar]:
    use = use_of_volumes(team)
    return [
        QuotaBar(gettext_noop("Volumes"), use.volumes, len(asked.new) * count, team.max_volumes, ""),
        QuotaBar(gettext_noop("On volumes"), use.gib, asked.gib * count, team.max_volume_gib, "GiB"),
    ]


def _filled(posted: QueryDict) -> list[VolumeRow]:
    columns = [[text.strip() for text in posted.getlist(name)[:MOST_READ]] for name in (SIZE, NAME, BUS)]
    given = [one for one in zip_longest(*columns, fillvalue="") if one[0]]
    return [VolumeRow(number, size, name, bus or Bus.VIRTIO) for number, (size, name, bus) in enumerate(given, 1)]


FIELDS = ("size_gib", "name", "bus")


def _lines(errors: dict[str, list[str]], number: int) -> tuple[str, ...]:
    """What is wrong with a row, its fields' lines together."""
    return tuple(line for field in FIELDS for line in errors.get(f"volume_{number}_{field}", ()))


def _wrong(errors: dict[str, list[str]], number: int) -> frozenset[str]:
    return frozenset(field for field in FIELDS if errors.get(f"volume_{number}_{field}"))
