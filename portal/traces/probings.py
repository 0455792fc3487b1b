"""One real packet a second along a trace's path: asked for, bounded, audited, and ordered from a worker."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import redis
from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.live.events import connection
from portal.traces.models import ProbeSample, Probing, TraceRequest

log = logging.getLogger("hopsight.traces")
ORDERS, ORDERS_LIFE_S = "hopsight:probing:orders", 30
MIN_SECONDS, MAX_SECONDS = 5, 600
LIVE_PER_TEAM, KEPT_PER_TEAM = 3, 20
LIVE = (Probing.State.WAITING, Probing.State.RUNNING)
STOPPED = "It was stopped."


class ProbingProblem(Exception):
    """It cannot be asked for. `errors` holds field → sentences, all at once."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__("; ".join(line for lines in errors.values() for line in lines))
        self.errors = errors


def start_probing(trace: TraceRequest, user: User, seconds: int) -> Probing:
    """A stored probing, ordered on commit. Raises ProbingProblem, and then nothing is stored."""
    errors = _check(trace, seconds)
    if errors:
        raise ProbingProblem(errors)
    with transaction.atomic():
        made = Probing.objects.create(team=trace.team, trace=trace, created_by=user, seconds=seconds)
        what = ("probing", str(made.uuid), trace.title)
        record("probing.start", trace.team, user, what, after={"seconds": seconds})
        kept = Probing.objects.filter(team=trace.team).values_list("id", flat=True)[:KEPT_PER_TEAM]
        Probing.objects.filter(team=trace.team).exclude(id__in=list(kept)).delete()
        transaction.on_commit(lambda: _order(made.pk))
    return made


def _check(trace: TraceRequest, seconds: int) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        errors["seconds"] = [
            gettext("seconds %(seconds)s was given; allowed are %(min_seconds)s to %(max_seconds)s")
            % {"seconds": seconds, "min_seconds": MIN_SECONDS, "max_seconds": MAX_SECONDS}
        ]
    if trace.source is None or (trace.target is None and not trace.address):
        errors["trace"] = [gettext("an end of this path no longer exists: ask for another trace")]
    live = Probing.objects.filter(team=trace.team, state__in=LIVE).count()
    if live >= LIVE_PER_TEAM:
        words = gettext("%(team)s sends probes along %(live)s paths, which is all that it may at once: stop one") % {
            "team": trace.team.name,
            "live": live,
        }
        errors.setdefault("trace", []).append(words)
    return errors


def stop_probing(row: Probing, user: User) -> None:
    """End it; what was measured is kept. One that is over stays as it is."""
    with transaction.atomic():
        live = Probing.objects.filter(pk=row.pk, state__in=LIVE)
        if live.update(state=Probing.State.DONE, why=STOPPED):
            record("probing.stop", row.team, user, ("probing", str(row.uuid), row.trace.title))
    row.refresh_from_db()


def _order(pk: int) -> None:
    """Tell a worker; one that nobody takes is ended by the sweep."""
    try:
        with connection().pipeline(transaction=False) as pipe:
            pipe.rpush(ORDERS, pk)
            pipe.expire(ORDERS, ORDERS_LIFE_S)
            pipe.execute()
    except redis.RedisError as problem:
        log.warning("not ordered probing=%s problem=%s", pk, problem)


def sample_as_json(sample: ProbeSample, began: Any) -> dict[str, Any]:
    """One probe: when (milliseconds after the first), how long it took (None: it did not arrive), and why it did not."""
    return {
        "number": sample.number, "at_ms": round((sample.at - began).total_seconds() * 1000),
        "latency_us": sample.latency_us, "error_us": sample.error_us, "reason": sample.reason,
    }  # fmt: skip


def probing_as_json(row: Probing) -> dict[str, Any]:
    """The probing with every sample, and its losses by reason, most first."""
    samples = list(row.samples.all())
    began = samples[0].at if samples else row.created_at
    losses = Counter(sample.reason for sample in samples if sample.latency_us is None)
    return {
        **state_of(row), "trace": row.trace.uuid, "began_at": began,
        "samples": [sample_as_json(sample, began) for sample in samples],
        "losses": [{"reason": reason, "count": count} for reason, count in losses.most_common()],
    }  # fmt: skip


def probing_line(row: Probing) -> dict[str, Any]:
    """The probing in a list: its path and how far it is."""
    return {
        **state_of(row), "trace": row.trace.uuid, "title": row.trace.title, "created_at": row.created_at,
        "created_by": row.created_by.username if row.created_by else None,
    }  # fmt: skip


def state_of(row: Probing) -> dict[str, Any]:
    """How far it is."""
    return {
        "uuid": str(row.uuid), "state": row.state, "why": row.why, "seconds": row.seconds, "sent": row.sent,
        "arrived": row.arrived,
    }  # fmt: skip
