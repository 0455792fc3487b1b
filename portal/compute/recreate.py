"""A VM asked for once more, from what its failed operation kept."""

from __future__ import annotations

import secrets
from typing import Any

from django.db.models import Q

from portal.accounts.models import Team, User
from portal.compute.models import Flavor, Image
from portal.compute.requests import Creation, VMSpec, create_vm
from portal.networks.owners import usable_networks


def recreate_vm(team: Team, user: User, asked: dict[str, Any]) -> Creation:
    """A new VM as `VMSpec.as_asked` kept it; another person's key is replaced by none. Raises VMProblem."""
    return create_vm(team, user, spec_from(team, user, asked))


def spec_from(team: Team, user: User, asked: dict[str, Any]) -> VMSpec:
    """The spec that was kept, of what there is now."""
    groups = asked.get("groups")
    return VMSpec(
        name=asked["name"],
        image=Image.objects.filter(Q(team=None) | Q(team=team), slug=asked["image"]).first(),
        flavor=Flavor.objects.filter(name=asked["flavor"]).first(),
        network=usable_networks(team).filter(pk=asked["network"]).first(),
        request_key=secrets.token_hex(16),
        key=user.keys.filter(pk=asked["key"]).first() if asked.get("key") else None,
        user_data=asked.get("user_data", ""),
        address=asked.get("address"),
        groups=None if groups is None else tuple(team.security_groups.filter(name__in=groups)),
    )
