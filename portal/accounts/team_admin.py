"""Teams as operators make them: a name, a first owner, limits. What is inside a team is its owners' business."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import models, transaction
from django.utils.text import slugify
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Membership, Role, Team, User
from portal.accounts.teams import TeamProblem

MOST = 2**31 - 1  # of an integer column
# Every limit is a column of the team's row; a new one is offered everywhere at once, by its own name at the least.
LIMITS: tuple[str, ...] = tuple(
    column.name for column in Team._meta.fields
    if column.name.startswith("max_") and isinstance(column, models.PositiveIntegerField)
)  # fmt: skip
WORDS = {"max_vms": "VMs", "max_vcpus": "vCPUs", "max_ram_mib": "Memory, MiB", "max_disk_gib": "Disk, GiB", "max_volume_gib": "Volumes, GiB", "max_vm_vcpus": "vCPUs of one VM", "max_vm_ram_mib": "Memory of one VM, MiB", "max_vm_disk_gib": "Disk of one VM, GiB"}  # fmt: skip


@dataclass(frozen=True)
class TeamSpec:
    """What is asked for; the owner is a log-in, made when nobody has it."""

    name: str
    owner: str = ""
    limits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TeamMade:
    """The team, and the new owner's password, which nobody can read again; nothing for somebody who had one."""

    team: Team
    password: str = ""


def words_of(limit: str) -> str:
    """A limit as people read it."""
    return WORDS.get(limit, limit.removeprefix("max_").replace("_", " ").capitalize())


def limits_of(team: Team) -> dict[str, int]:
    """The team's limits by name."""
    return {name: getattr(team, name) for name in LIMITS}


def create_team(spec: TeamSpec, by: User | None) -> TeamMade:
    """A new team with its first owner. Raises TeamProblem with all that is wrong."""
    slug = slugify(spec.name)
    errors = _wrong(spec)
    if not is_login(spec.owner):
        errors["owner"] = [
            gettext("“%(owner)s” was given; a log-in is 1 to 40 of a-z, 0-9, dots, hyphens, underscores")
            % {"owner": spec.owner[:40]}
        ]
    if not errors and Team.objects.filter(models.Q(slug=slug) | models.Q(name=spec.name)).exists():
        errors["name"] = [gettext("“%(spec)s” was given; there is a team of that name already") % {"spec": spec.name}]
    if User.objects.filter(username=spec.owner).exclude(service_of=None).exists():
        errors["owner"] = [gettext("“%(owner)s” is a service account; a person is allowed") % {"owner": spec.owner}]
    if errors:
        raise TeamProblem.of(errors)
    with transaction.atomic():
        team = Team.objects.create(name=spec.name, slug=slug, **spec.limits)
        password = add_owner(team, spec.owner)
        record("team.add", team, by, ("team", slug, team.name), after={"owner": spec.owner, **spec.limits})
    return TeamMade(team, password)


def add_owner(team: Team, name: str) -> str:
    """Somebody owns the team from now on; the new log-in's password, nothing for a log-in that was there."""
    owner, fresh = User.objects.get_or_create(username=name)
    password = secrets.token_urlsafe(15) if fresh else ""
    if fresh:
        owner.set_password(password)
        owner.save()
    Membership.objects.update_or_create(user=owner, team=team, defaults={"role": Role.OWNER})
    return password


def change_team(team: Team, spec: TeamSpec, by: User | None) -> Team:
    """Another name and other limits; its slug, by which addresses know it, stays. Raises TeamProblem."""
    errors = _wrong(spec)
    if not errors and Team.objects.filter(name=spec.name).exclude(pk=team.pk).exists():
        errors["name"] = [gettext("“%(spec)s” was given; there is a team of that name already") % {"spec": spec.name}]
    if errors:
        raise TeamProblem.of(errors)
    with transaction.atomic():
        row = Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        before = {"name": row.name, **limits_of(row)}
        row.name = spec.name
        for name, value in spec.limits.items():
            setattr(row, name, value)
        after = {"name": row.name, **limits_of(row)}
        if after != before:
            row.save()
            record("team.change", row, by, ("team", row.slug, row.name), before=before, after=after)
    return row


def _wrong(spec: TeamSpec) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    if not slugify(spec.name) or len(spec.name) > 60:
        errors["name"] = [
            gettext("“%(spec)s” was given; 1 to 60 characters with a letter or digit in it are allowed")
            % {"spec": spec.name[:40]}
        ]
    for name, value in spec.limits.items():
        if name not in LIMITS:
            errors[name] = [gettext("there is no such limit; %(limits)s are") % {"limits": ", ".join(LIMITS)}]
        elif not 0 <= value <= MOST:
            errors[name] = [gettext("%(value)s was given; 0 to %(most)s are allowed") % {"value": value, "most": MOST}]
    return errors


def is_login(name: str) -> bool:
    return name.isascii() and 1 <= len(name) <= 40 and name.translate(str.maketrans("", "", "-_.")).isalnum()
