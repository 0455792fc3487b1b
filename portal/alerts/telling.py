"""From what is wrong to who is told: alerts begin and end by looking at everything, events are taken up by number.

Both only write rows; `tasks.hooks` sends them.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from portal.accounts.models import Team
from portal.alerts.models import Alert, Channel, Delivery, Silence
from portal.alerts.rules import above_rules
from portal.dashboards.problems import Problem, problems_of
from portal.live.events import publish
from portal.live.models import Event

MOST_EVENTS = 500  # taken up for a channel at once
MOST_WAITING = 5000  # deliveries of a channel: one that takes none is not owed everything
ENDED_KEPT = timedelta(days=30)
LOG_KEPT = timedelta(days=7)


def watch_all(now: datetime | None = None) -> None:
    """Begin and end the alerts of every team."""
    for team in Team.objects.all():
        watch_team(team, now or timezone.now())


def watch_team(team: Team, now: datetime) -> None:
    """The team's open alerts are what is wrong now, whatever was open before."""
    wrong = {problem.key: problem for problem in (*problems_of(team, now), *above_rules(team, int(time.time())))}
    for alert in Alert.objects.filter(team=team, ended_at=None).select_related("team"):
        problem = wrong.pop(alert.key, None)
        if problem is None:
            _end(alert, now)
        elif (problem.words, problem.detail) != (alert.words, alert.detail):
            Alert.objects.filter(pk=alert.pk).update(words=problem.words[:300], detail=problem.detail)
    for problem in wrong.values():
        _begin(team, problem, now)


def _begin(team: Team, problem: Problem, now: datetime) -> None:
    try:
        with transaction.atomic():
            alert = Alert.objects.create(
                team=team, key=problem.key, is_bad=problem.is_bad, words=problem.words[:300], detail=problem.detail,
                url=problem.url, since=problem.since or now,
            )  # fmt: skip
            alert_changed(alert)
            _tell(alert, "alert.firing", now)
    except IntegrityError:  # another look at the same time began it
        return


@transaction.atomic
def _end(alert: Alert, now: datetime) -> None:
    if not Alert.objects.filter(pk=alert.pk, ended_at=None).update(ended_at=now):
        return
    alert.ended_at = now
    publish(f"team:{alert.team.slug}", "alert.deleted", f"alert:{alert.uuid}", {})
    _tell(alert, "alert.over", now)


def alert_as_json(alert: Alert) -> dict[str, Any]:
    """The alert as events, webhooks and the API tell it."""
    return {
        "uuid": str(alert.uuid),
        "key": alert.key,
        "is_bad": alert.is_bad,
        "words": alert.words,
        "detail": alert.detail,
        "url": alert.url,
        "since": alert.since.isoformat(),
        "ended_at": alert.ended_at.isoformat() if alert.ended_at else None,
        "acknowledged_at": alert.acknowledged_at.isoformat() if alert.acknowledged_at else None,
        "acknowledged_by": alert.acknowledged_by.username if alert.acknowledged_by else None,
    }


def live_alert(alert: Alert) -> dict[str, Any]:
    """What a reader of the team's topic is told: what changes while it is open is left to the page."""
    told = alert_as_json(alert)
    return {name: told[name] for name in ("uuid", "key", "is_bad", "since", "acknowledged_at", "acknowledged_by")}


def alert_changed(alert: Alert) -> None:
    """Tell the team of an open alert; in the transaction that changed it."""
    publish(f"team:{alert.team.slug}", "alert.changed", f"alert:{alert.uuid}", live_alert(alert))


def _tell(alert: Alert, type_: str, now: datetime) -> None:
    if Silence.objects.filter(team=alert.team, key=alert.key, until__gt=now).exists():
        return
    body = {"type": type_, "team": alert.team.slug, "words": _sentence(alert, type_), "at": now.isoformat(), "data": alert_as_json(alert)}  # fmt: skip
    channels = Channel.objects.filter(team=alert.team, is_on=True, gets_alerts=True)
    Delivery.objects.bulk_create(Delivery(channel=channel, type=type_, body=body, next_at=now) for channel in channels)


def _sentence(alert: Alert, type_: str) -> str:
    words = f"{alert.words}. {alert.detail}".strip()
    return f"{alert.team.name}: {words}" if type_ == "alert.firing" else f"{alert.team.name}: over: {alert.words}"


def take_events(now: datetime | None = None) -> int:
    """Deliveries for the events that came since the last look, of every channel that gets them; how many."""
    rows = Channel.objects.filter(is_on=True, gets_events=True).select_related("team")
    return sum(_take(channel, now or timezone.now()) for channel in rows)


def _take(channel: Channel, now: datetime) -> int:
    """Numbers follow commits (portal.live.models), so that none before the last one can still come."""
    events = list(Event.objects.filter(topic=f"team:{channel.team.slug}", seq__gt=channel.seq).order_by("seq")[:MOST_EVENTS])  # fmt: skip
    if not events:
        return 0
    with transaction.atomic():
        if not Channel.objects.filter(pk=channel.pk, seq=channel.seq).update(seq=events[-1].seq):
            return 0  # another look took them
        room = MOST_WAITING - channel.deliveries.filter(state=Delivery.State.WAITING).count()
        fresh = [
            Delivery(
                channel=channel,
                type=event.type,
                next_at=now,
                body={
                    "type": event.type, "team": channel.team.slug, "seq": event.seq, "at": event.at.isoformat(),
                    "object": event.object, "data": event.data,
                },
            )
            for event in events[: max(room, 0)]
        ]  # fmt: skip
        Delivery.objects.bulk_create(fresh)
    return len(fresh)


def forget(now: datetime | None = None) -> None:
    """Drop alerts that were over a month ago, deliveries of last week, silences that have ended."""
    at = now or timezone.now()
    Alert.objects.filter(ended_at__lt=at - ENDED_KEPT).delete()
    Delivery.objects.filter(created_at__lt=at - LOG_KEPT).exclude(state=Delivery.State.WAITING).delete()
    Silence.objects.filter(until__lt=at).delete()
