"""Drops in words: of one port, of a network's ports, as JSON for the API and for events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Max, QuerySet, Sum
from django.http import HttpRequest

from portal.accounts.access import may
from portal.accounts.models import Team
from portal.config.links import link
from portal.drops.models import DropCounter
from portal.drops.sampling import SECONDS, sample_of
from portal.networks.models import Port
from sdn.pipeline import DROP_REASON_BY_NAME
from sdn.trace.words import SUGGESTIONS

# Reasons that a predicted packet of the port can meet: the trace is asked from the port, or to it.
TRACED_FROM = (
    "egress_denied",
    "no_route",
    "unknown_mac",
    "no_neighbour",
    "ttl_exceeded",
    "invalid_state",
    "reply_denied",
)
TRACED_TO = ("ingress_denied", "port_down")


@dataclass(frozen=True)
class DropLine:
    """One reason's drops of one port, over all hosts that it was on."""

    reason: str
    words: str
    packets: int
    bytes: int
    last_at: datetime
    advice: str = ""
    trace_url: str = ""


def drops_of_port(port: Port) -> list[DropLine]:
    """The port's drops by reason, the latest first."""
    rows = port.drops.values("reason").annotate(packets=Sum("packets"), bytes=Sum("bytes"), last_at=Max("last_at"))
    return _latest_first(_line(row, port) for row in rows)


def drops_context(request: HttpRequest, team: Team, port: Port | None) -> dict[str, Any]:
    """What a VM's page shows of what was dropped for its port."""
    if port is None:
        return {}
    may_sample = may(request, "sample.see", team)
    return {
        "drops": drops_of_port(port),
        "may_sample": may_sample,
        "sample": sample_of(port) if may_sample else None,
        "sample_seconds": SECONDS,
    }


def drops_of_ports(ports: QuerySet[Port]) -> list[DropLine]:
    """The drops of these ports together by reason, the latest first."""
    rows = DropCounter.objects.filter(port__in=ports.order_by().values("pk")).values("reason")
    return _latest_first(_line(row) for row in rows.annotate(packets=Sum("packets"), bytes=Sum("bytes"), last_at=Max("last_at")))  # fmt: skip


def drops_as_json(lines: Iterable[DropLine], pps: Mapping[str, float]) -> dict[str, Any]:
    """A port's drops as events and the API tell them; `pps` holds the rates of the reasons that drop now."""
    listed = list(lines)
    return {
        "packets": sum(line.packets for line in listed),
        "bytes": sum(line.bytes for line in listed),
        "reasons": [
            {
                "reason": line.reason, "words": line.words, "packets": line.packets, "bytes": line.bytes,
                "pps": pps.get(line.reason, 0.0), "last_at": line.last_at.isoformat(),
            }
            for line in listed
        ],
    }  # fmt: skip


def reason_words(reason: str) -> str:
    """The reason as a sentence begins: “Its source MAC is not the port's own”."""
    known = DROP_REASON_BY_NAME.get(reason)
    return known.words[0].upper() + known.words[1:] if known else reason


def _line(row: Mapping[str, Any], port: Port | None = None) -> DropLine:
    reason = row["reason"]
    advice = trace = ""
    if port is not None:
        here = {"source": port.name, "target": port.name} if reason in TRACED_TO else {"source": port.name, "target": "the other end"}  # fmt: skip
        if reason in TRACED_TO:
            here["source"] = "the sender"
        advice = SUGGESTIONS.get(reason, "").format(**here, service="it")
        trace = _trace_url(reason, port)
    return DropLine(reason, reason_words(reason), row["packets"], row["bytes"], row["last_at"], advice, trace)


def _trace_url(reason: str, port: Port) -> str:
    end = "source" if reason in TRACED_FROM else "target" if reason in TRACED_TO else ""
    return f"{link('trace_new')}?{urlencode({end: str(port.uuid)})}" if end else ""


def _latest_first(lines: Iterable[DropLine]) -> list[DropLine]:
    return sorted(lines, key=lambda line: (line.last_at, line.reason), reverse=True)
