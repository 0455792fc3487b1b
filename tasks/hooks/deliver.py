"""Deliveries that are due, sent with growing pauses, each by one sender at a time; a channel that takes nothing is switched off."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from portal.alerts.models import Channel, Delivery
from tasks.hooks.send import NotSent, send

log = logging.getLogger("hopsight.hooks")
PAUSES_S = (5, 15, 60, 300, 900, 3600, 3 * 3600)  # after each attempt that failed; then it is given up
MOST_ATTEMPTS = len(PAUSES_S) + 1
LEASE = timedelta(seconds=60)  # longer than one attempt can last
MOST_FAILURES = 5  # deliveries given up one after another, each after seven hours
TURN_S = 8.0


def deliver_due(turn_s: float = TURN_S) -> int:
    """Send what is due until the turn is over; how many were tried."""
    end, tried = time.monotonic() + turn_s, 0
    while time.monotonic() < end:
        delivery = _claimed(timezone.now())
        if delivery is None:
            break
        attempt(delivery)
        tried += 1
    return tried


def _claimed(now: datetime) -> Delivery | None:
    """One due delivery, held for the time of an attempt: who changes `next_at` has it."""
    due = Delivery.objects.filter(state=Delivery.State.WAITING, next_at__lte=now, channel__is_on=True)
    for row in due.select_related("channel__team").order_by("next_at", "id")[:20]:
        if Delivery.objects.filter(pk=row.pk, state=row.state, next_at=row.next_at).update(next_at=now + LEASE):
            return row
    return None


def attempt(delivery: Delivery) -> None:
    """Send it once and note what came of it."""
    number = delivery.attempts + 1
    try:
        answer = send(delivery)
    except NotSent as problem:
        _failed(delivery, number, str(problem))
        return
    except Exception as problem:  # the sender's edge: one message's trouble must not hold up the others
        log.exception("delivery broke uuid=%s", delivery.uuid)
        _failed(delivery, number, f"it broke on our side: {type(problem).__name__}")
        return
    Delivery.objects.filter(pk=delivery.pk).update(
        state=Delivery.State.DONE, attempts=number, answer=answer[:300], finished_at=timezone.now()
    )
    Channel.objects.filter(pk=delivery.channel_id).exclude(failures=0).update(failures=0)


@transaction.atomic
def _failed(delivery: Delivery, number: int, words: str) -> None:
    now, mine = timezone.now(), Delivery.objects.filter(pk=delivery.pk)
    if number < MOST_ATTEMPTS:
        pause = timedelta(seconds=PAUSES_S[number - 1])
        mine.update(attempts=number, answer=words[:300], next_at=now + pause)
        return
    mine.update(state=Delivery.State.FAILED, attempts=number, answer=words[:300], finished_at=now)
    channels = Channel.objects.filter(pk=delivery.channel_id)
    channels.update(failures=F("failures") + 1)
    why = f"{MOST_FAILURES} messages in a row did not arrive; the last: {words}"
    channels.filter(failures__gte=MOST_FAILURES).update(is_on=False, off_reason=why[:300])
