"""What is counted and priced: what fills the quota, and what a team holds besides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Sum
from django.utils.translation import gettext_noop as _

from portal.accounts.models import Team
from portal.accounts.team_admin import words_of
from portal.accounts.team_admin_views import SHOWN, use_by_team
from portal.networks.router_models import FloatingAddress
from portal.snapshots.models import Snapshot, SnapshotVolume


@dataclass(frozen=True)
class Resource:
    """Rows that no limit of their own counts: `team` is the way from a row to its team, `sum` what one team holds of them."""

    name: str
    words: str
    model: Any
    team: str
    sum: Any


# A snapshot fills the disk's limit with what the disk may hold; it is priced apart, for it lies beside the disk.
BESIDES = (
    Resource("snapshot_gib", "Snapshots, GiB", Snapshot, "vm__team", Sum("disk_gib")),
    Resource("snapshot_volume_gib", _("Volumes in snapshots, GiB"), SnapshotVolume, "volume__team", Sum("size_gib")),
    Resource("floating_addresses", "Floating addresses", FloatingAddress, "team", Count("id")),
)
RESOURCES = (*SHOWN, *(one.name for one in BESIDES))
# A unit's name in an account: what one hour of one of it is.
UNITS = {name: f"{words_of(name)} × hours" for name in SHOWN} | {one.name: f"{one.words} × hours" for one in BESIDES}


def held_by_team(teams: Iterable[Team]) -> dict[int, dict[str, int]]:
    """Team → resource → how much of it is held: a query for each kind of row, however many teams."""
    found = use_by_team(teams)
    for one in BESIDES:
        rows = one.model.objects.filter(**{f"{one.team}__in": found}).values_list(one.team)
        held = dict(rows.annotate(held=one.sum).order_by())
        for team in found:
            found[team][one.name] = held.get(team) or 0
    return found
