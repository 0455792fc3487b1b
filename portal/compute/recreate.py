"""A VM asked for once more, from what its failed operation kept; and several of one kind at once."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.models import Team, User
from portal.compute.hardware import Hardware
from portal.compute.models import Flavor, Image
from portal.compute.requests import Creation, Use, VMProblem, VMSpec, create_vm, over_quota_by, use_of
from portal.networks.intent import lock_intent
from portal.networks.owners import usable_networks
from portal.volumes.quota import quota_problems
from portal.volumes.with_vm import volumes_asked_from

MOST_AT_ONCE = 20


def recreate_vm(team: Team, user: User, asked: dict[str, Any]) -> Creation:
    """A new VM as `VMSpec.as_asked` kept it; another person's key is replaced by none. Raises VMProblem."""
    return create_vm(team, user, spec_from(team, user, asked))


def spec_from(team: Team, user: User, asked: dict[str, Any]) -> VMSpec:
    """The spec that was kept, of what there is now."""
    groups = asked.get("groups")
    return VMSpec(
        name=asked["name"],
        image=Image.for_team(team).filter(slug=asked["image"]).first(),
        flavor=Flavor.objects.filter(name=asked["flavor"]).first(),
        network=usable_networks(team).filter(pk=asked["network"]).first(),
        request_key=secrets.token_hex(16),
        key=user.keys.filter(pk=asked["key"]).first() if asked.get("key") else None,
        user_data=asked.get("user_data", ""),
        address=asked.get("address"),
        groups=None if groups is None else tuple(team.security_groups.filter(name__in=groups)),
        hardware=Hardware(**asked.get("hardware", {})),
        volumes=volumes_asked_from(asked.get("volumes", {})),
        **{
            name: asked[name]
            for name in ("host", "apart", "apart_must", "lease_days", "is_autostarted")
            if name in asked
        },
    )


def create_vms(team: Team, user: User, spec: VMSpec, count: int) -> list[Creation]:
    """So many VMs of one kind, all or none: the first under its name, the others under the next free ones. Raises VMProblem."""
    if errors := count_problems(team, spec, count):
        raise VMProblem(errors)
    with transaction.atomic():
        lock_intent()
        team = Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        if errors := count_problems(team, spec, count):
            raise VMProblem(errors)
        names = names_for(team, spec.name, count)
        keys = [spec.request_key, *(f"{spec.request_key[:58]}#{number}" for number in range(2, count + 1))]
        return [
            create_vm(team, user, replace(spec, name=name, request_key=key))
            for name, key in zip(names, keys, strict=True)
        ]


def names_for(team: Team, first: str, count: int) -> list[str]:
    """The given name and the next free ones of its stem: web-3, web-4, web-6."""
    stem = first.rstrip("-0123456789") or "vm"
    taken = {first, *team.vms.values_list("name", flat=True)}
    tail = first[len(stem) :].strip("-")
    number, names = int(tail) if tail.isdecimal() and len(tail) < 10 else 1, [first]
    while len(names) < count:
        number += 1
        name = f"{stem}-{number}"
        if name not in taken:
            names.append(name)
    return names


def count_problems(team: Team, spec: VMSpec, count: int) -> dict[str, list[str]]:
    """Why not so many at once; one more of what was asked already is `create_vm`'s to refuse."""
    if not 1 <= count <= MOST_AT_ONCE:
        return {
            "count": [
                gettext("%(count)s were given; 1 to %(most_at_once)s are allowed")
                % {"count": count, "most_at_once": MOST_AT_ONCE}
            ]
        }
    errors: dict[str, list[str]] = {}
    if count > 1 and spec.address:
        errors["address"] = [
            gettext("%(count)s VMs cannot have the same address: leave it out, or make one") % {"count": count}
        ]
    if count > 1 and spec.volumes.attach:
        errors["attach"] = [
            gettext("%(count)s VMs cannot have the same volume: leave it out, or make one") % {"count": count}
        ]
    is_known = team.vms.filter(request_key=spec.request_key).exists()
    if count > 1 and not is_known and (over := _over_quota(team, spec, count)):
        errors["count"] = over
    return errors


def _over_quota(team: Team, spec: VMSpec, count: int) -> list[str]:
    over: list[str] = []
    if spec.flavor is not None:
        size = Use(spec.flavor.vcpus * count, spec.flavor.ram_mib * count, spec.flavor.disk_gib * count, count)
        over = over_quota_by(team, use_of(team), size)
    new = spec.volumes.new
    return over + (quota_problems(team, len(new) * count, spec.volumes.gib * count) if new else [])
