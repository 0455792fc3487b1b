"""A bridge's flows over time: what the recorder writes (tasks/flow_history.py), and the table at any instant of it.

The table at an instant is the last checkpoint before it, with every change up to it. Flows are kept as their OpenFlow
bytes, packed: writing one costs no words, which are made when somebody reads.

What is kept is bounded: `KEPT` of time and `MOST_BYTES` of packed bytes a bridge, whichever is less, cut at a checkpoint so
that the oldest instant that is left can still be told.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Sum
from django.db.models.functions import Length

from portal.topology.models import FlowChange, FlowRecord
from sdn.model.cookie import parse_cookie
from sdn.model.flow import format_flow
from sdn.reconcile import WireFlow, WireKey, wire_flow
from sdn.transport.flowtext import decode_flow

KEPT = timedelta(hours=48)
MOST_BYTES = 32 * 1024 * 1024
Table = dict[WireKey, WireFlow]
_JSON = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class FlowDelta:
    """One flow as it is from now on, or (`is_gone`) its end: then only its key counts."""

    flow: WireFlow
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class FlowDiff:
    """What is other in a later table: flows in table and priority order; of a changed one both."""

    added: tuple[WireFlow, ...]
    removed: tuple[WireFlow, ...]
    changed: tuple[tuple[WireFlow, WireFlow], ...]

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.removed or self.changed)


def pack(deltas: Iterable[FlowDelta]) -> bytes:
    """The deltas, as compressed JSON, a row at a time: all rows of a large table take ten times what they are packed."""
    squeeze = zlib.compressobj(6)
    parts, before = [], "["
    for delta in deltas:
        flow, gone = delta.flow, int(delta.is_gone)
        row = [
            flow.table_id,
            flow.priority,
            flow.match.hex(),
            flow.cookie,
            flow.instructions.hex(),
            flow.timeouts,
            gone,
        ]
        parts.append(squeeze.compress(f"{before}{json.dumps(row, separators=(',', ':'))}".encode()))
        before = ","
    return b"".join((*parts, squeeze.compress(b"[]" if before == "[" else b"]"), squeeze.flush()))


def unpack(packed: bytes) -> Iterator[FlowDelta]:
    """The deltas that `pack` was given, in order."""
    text, at = zlib.decompress(packed).decode(), 1
    while at < len(text) - 1:
        (table, priority, match, cookie, instructions, timeouts, gone), at = _JSON.raw_decode(text, at)
        at += 1
        flow = wire_flow(table, priority, bytes.fromhex(match), cookie, bytes.fromhex(instructions), timeouts)
        yield FlowDelta(flow, bool(gone))


def table_at(record: FlowRecord, at: datetime) -> Table | None:
    """The whole table as it was; None where nothing that old is kept."""
    base = record.checkpoints.filter(at__lte=at).last()
    if base is None:
        return None
    table = {delta.flow.key: delta.flow for delta in unpack(bytes(base.flows))}
    for change in record.changes.filter(at__gt=base.at, at__lte=at).exclude(kind=FlowChange.Kind.GAP).iterator():
        apply_deltas(table, unpack(bytes(change.lines)))
    return table


def apply_deltas(table: Table, deltas: Iterable[FlowDelta]) -> None:
    """Make the table what it is after the deltas."""
    for delta in deltas:
        if delta.is_gone:
            table.pop(delta.flow.key, None)
        else:
            table[delta.flow.key] = delta.flow


def diff_tables(before: Mapping[WireKey, WireFlow], after: Mapping[WireKey, WireFlow]) -> FlowDiff:
    """What is other in `after`."""
    added = [after[key] for key in after.keys() - before.keys()]
    removed = [before[key] for key in before.keys() - after.keys()]
    both = [(before[key], after[key]) for key in before.keys() & after.keys() if before[key] != after[key]]
    return FlowDiff(tuple(sorted(added, key=_order)), tuple(sorted(removed, key=_order)), tuple(sorted(both, key=lambda pair: _order(pair[0]))))  # fmt: skip


def deltas_of(diff: FlowDiff) -> list[FlowDelta]:
    """The deltas that make the earlier table the later one."""
    gone = [FlowDelta(flow, True) for flow in diff.removed]
    return [*gone, *(FlowDelta(flow) for flow in diff.added), *(FlowDelta(after) for _, after in diff.changed)]


def flow_line(flow: WireFlow) -> str:
    """The flow as ovs-ofctl takes it; parts that only a newer Open vSwitch knows are hex."""
    return format_flow(decode_flow(flow))


def is_foreign(flow: WireFlow) -> bool:
    """Has it no mark of ours?"""
    return parse_cookie(flow.cookie) is None


def prune(record: FlowRecord, now: datetime) -> None:
    """Let go what is older or more than what is kept."""
    checkpoints = list(
        record.checkpoints.annotate(size=Length("flows")).order_by("-at", "-id").values_list("at", "size")
    )
    total, cut = 0, None
    for number, (at, size) in enumerate(checkpoints):
        later = checkpoints[number - 1][0] if number else None
        changes = record.changes.filter(at__gt=at)
        changes = changes.filter(at__lte=later) if later else changes
        total += size + (changes.aggregate(size=Sum(Length("lines")))["size"] or 0)
        if number and total > MOST_BYTES:
            break
        cut = at
        if at <= now - KEPT:
            break
    if cut is not None:
        record.checkpoints.filter(at__lt=cut).delete()
        record.changes.filter(at__lt=cut).delete()


def changed_since_checkpoint(record: FlowRecord) -> int:
    """How many flows changed since the table was last kept whole."""
    base = record.checkpoints.last()
    changes = record.changes.filter(at__gt=base.at) if base else record.changes.none()
    sums = changes.aggregate(set_flows=Sum("set_flows"), removed=Sum("removed"))
    return sum(value or 0 for value in sums.values())


def _order(flow: WireFlow) -> tuple[int, int, bytes]:
    return (flow.table_id, -flow.priority, flow.match)
