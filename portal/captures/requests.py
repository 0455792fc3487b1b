"""Asking for a capture: checked, stored, audited, and handed to the controller, which alone has the switches."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace

import redis
from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.captures.models import Capture
from portal.captures.points import PROTOCOLS, Filter, Point, points_of
from portal.live.events import connection
from portal.traces.models import TraceRequest

log = logging.getLogger("hopsight.captures")
ORDERS, ORDERS_EXPIRY_S = "hopsight:capture:orders", 30
MAX_PACKETS, MAX_SECONDS, MAX_PORT = 1000, 60, 65535
LIVE_PER_TEAM, KEPT_PER_TEAM = 3, 20
SHOWN_CHARS = 60
Errors = dict[str, list[str]]


class CaptureProblem(Exception):
    """The capture cannot be asked for. `errors` holds field → sentences, all at once."""

    def __init__(self, errors: Errors) -> None:
        super().__init__("; ".join(line for lines in errors.values() for line in lines))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class CaptureSpec:
    """A capture as it was asked for: `points` are keys of portal.captures.points."""

    points: tuple[str, ...]
    filter: Filter
    packets: int = MAX_PACKETS
    seconds: int = MAX_SECONDS


def check_capture(trace: TraceRequest, spec: CaptureSpec, offered: list[Point]) -> Errors:
    """Field → what is wrong with it; empty when it can be asked for."""
    errors: Errors = {}
    keys = [point.key for point in offered]
    unknown = [key for key in spec.points if key not in keys]
    if not offered:
        errors["points"] = [gettext("this path has no hop to capture at now: neither end is plugged into a switch")]
    elif not spec.points or unknown:
        given = ", ".join(key[:SHOWN_CHARS] for key in unknown[:5]) or "none"
        errors["points"] = [
            gettext("points %(given)s were given; this path has %(keys)s") % {"given": given, "keys": ", ".join(keys)}
        ]
    protocol, port = spec.filter.protocol, spec.filter.port
    if protocol not in PROTOCOLS:
        errors["protocol"] = [
            gettext("protocol %(protocol)s was given; allowed are %(protocols)s")
            % {"protocol": f"{protocol[:SHOWN_CHARS]!r}", "protocols": ", ".join(PROTOCOLS)}
        ]
    if not 0 <= port <= MAX_PORT:
        errors["port"] = [
            gettext("port %(port)s was given; allowed are 1 to %(max_port)s, and 0 for any")
            % {"port": port, "max_port": MAX_PORT}
        ]
    for name, value, most in (("packets", spec.packets, MAX_PACKETS), ("seconds", spec.seconds, MAX_SECONDS)):
        if not 1 <= value <= most:
            errors[name] = [
                gettext("%(name)s %(value)s was given; allowed are 1 to %(most)s")
                % {"name": name, "value": value, "most": most}
            ]
    live = Capture.objects.filter(team=trace.team, state__in=(Capture.State.WAITING, Capture.State.RUNNING)).count()
    if live >= LIVE_PER_TEAM:
        errors.setdefault("points", []).append(gettext("%(team)s has %(live)s captures under way, which is all that it may: stop one") % {"team": trace.team.name, "live": live})  # fmt: skip
    return errors


def create_capture(trace: TraceRequest, user: User, spec: CaptureSpec) -> Capture:
    """A stored capture, sent to the controller on commit. Raises CaptureProblem, and then nothing is stored."""
    known = replace(spec.filter, protocol=spec.filter.protocol if spec.filter.protocol in PROTOCOLS else "any")
    offered = points_of(trace, known)
    errors = check_capture(trace, spec, offered)
    if errors:
        raise CaptureProblem(errors)
    chosen = [point for point in offered if point.key in spec.points]
    with transaction.atomic():
        capture = Capture.objects.create(
            team=trace.team, trace=trace, created_by=user, points=[point.as_json() for point in chosen],
            filter_words=spec.filter.words(), max_packets=spec.packets, seconds=spec.seconds,
        )  # fmt: skip
        after = {"points": [point.name for point in chosen], "filter": spec.filter.words()}
        record("capture.start", trace.team, user, ("capture", str(capture.uuid), trace.title), after=after)
        kept = Capture.objects.filter(team=trace.team).values_list("id", flat=True)[:KEPT_PER_TEAM]
        Capture.objects.filter(team=trace.team).exclude(id__in=list(kept)).delete()
        transaction.on_commit(lambda: send_order({"start": capture.pk}))
    return capture


def stop_capture(capture: Capture, user: User) -> None:
    """Ask the controller to end it; what was caught so far is kept."""
    record("capture.stop", capture.team, user, ("capture", str(capture.uuid), capture.trace.title))
    if capture.state == Capture.State.WAITING:
        Capture.objects.filter(pk=capture.pk, state=Capture.State.WAITING).update(
            state=Capture.State.DONE, why="stopped"
        )
    send_order({"stop": capture.pk})


def send_order(order: dict[str, int]) -> None:
    """Tell the controller; a Redis that is away is logged, for the rows are looked at when it is back."""
    try:
        with connection().pipeline() as pipe:
            pipe.rpush(ORDERS, json.dumps(order))
            pipe.expire(ORDERS, ORDERS_EXPIRY_S)
            pipe.execute()
    except redis.RedisError as problem:
        log.warning("capture order not sent problem=%s", problem)
