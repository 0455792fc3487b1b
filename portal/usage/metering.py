"""Counting use: what a team's rows reserve now, times how long since it was counted last.

What is reserved costs whether it runs or not, as the quota has it. A sweep counts every minute; one that was away counts
what is there now for the time it was away, of MOST_AWAY at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from django.db import transaction

from portal.accounts.models import Team
from portal.usage.models import UsageDay, UsageMeter
from portal.usage.resources import held_by_team

MOST_AWAY = timedelta(hours=1)


def count_use(now: datetime) -> None:
    """Add what was held since the last count to each team's days; twice at once counts once."""
    with transaction.atomic():
        meter, fresh = UsageMeter.objects.select_for_update().get_or_create(pk=1, defaults={"at": now})
        if fresh or now <= meter.at:
            return
        since, meter.at = max(meter.at, now - MOST_AWAY), now
        meter.save(update_fields=["at"])
        used = held_by_team(Team.objects.all())
        for day, hours in by_day(since, now):
            _add(day, {team: {name: one * hours for name, one in use.items() if one} for team, use in used.items()})


def by_day(since: datetime, until: datetime) -> Iterator[tuple[date, float]]:
    """Each day of a stretch of time, with how many hours of it."""
    while since < until:
        midnight = datetime.combine(since.date() + timedelta(days=1), datetime.min.time(), since.tzinfo)
        end = min(midnight, until)
        yield since.date(), (end - since).total_seconds() / 3600
        since = end


def _add(day: date, more: dict[int, dict[str, float]]) -> None:
    rows = {row.team_id: row for row in UsageDay.objects.filter(day=day, team__in=more)}
    fresh = [UsageDay(team_id=team, day=day, hours=hours) for team, hours in more.items() if hours and team not in rows]
    for team, row in rows.items():
        for name, hours in more[team].items():
            row.hours[name] = row.hours.get(name, 0.0) + hours
    UsageDay.objects.bulk_update(rows.values(), ["hours"], batch_size=500)
    UsageDay.objects.bulk_create(fresh, batch_size=500)
