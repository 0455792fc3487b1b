"""Writes hosts' topology history beside `HostSeen`: what changed on a host and what explains it, and where nobody could tell.

1. `HostSeen` has one writer a column (the controller the switch, the collector the domains), so what a change is from is what
   its writer left there, whoever died between.
2. The row and its changes are written in one transaction: an instant is the row with the later changes undone.
3. The switch is known as long as its OVSDB is reached, the switch has told it what it keeps in memory, and lives: OVSDB keeps
   what a dead one said (`HostLink.switch_seen`). What is other when
   it is known again is kept as found, not as seen, after a gap with two ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from portal.hosts.models import Host
from portal.networks.models import Generation
from portal.topology.models import HostSeen, TopologyChange
from portal.topology.topology_objects import ObjectChange, Objects, diff_objects
from portal.topology.topology_rows import GAP, prune
from tasks.topology_causes import causes_of

STARTED = "nobody recorded: the controller was not running, or not connected"
AWAY = "the host’s OVSDB was not reached, or its switch did not run or had not yet told it anything"
AT_ONCE = 500  # rows of one insert


def now_ms() -> datetime:
    """Now, no finer than JSON tells it: who asks for the instant of a change as the API gave it gets that change."""
    now = timezone.now()
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def note_switch(seen: HostSeen, changes: Sequence[ObjectChange] | None, is_first: bool) -> None:
    """In the caller's transaction, when `seen` holds what changed: that it did, and that the switch is known. None: what was
    before is not known, the history begins. `is_first`: of what this process saw, so that between is a gap."""
    now, since = now_ms(), seen.switch_seen_at
    begins = changes is None or seen.known_from is None or since is None
    if changes is not None and since is not None and not begins:
        if is_first:
            seen.changes.create(at=since, until=now, kind=GAP, why=seen.away or STARTED)
        kind = TopologyChange.Kind.FOUND if is_first else TopologyChange.Kind.CHANGED
        note_changes(seen, changes, kind, since)
    start = now if begins else seen.known_from
    HostSeen.objects.filter(pk=seen.pk).update(switch_seen_at=now, away="", known_from=start)
    prune(seen, now)


def note_changes(seen: HostSeen, changes: Sequence[ObjectChange], kind: TopologyChange.Kind, since: datetime) -> None:
    """Keep what changed since then at the latest, each with its cause."""
    if not changes:
        return
    now = now_ms()
    generation = next(iter(Generation.objects.filter(id=1).values_list("value", flat=True)), 0)
    causes = causes_of(seen, changes, since, now)
    rows = [
        TopologyChange(
            seen=seen, at=now, kind=kind, generation=generation, object=one.name, before=one.before, after=one.after,
            by=cause.by, cause=cause.words, operation=cause.operation, vm=cause.vm, guest=cause.guest,
        )
        for one, cause in zip(changes, causes, strict=True)
    ]  # fmt: skip
    TopologyChange.objects.bulk_create(rows, batch_size=AT_ONCE)


def note_seen(host_id: int, column: str, after: Callable[[Any], Any], objects_of: Callable[[Any], Objects]) -> None:
    """Keep what was read of a host in that column of its `HostSeen` (`after`, given what it holds), and what is other in it; a
    host that is gone meanwhile is passed over. What was there before the first look is not known: that is no change."""
    row = HostSeen.objects.filter(host=host_id).only(column).first()
    fresh = after(row and getattr(row, column))
    if row is not None and getattr(row, column) == fresh:
        return
    host = Host.objects.filter(pk=host_id).first()
    if host is None:
        return
    with transaction.atomic():
        row, _ = HostSeen.objects.get_or_create(host=host)
        before = getattr(row, column)
        setattr(row, column, fresh)
        row.save(update_fields=[column, "changed_at"])
        if row.known_from and before is not None:
            changes = diff_objects(objects_of(before), objects_of(fresh))
            note_changes(row, changes, TopologyChange.Kind.CHANGED, now_ms())


def note_still(hosts: Iterable[str]) -> None:
    """These hosts' switches are as their rows say until now: what a gap begins at."""
    HostSeen.objects.filter(host__name__in=list(hosts), away="").update(switch_seen_at=now_ms())


def note_away(hosts: Iterable[str]) -> None:
    """Nobody can tell what is on these hosts' switches from now on."""
    rows = HostSeen.objects.filter(host__name__in=list(hosts), away="")
    rows.update(away=AWAY, switch_seen_at=now_ms())
