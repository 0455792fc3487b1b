"""Hosts' topology over time: the rows that tell it, and what was there at an instant.

Present and past are one: `HostSeen` is now, each change names what it was before, and an instant is now with the later changes
undone, newest first. What is kept is bounded by time and rows a host; what is let go moves `known_from` on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from portal.topology.models import HostSeen, TopologyChange
from portal.topology.namespaces import namespace_objects
from portal.topology.neighbours import neighbour_objects
from portal.topology.topology_objects import (
    ObjectChange,
    Objects,
    domain_objects,
    read_switch,
    switch_objects,
    undo,
)

KEPT = timedelta(hours=48)
MOST_ROWS = 20_000  # a host
GAP = TopologyChange.Kind.GAP


def changes_after(seen: Iterable[HostSeen], at: datetime) -> Mapping[int, list[TopologyChange]]:
    """Each host's changes since then by its row's id, newest first, gaps left out."""
    found: dict[int, list[TopologyChange]] = defaultdict(list)
    rows = TopologyChange.objects.filter(seen__in=[one.pk for one in seen], at__gt=at).exclude(kind=GAP)
    for row in rows.order_by("-id"):
        found[row.seen_id].append(row)
    return found


def objects_at(seen: HostSeen, at: datetime, changes: Iterable[TopologyChange]) -> Objects | None:
    """What was on the host then; None where nothing that old is kept. `changes` are those since then or before, newest first,
    read after `seen` was: one that came between is undone though `seen` has it not, which changes nothing."""
    if seen.known_from is None or at < seen.known_from:
        return None
    objects = {
        **switch_objects(read_switch(seen.switch)),
        **domain_objects(seen.foreign_domains),
        **neighbour_objects(seen.lldp),
        **namespace_objects(seen.namespaces),
    }
    for row in changes:
        if row.at > at:
            undo(objects, ObjectChange(row.object, row.before, row.after))
    return objects


def prune(seen: HostSeen, now: datetime) -> None:
    """Let go what is older or more than what is kept, oldest first. Ids are in the order of time."""
    changes = seen.changes.exclude(kind=GAP)
    old = changes.filter(at__lt=now - KEPT).order_by("-id").values_list("id", flat=True).first() or 0
    over = next(iter(changes.order_by("-id").values_list("id", flat=True)[MOST_ROWS : MOST_ROWS + 1]), 0)
    last = max(old, over)
    if last:
        cut = TopologyChange.objects.values_list("at", flat=True).get(id=last)
        seen.changes.filter(at__lte=cut).delete()
        HostSeen.objects.filter(pk=seen.pk, known_from__lt=cut).update(known_from=cut)
