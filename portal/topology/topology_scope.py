"""Whose topology history a person sees: operators the hosts' whole, a team's people what was plugged for the team's VMs.

A tap's name is used again, by another team's VM too: where an object changes hands, what it was before is not told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from portal.accounts.access import may, team_for
from portal.compute.models import VM
from portal.topology.models import TopologyChange
from portal.topology.topology_rows import GAP

WHOSE = ("iface_id", "vm_id")  # fields that say what an object is plugged for


@dataclass(frozen=True, slots=True)
class Scope:
    """`vms`: the team's own, by uuid; None for an operator, who sees all."""

    vms: frozenset[UUID] | None = None

    def rows(self, rows: QuerySet[TopologyChange]) -> QuerySet[TopologyChange]:
        """Of the changes those that may be seen; gaps, which name no object, are everybody's."""
        return rows if self.vms is None else rows.filter(Q(vm__in=self.vms) | Q(kind=GAP))

    def told(self, rows: Iterable[TopologyChange]) -> list[TopologyChange]:
        """The rows as they may be told: without what an object was in other hands."""
        found = list(rows)
        for row in found:
            if self.vms is not None and _changes_hands(row):
                row.before = None
        return found

    def is_told(self, between: Iterable[TopologyChange]) -> bool:
        """May it be told what became of an object to which just this happened in between?"""
        return self.vms is None or all(row.vm in self.vms and not _changes_hands(row) for row in between)


ALL = Scope()


def scope_of(request: HttpRequest) -> Scope:
    """What the person may see; 404 or 403 for who may see nothing."""
    if may(request, "flow.see"):
        return ALL
    team = team_for(request, "topology.see")
    return Scope(frozenset(VM.objects.filter(team=team).values_list("uuid", flat=True)))


def _changes_hands(row: TopologyChange) -> bool:
    return bool(row.before and row.after and any(name in row.before for name in WHOSE))
