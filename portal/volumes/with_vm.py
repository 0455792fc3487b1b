"""Volumes that a VM is asked for with: new ones, which are named after it, and free ones of the team, which pin it to their host.

[web-1] --new: web-1-data, 10 GiB-->  a row that its operation makes     --attach: kept-->  a row that was free until now
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from django.utils.translation import gettext

from portal.accounts.models import Team, User
from portal.compute.models import VM
from portal.live.publishers import volume_changed
from portal.volumes.models import Bus, Volume, VolumeState
from portal.volumes.quota import MOST_VOLUMES, away, busy_words, free_target, quota_problems, size_problems

Errors = dict[str, list[str]]
TAIL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
DEFAULT_NAME, MOST_NAME = "data", 63


@dataclass(frozen=True, slots=True)
class NewVolume:
    """A volume that is to be made. `name` is what follows its VM's: web-1 and data make web-1-data; none: the next free one."""

    size_gib: int
    name: str = ""
    bus: str = Bus.VIRTIO


@dataclass(frozen=True, slots=True)
class VolumesAsked:
    """What a VM shall have beside its own disk; `attach` has names or uuids of the team's free volumes."""

    new: tuple[NewVolume, ...] = ()
    attach: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.attach)

    @property
    def gib(self) -> int:
        """What the new ones take of the quota."""
        return sum(one.size_gib for one in self.new)

    def as_asked(self) -> dict[str, Any]:
        """What a retry needs."""
        return {"new": [asdict(one) for one in self.new], "attach": list(self.attach)}


NONE_ASKED = VolumesAsked()


def volumes_asked_from(kept: Mapping[str, Any]) -> VolumesAsked:
    """As `as_asked` wrote them down."""
    return VolumesAsked(tuple(NewVolume(**one) for one in kept.get("new", ())), tuple(kept.get("attach", ())))


def names_of(vm_name: str, new: Sequence[NewVolume], taken: frozenset[str]) -> list[str]:
    """What the new volumes of a VM are called."""
    given = {f"{vm_name}-{one.name}" for one in new if one.name}
    names: list[str] = []
    for one in new:
        free = (f"{vm_name}-{DEFAULT_NAME}" + f"-{number}" * (number > 1) for number in count(1))
        refused = taken | given | {*names}
        names.append(f"{vm_name}-{one.name}" if one.name else next(name for name in free if name not in refused))
    return names


def taken_names(team: Team, vm_name: str) -> frozenset[str]:
    """The names of the team's volumes that begin as those of a VM of that name."""
    if len(vm_name) > MOST_NAME or not TAIL.fullmatch(
        vm_name
    ):  # no VM is called so: nor is there such a name for the database to hold
        return frozenset()
    return frozenset(team.volumes.filter(name__startswith=f"{vm_name}-").values_list("name", flat=True))


def attached_to_be(team: Team, asked: VolumesAsked) -> tuple[list[Volume], list[str]]:
    """The team's volumes that were named, and the names of those that it has not."""
    if not asked.attach:
        return [], []
    rows = list(team.volumes.select_related("team", "pool__host", "vm"))
    by_name = {row.name: row for row in rows} | {str(row.uuid): row for row in rows}
    return [by_name[name] for name in asked.attach if name in by_name], [
        name for name in asked.attach if name not in by_name
    ]


def pinned_to(volumes: Sequence[Volume]) -> list[str]:
    """The hosts that the volumes lie on: a VM that has them lies there, too."""
    return sorted({volume.pool.host.name for volume in volumes if volume.pool is not None})


def volume_errors(team: Team, vm_name: str, asked: VolumesAsked, host: str) -> Errors:
    """Field → what is wrong with the volumes of one VM, all at once; `host` is the one that was asked for, if any was."""
    if not asked:
        return {}
    errors: Errors = {}
    if len(asked.new) + len(asked.attach) > MOST_VOLUMES:
        words = gettext("%(count)s were given; %(most)s are the most that a VM has")
        return {"volumes": [words % {"count": len(asked.new) + len(asked.attach), "most": MOST_VOLUMES}]}
    errors |= _new_errors(team, vm_name, asked)
    return errors | _attach_errors(team, asked, host)


def make_rows(vm: VM, user: User, asked: VolumesAsked) -> list[str]:
    """The rows of the VM's volumes, which are its own from now on; the uuids of those that its operation makes."""
    if not asked:
        return []
    made = []
    for one, name in zip(asked.new, names_of(vm.name, asked.new, taken_names(vm.team, vm.name)), strict=True):
        volume = Volume.objects.create(
            team=vm.team, name=name, size_gib=one.size_gib, vm=vm, bus=one.bus, target=free_target(vm, one.bus),
            created_by=user,
        )  # fmt: skip
        made.append(str(volume.uuid))
        volume_changed(volume)
    for volume in attached_to_be(vm.team, asked)[0]:
        volume.vm, volume.target, volume.state = vm, free_target(vm, volume.bus), VolumeState.ATTACHED
        volume.save(update_fields=["vm", "target", "state"])
        volume_changed(volume)
    return made


def _new_errors(team: Team, vm_name: str, asked: VolumesAsked) -> Errors:
    errors: Errors = {}
    taken = taken_names(team, vm_name)
    names = names_of(vm_name, asked.new, taken)
    for number, (one, name) in enumerate(zip(asked.new, names, strict=True), 1):
        if sizes := size_problems(one.size_gib):
            errors[f"volume_{number}_size_gib"] = sizes
        if wrong := _name_problem(team, one, name, name in taken, names.count(name) > 1):
            errors[f"volume_{number}_name"] = [wrong]
        if one.bus not in Bus.values:
            words = gettext("“%(bus)s” was given; %(values)s are allowed")
            errors[f"volume_{number}_bus"] = [words % {"bus": one.bus[:20], "values": ", ".join(Bus.values)}]
    if not errors and (over := quota_problems(team, len(asked.new), asked.gib)):
        errors["volumes"] = over
    return errors


def _name_problem(team: Team, one: NewVolume, name: str, is_taken: bool, is_twice: bool) -> str:
    if one.name and not TAIL.fullmatch(one.name):
        shown = one.name if len(one.name) <= 40 else f"{one.name[:40]}…"
        words = gettext(
            "“%(shown)s” was given; allowed are a-z, 0-9 and -, not at either end: it follows the VM's name"
        )
        return words % {"shown": shown}
    if len(name) > MOST_NAME:
        words = gettext("with the VM's name it has %(count)s characters; %(most)s are allowed")
        return words % {"count": len(name), "most": MOST_NAME}
    if is_taken:
        words = gettext("%(team)s has a volume %(name)s already: choose another name")
        return words % {"team": team.name, "name": name}
    return gettext("two volumes would be called %(name)s: choose another name") % {"name": name} if is_twice else ""


def _attach_errors(team: Team, asked: VolumesAsked, host: str) -> Errors:
    volumes, unknown = attached_to_be(team, asked)
    lines = [
        gettext("no volume “%(name)s” in team %(team)s: choose of the list") % {"name": name[:63], "team": team.name}
        for name in unknown[:MOST_VOLUMES]
    ]
    lines += [f"{one.name}: {reason}" for one in dict.fromkeys(volumes) if (reason := _refusal(one))]
    twice = {one.name for one in volumes if volumes.count(one) > 1}
    lines += [gettext("%(volume)s was given twice") % {"volume": name} for name in sorted(twice)]
    hosts = pinned_to(volumes)
    if len(hosts) > 1:
        words = gettext("they lie on %(hosts)s, and a VM has those of one host only: leave some out")
        lines.append(words % {"hosts": ", ".join(hosts)})
    errors = {"attach": lines} if lines else {}
    if host and len(hosts) == 1 and hosts != [host]:
        words = gettext("%(host)s was given; %(volume)s lies on %(other)s: choose that, or the best one")
        told = ", ".join(dict.fromkeys(one.name for one in volumes))
        errors["host"] = [words % {"host": host[:40], "volume": told, "other": hosts[0]}]
    return errors


def _refusal(volume: Volume) -> str:
    """Why a VM cannot be made with the volume now."""
    if volume.vm is not None:
        return gettext("it is attached to %(vm)s: detach it first") % {"vm": volume.vm.name}
    if busy := busy_words(volume):
        return busy
    if volume.state != VolumeState.AVAILABLE:
        return gettext("it is %(state)s") % {"state": str(volume.get_state_display()).lower()}
    host = volume.pool.host if volume.pool is not None else None
    if host is not None and (not host.enabled or host.in_maintenance):
        return gettext("it lies on %(host)s, which takes no new VMs now") % {"host": host.name}
    return away(volume)
