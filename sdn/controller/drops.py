"""What a switch's flows that drop have counted, read as reason and cause.

A dropped packet is counted twice: by the flow that sent it to the drop table, whose cookie is why, and by the drop table,
which has every packet once, by reason. `DropCount.is_total` tells the two apart.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

from sdn.model.cookie import Cause, CauseKind, parse_cookie
from sdn.pipeline import DROP_REASON_BY_CODE, DROP_REASON_BY_NAME, SENDER_REASONS, TABLE_BY_NAME, DropReason, Register
from sdn.transport.decode import FlowCounters
from sdn.transport.meters import MeterDrops

METER_TABLE = -1  # no table: a meter drops in front of them
DROP_TABLE = TABLE_BY_NAME["drop"].table_id
APPLY_ACTIONS, SET_FIELD = 4, 25  # OFPIT_, OFPAT_
_REASON = struct.pack("!I", 0x0001 << 16 | int(Register.DROP_REASON) << 9 | 4)  # NXM_NX_REG4, 4 bytes, no mask


@dataclass(frozen=True, slots=True)
class DropCount:
    """One flow that drops, and what it has counted since it was installed. `is_total`: it is the drop table's."""

    key: Hashable  # the flow's, or a meter's
    reason: DropReason
    cause: Cause
    is_total: bool
    packets: int
    bytes: int

    @property
    def port_id(self) -> int | None:
        """The port that the count is put down to: the drop table's per sender, the port's own refusals; else none.

        No packet is put down twice: which of the two counts is a matter of the reason.
        """
        if self.cause.kind != CauseKind.PORT or self.is_total != (self.reason.name in SENDER_REASONS):
            return None
        return self.cause.row_id


def read_drop(row: FlowCounters) -> DropCount | None:
    """The count of a flow of ours that drops; None for another flow, and for a reason that this version does not know."""
    flow, cause = row.flow, parse_cookie(row.flow.cookie)
    is_total = flow.table_id == DROP_TABLE
    code = _reason_matched(flow.match) if is_total else _reason_set(flow.instructions)
    reason = DROP_REASON_BY_CODE.get(code)
    if cause is None or reason is None:
        return None
    return DropCount(flow.key, reason, cause, is_total, row.packets, row.bytes)


def limit_drops(row: MeterDrops, places: Mapping[int, int]) -> Iterator[DropCount]:
    """What a rate limit dropped, of its port and of the host in all; `places` tells each limit's port by its meter."""
    if (port_id := places.get(row.meter_id)) is None:
        return
    reason = DROP_REASON_BY_NAME["rate_limited"]
    for cause, is_total in ((Cause(CauseKind.PORT, port_id), False), (Cause(CauseKind.SYSTEM, 0), True)):
        key = (METER_TABLE, row.meter_id, b"total" if is_total else b"")
        yield DropCount(key, reason, cause, is_total, row.dropped_packets, row.dropped_bytes)


def _reason_set(instructions: bytes) -> int:
    """The code that the flow's actions put in the reason's register; 0 for none."""
    at = 0
    while at + 8 <= len(instructions):
        kind, size = struct.unpack_from("!HH", instructions, at)
        action = at + 8
        while kind == APPLY_ACTIONS and action + 4 <= min(at + size, len(instructions)):
            sort, length = struct.unpack_from("!HH", instructions, action)
            if sort == SET_FIELD and instructions[action + 4 : action + 8] == _REASON:
                return int.from_bytes(instructions[action + 8 : action + 12])
            action += max(length, 8)
        at += max(size, 8)
    return 0


def _reason_matched(match: bytes) -> int:
    """The code that the flow asks the reason's register for; 0 for none."""
    at = 0
    while at + 4 <= len(match):
        if match[at : at + 4] == _REASON:
            return int.from_bytes(match[at + 4 : at + 8])
        at += 4 + match[at + 3]
    return 0
