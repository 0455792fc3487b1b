"""A bridge's history as its page and the API tell it: instants with their cause, and what is other between two of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext

from portal.accounts.audit import words_of
from portal.accounts.models import AuditRow
from portal.topology.flow_rows import FlowDiff, diff_tables, flow_line, is_foreign, table_at
from portal.topology.models import FlowChange, FlowRecord
from sdn.reconcile import WireFlow

SHOWN, MOST_LINES, MOST_ACTS = 200, 2_000, 3
ACT_WITHIN = timedelta(seconds=10)  # a change of rows is flows on a host that answers well within this
JUST_BEFORE = timedelta(microseconds=1)


class InstantProblem(Exception):
    """An instant that cannot be told. `errors` holds field → sentences."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__("; ".join(line for lines in errors.values() for line in lines))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Instant:
    """One row of the history. `acts` are what people did just before, newest first."""

    change: FlowChange
    acts: tuple[str, ...]

    @property
    def before(self) -> str:
        return (self.change.at - JUST_BEFORE).isoformat()

    @property
    def at(self) -> str:
        return self.change.at.isoformat()


def record_of(host: str, bridge: str) -> FlowRecord | None:
    """The bridge's record; None where nothing was recorded yet."""
    return FlowRecord.objects.filter(host__name=host, bridge=bridge).first()


# Acts upon these may change flows; a log-in or an alert is never why a table changed.
MOVE_FLOWS = frozenset(
    ("vm", "network", "subnet", "router", "floating", "external", "provider", "group", "rule", "port", "host", "image",
     "snapshot", "volume", "trace", "probing", "capture", "operation", "flow")
)  # fmt: skip


def instants_of(record: FlowRecord, most: int = SHOWN) -> list[Instant]:
    """The latest instants, newest first, without the flows' bytes."""
    changes = list(record.changes.defer("lines").order_by("-at", "-id")[:most])
    if not changes:
        return []
    rows = AuditRow.objects.filter(at__gte=changes[-1].at - ACT_WITHIN, at__lte=changes[0].at)
    acts = [
        act for act in rows.order_by("-at", "-id")[: most * MOST_ACTS] if act.action.partition(".")[0] in MOVE_FLOWS
    ]
    return [Instant(change, _acts(change, acts)) for change in changes]


def _acts(change: FlowChange, acts: Iterable[AuditRow]) -> tuple[str, ...]:
    ours = change.set_flows + change.removed > change.foreign
    if change.kind != FlowChange.Kind.CHANGED or not ours:
        return ()
    near = [act for act in acts if change.at - ACT_WITHIN <= act.at <= change.at]
    return tuple(f"{act.actor} {words_of(act.action)} {act.object_name}" for act in near[:MOST_ACTS])


def diff_between(record: FlowRecord, since: str, until: str) -> tuple[datetime, datetime, FlowDiff]:
    """What is other at the second instant ("": the oldest that is kept, and now). Raises InstantProblem with all that is wrong."""
    errors: dict[str, list[str]] = {}
    oldest = record.checkpoints.first()
    since, until = since or (oldest.at.isoformat() if oldest else "now"), until or timezone.now().isoformat()
    instants = [instant_given(name, text, errors) for name, text in (("from", since), ("to", until))]
    if not errors and instants[0] > instants[1]:
        instants.reverse()
    tables = [table_at(record, at) for at in instants] if not errors else []
    for name, table in zip(("from", "to"), tables, strict=False):
        if table is None:
            kept = (
                gettext("the oldest kept is %(isoformat)s") % {"isoformat": oldest.at.isoformat()}
                if oldest
                else gettext("nothing is kept yet")
            )
            errors[name] = [gettext("the flows of that instant are not kept: %(kept)s") % {"kept": kept}]
    if errors:
        raise InstantProblem(errors)
    before, after = tables
    return instants[0], instants[1], diff_tables(before or {}, after or {})


def instant_given(name: str, text: str, errors: dict[str, list[str]]) -> datetime:
    """The instant that was typed; now, with a sentence in `errors`, for what is none."""
    try:
        found = parse_datetime(text.strip().replace(" ", "+"))  # a plus of the URL
    except (ValueError, OverflowError):
        found = None
    if found is None:
        errors[name] = [
            gettext("%(text)s was given; an ISO time is allowed, as %(isoformat)s")
            % {"text": f"{text[:40]!r}", "isoformat": timezone.now().isoformat()}
        ]
        return timezone.now()
    return found if timezone.is_aware(found) else timezone.make_aware(found)


def diff_lines(diff: FlowDiff) -> list[dict[str, Any]]:
    """The difference, a flow a line: {"sign", "flow", "foreign"}; a changed flow is a minus and a plus."""
    pairs: list[tuple[str, WireFlow]] = [("-", flow) for flow in diff.removed]
    for before, after in diff.changed:
        pairs += [("-", before), ("+", after)]
    pairs += [("+", flow) for flow in diff.added]
    return [{"sign": sign, "flow": flow_line(flow), "foreign": is_foreign(flow)} for sign, flow in pairs[:MOST_LINES]]


def diff_json(since: datetime, until: datetime, diff: FlowDiff) -> dict[str, Any]:
    """What the API and the export give."""
    counts = {"added": len(diff.added), "removed": len(diff.removed), "changed": len(diff.changed)}
    return {"from": since.isoformat(), "to": until.isoformat(), **counts, "lines": diff_lines(diff)}


def instant_json(instant: Instant) -> dict[str, Any]:
    """One instant for the API."""
    change = instant.change
    return {
        "at": change.at, "until": change.until, "kind": change.kind, "why": change.why, "generation": change.generation,
        "set_flows": change.set_flows, "removed": change.removed, "foreign": change.foreign, "causes": change.causes,
        "acts": list(instant.acts),
    }  # fmt: skip
