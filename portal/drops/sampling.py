"""Copies of dropped packets, asked for a port and a time. They are in Redis alone, and gone with that time."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.live.events import connection
from portal.live.transient import transient_snapshot
from portal.networks.models import Port
from portal.networks.owners import owner_of
from portal.networks.problems import NetworkProblem

log = logging.getLogger("hopsight.drops")

KEY_PREFIX = "hopsight:sample:"
SECONDS = (30, 60, 300)
MOST_AT_ONCE = 20  # ports of one team
KEPT = 50  # packets of a port


@dataclass(frozen=True)
class Sample:
    """What was asked for, and what came so far, the latest first."""

    until: datetime
    seen: int
    packets: list[dict[str, Any]]


def topic_of(port: Port) -> str:
    """Where its packets are told."""
    return f"sample:{port.uuid}"


def ask_sample(port: Port, seconds: int, actor: User | None) -> datetime:
    """Copies of what is dropped for the port from now on; until when. Raises NetworkProblem."""
    if seconds not in SECONDS:
        allowed = ", ".join(map(str, SECONDS))
        raise NetworkProblem(
            {
                "seconds": [
                    gettext("%(seconds)s was given; %(allowed)s are allowed") % {"seconds": seconds, "allowed": allowed}
                ]
            }
        )
    team = owner_of(port)
    if len(_running(team.pk) - {str(port.uuid)}) >= MOST_AT_ONCE:
        sentence = gettext("%(team)s has %(most_at_once)s ports copied from, the most at once: stop one first") % {
            "team": team.name,
            "most_at_once": MOST_AT_ONCE,
        }
        raise NetworkProblem({"port": [sentence]})
    until = timezone.now() + timedelta(seconds=seconds)
    with transaction.atomic():
        record("port.sample", team, actor, _what(port), after={"seconds": seconds})
    words = {"team": team.pk, "until": until.isoformat()}
    connection().set(f"{KEY_PREFIX}{port.uuid}", json.dumps(words), ex=seconds)
    return until


def stop_sample(port: Port, actor: User | None) -> None:
    """No more copies; what came is forgotten soon."""
    with transaction.atomic():
        record("port.sample_end", owner_of(port), actor, _what(port))
    connection().delete(f"{KEY_PREFIX}{port.uuid}")


def sample_of(port: Port) -> Sample | None:
    """The port's sample while it lasts; none while Redis, which keeps it, is away."""
    try:
        found: Any = connection().get(f"{KEY_PREFIX}{port.uuid}")
    except redis.RedisError as problem:
        log.warning("no sample is known problem=%s", problem)
        return None
    if found is None:
        return None
    state = transient_snapshot(topic_of(port))["state"]
    packets = sorted((data for key, data in state.items() if key.startswith("packet:")), key=lambda one: -one["number"])
    return Sample(datetime.fromisoformat(json.loads(found)["until"]), state.get("sample", {}).get("seen", 0), packets)


def running() -> dict[str, dict[str, Any]]:
    """Port's uuid → what was asked, of all teams."""
    client = connection()
    keys = list(client.scan_iter(match=f"{KEY_PREFIX}*", count=1000))
    values: Any = client.mget(keys) if keys else []
    found = zip(keys, values, strict=True)
    return {key.decode().removeprefix(KEY_PREFIX): json.loads(value) for key, value in found if value is not None}


def _running(team_id: int) -> set[str]:
    return {uuid for uuid, asked in running().items() if asked["team"] == team_id}


def _what(port: Port) -> tuple[str, str, str]:
    return ("vm", str(port.vm.uuid), port.vm.name) if port.vm else ("port", str(port.uuid), port.name)
