"""The first packet of the next connection, caught in the source's switch, and handed to its trace.

The trace waits in its row; a capture of one packet runs meanwhile, of what opens a connection and matches the question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from portal.captures.points import opening_of
from portal.live.publishers import trace_changed
from portal.traces.desk import order_trace
from portal.traces.models import TraceRequest
from portal.traces.requests import NEXT_WITHIN_S
from sdn.capture import Captured, CaptureOrder, CapturePoint, packet_as_json, packet_of
from sdn.transport.openflow import ChannelError
from tasks.rows import in_rows
from tasks.traces import give_up

if TYPE_CHECKING:
    from sdn.controller import Controller

FIRST_NUMBER = 1 << 34  # of catches, in the room of captures' numbers: no capture's row has such an id
LIFE_OVER = "the controller process was started again meanwhile"
UNPLUGGED = "{name} is plugged into no switch now: there is nowhere to wait for its packet."
UNREADABLE = "A packet came that is no untagged TCP, UDP or ICMP, and cannot be asked about."


async def catch(controller: Controller, number: int) -> None:
    """Wait for the packet of the trace of that number; then the trace is asked of it, or has failed in words."""
    order = await in_rows(_order_of, number)
    if order is None:
        return
    caught: list[Captured] = []
    try:
        why = await controller.captures.run(order, caught.append)
    except ChannelError as problem:
        why = str(problem)
    await in_rows(_settle, number, caught, why)


def fail_former() -> None:
    """What an earlier controller process waited for is not waited for any more."""
    for row in TraceRequest.objects.filter(state=TraceRequest.State.WAITING):
        give_up(row, f"The next connection was not waited for to the end: {LIFE_OVER}.")


def _order_of(number: int) -> CaptureOrder | None:
    rows = TraceRequest.objects.select_related("team", "source__host", "target")
    row = rows.filter(pk=number, state=TraceRequest.State.WAITING).first()
    if row is None or row.source is None:
        return None
    source, wanted = row.source, opening_of(row)
    if source.ofport is None or source.host is None or wanted is None:
        give_up(row, UNPLUGGED.format(name=source.name))
        return None
    point = CapturePoint(source.name, source.host.name, source.ofport, (), (), (wanted,), source.pk)
    return CaptureOrder(FIRST_NUMBER + row.pk, (point,), 1, NEXT_WITHIN_S)


def _settle(number: int, caught: list[Captured], why: str) -> None:
    row = TraceRequest.objects.select_related("team").filter(pk=number, state=TraceRequest.State.WAITING).first()
    if row is None:
        return
    packet = packet_of(caught[0].frame) if caught else None
    if packet is None:
        give_up(row, UNREADABLE if caught else f"No such connection was opened: {why}.")
        return
    with transaction.atomic():
        row.caught, row.state = packet_as_json(packet), TraceRequest.State.RUNNING
        row.save(update_fields=["caught", "state"])
        trace_changed(row)
        transaction.on_commit(lambda: order_trace(row.pk))
