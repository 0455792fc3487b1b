"""Conflicts and hints as people and programs read them, from what `hints.judge` wrote: no page judges anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext

from portal.accounts.models import Team
from portal.config.told import told
from portal.networks.claims import BY_ANOTHER, KIND_BY_NAME, RIGHT
from portal.networks.models import AddressHint, HintSource, Port
from portal.networks.owners import owned_by

DROPPED = "What it sends from there is dropped."
SOURCE_WORDS = dict(HintSource.choices)


@dataclass(frozen=True)
class ConflictLine:
    """One conflict of a port: a sentence, what to change, and how it is known."""

    kind: str
    address: str
    is_bad: bool
    words: str
    advice: str
    evidence: str
    since: datetime


@dataclass(frozen=True)
class NicLine:
    """A NIC's addresses from both sides: what IPAM gave, and what the guest was seen with."""

    port: Port
    given: list[str]
    hints: list[AddressHint]
    conflicts: list[ConflictLine]

    @property
    def agent_says(self) -> list[str]:
        """What the guest agent tells, IPv6 link-local ones left out, for every guest has one."""
        return [one.address for one in self.hints if one.source == HintSource.AGENT]


def conflict_lines(port: Port) -> list[ConflictLine]:
    """The port's conflicts in words, the bad ones first."""
    lines = [_line(port, row) for row in port.conflicts if row["kind"] in KIND_BY_NAME]
    return sorted(lines, key=lambda line: not line.is_bad)


def _line(port: Port, row: dict[str, Any]) -> ConflictLine:
    kind = KIND_BY_NAME[row["kind"]]
    given = [one.address for one in port.addresses.all()]
    same = [one for one in given if (":" in one) == (":" in row["address"])]  # a family is set up by itself
    own = gettext(" and ").join(same or given) or gettext("its address")
    fields = {
        "address": row["address"],
        "own": own,
        "others": gettext(" and ").join(row["others"]) or gettext("another port"),
    }
    words = told(kind.words.format(**fields))
    if port.is_secured and kind.name not in (BY_ANOTHER, RIGHT):
        words = f"{words} {told(DROPPED)}"
    evidence = ", ".join(told(str(SOURCE_WORDS.get(one, one))) for one in row["sources"])
    since = datetime.fromisoformat(row["since"])
    return ConflictLine(
        kind.name, row["address"], kind.is_bad, words, told(kind.advice.format(**fields)), evidence, since
    )


def conflicted_ports(team: Team) -> QuerySet[Port]:
    """The team's ports that have a conflict."""
    rows = Port.objects.filter(owned_by(team)).exclude(conflicts=[])
    return rows.select_related("network__team", "vm").prefetch_related("addresses")


def nic_lines(ports: Iterable[Port]) -> list[NicLine]:
    """Each NIC with what was seen of it; one query for all, beside the addresses."""
    rows = list(ports)
    seen: dict[int, list[AddressHint]] = {}
    for hint in AddressHint.objects.filter(port__in=rows).order_by("port_id", "source", "address"):
        seen.setdefault(hint.port_id, []).append(hint)
    return [
        NicLine(port, [one.address for one in port.addresses.all()], seen.get(port.pk, []), conflict_lines(port))
        for port in rows
    ]


def conflicts_as_json(port: Port) -> list[dict[str, Any]]:
    """The port's conflicts for the API."""
    return [
        {
            "kind": line.kind, "address": line.address, "is_bad": line.is_bad, "words": line.words, "advice": line.advice,
            "evidence": line.evidence, "since": line.since,
        }
        for line in conflict_lines(port)
    ]  # fmt: skip
