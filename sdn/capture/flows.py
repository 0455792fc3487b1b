"""The flows of a capture: each copies a packet to the controller and lets it go on as if the flow were not there.

A copy is made where a packet comes in (`classify`) or is about to leave (`output`), by a flow above all others that sets a
register bit and sends the packet to the same table again, where, with the bit set, it meets the ordinary flows. The bit is
cleared behind that, so that a flood's next copy is judged anew. The copies pass a meter of their own, so that a busy port
floods nobody; the packet itself does not. Nothing in the packet changes. The flows have a hard
timeout: they end by themselves whatever becomes of the controller; a controller that does not know them removes them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sdn.capture.values import CaptureOrder, CapturePoint, Fields
from sdn.model.cookie import Cause, CauseKind, format_cookie, parse_cookie
from sdn.model.flow import Flow, FlowKey, canonical_match
from sdn.model.meter import CAPTURE_METER
from sdn.pipeline import FLAG_CAPTURED_IN, FLAG_CAPTURED_OUT, FLAG_CAUGHT, FLAG_PROBE, TABLE_BY_NAME, Register

PRIORITY = 60_000
SNAP_BYTES = 1600
POINTS_MAX = 16
COPY = f"CONTROLLER:{SNAP_BYTES}"
METERED_COPY = f"controller(max_len={SNAP_BYTES},meter_id={CAPTURE_METER})"
IN_PORT = "0xfff8"
_FLAGS, _OUT = f"reg{int(Register.FLAGS)}", f"reg{int(Register.OUT)}"
_SOURCE = f"reg{int(Register.SOURCE_PORT)}"
_POINT_BITS = 5  # of the cookie's id: the point's place and the direction


def capture_flows(order: CaptureOrder, metered: Collection[str] = ()) -> dict[str, tuple[Flow, ...]]:
    """Host → its flows; on `metered` hosts the copies pass the captures' meter. Raises ValueError for more points than a cookie can tell apart."""
    if len(order.points) > POINTS_MAX:
        raise ValueError(f"{len(order.points)} points were given; a capture has at most {POINTS_MAX}")
    found: dict[str, list[Flow]] = {}
    for number, point in enumerate(order.points):
        copy = METERED_COPY if point.host in metered else COPY
        found.setdefault(point.host, []).extend(
            flow._replace(actions=(copy, *flow.actions)) for flow in _point_flows(order.number, number, point)
        )
    return {host: tuple(flows) for host, flows in found.items()}


def mark_of(cookie: int) -> tuple[int, int, bool] | None:
    """(the order's number, the point's place, is it on its way out) of a copy's cookie; None for another flow's."""
    cause = parse_cookie(cookie)
    if cause is None or cause.kind != CauseKind.CAPTURE:
        return None
    low = cause.row_id & (1 << _POINT_BITS) - 1
    return cause.row_id >> _POINT_BITS, low >> 1, bool(low & 1)


def _point_flows(order: int, number: int, point: CapturePoint) -> Iterator[Flow]:
    for wanted in point.coming:
        entry = (*wanted, ("in_port", str(point.ofport)))
        yield _copy("classify", FLAG_CAPTURED_IN, entry, _cookie(order, number, False))
    for wanted in point.going:
        yield _copy("output", FLAG_CAPTURED_OUT, (*wanted, (_OUT, f"{point.ofport:#x}")), _cookie(order, number, True))
        back = (*wanted, (_OUT, IN_PORT), ("in_port", str(point.ofport)))  # what the switch itself answers
        yield _copy("output", FLAG_CAPTURED_OUT, back, _cookie(order, number, True))
    for wanted in point.opening:
        sender = (_SOURCE, f"{point.port_id & 0xFFFFFFFF:#x}")
        opens = (*wanted, sender, ("ct_state", "+new+trk"))
        yield _copy("egress_rules", FLAG_CAUGHT, opens, _cookie(order, number, False))


def _copy(table: str, flag: int, wanted: Fields, cookie: int) -> Flow:
    table_id, bit = TABLE_BY_NAME[table].table_id, flag.bit_length() - 1
    match = (*wanted, (_FLAGS, f"0/{flag | FLAG_PROBE:#x}"))
    again = (f"load:0x1->NXM_NX_REG{int(Register.FLAGS)}[{bit}]", f"resubmit(,{table_id})")
    clear = f"load:0->NXM_NX_REG{int(Register.FLAGS)}[{bit}]"
    key = FlowKey(table_id, PRIORITY, canonical_match(match))
    return Flow(key, cookie, (*again, clear))


def _cookie(order: int, point: int, is_out: bool) -> int:
    return format_cookie(Cause(CauseKind.CAPTURE, order << _POINT_BITS | point << 1 | int(is_out)))
