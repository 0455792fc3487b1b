"""What waits for a watcher that is slower than its switch."""

from __future__ import annotations

import struct

import pytest

from sdn.controller import watch
from sdn.controller.watch import Pending

ADDED, DELETED = 0, 2


def _body(*events: tuple[int, int]) -> bytes:
    """A flow monitor's reply (OpenFlow 1.4, 7.3.5.18.2): event and table of flows that match everything."""
    return b"".join(
        struct.pack("!HHBBHHHxxxxQHHxxxx", 32, event, table, 0, 0, 0, 1, 0, 1, 4) for event, table in events
    )


def _told(pending: Pending) -> list[tuple[str, int | None]]:
    return [(one.kind, one.flow.table_id if one.flow else None) for one in pending.take()]


async def test_changes_are_taken_in_order_and_nothing_is_left() -> None:
    pending = Pending()
    assert pending.is_empty and not await pending.some(0)
    pending.put(_body((ADDED, 1), (ADDED, 2)))
    pending.put(_body((DELETED, 1)))
    assert await pending.some(0)
    assert _told(pending) == [("added", 1), ("added", 2), ("deleted", 1)]
    assert pending.is_empty and not await pending.some(0)


async def test_a_burst_is_taken_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_AT_ONCE", 2)
    pending = Pending()
    for table in range(3):
        pending.put(_body((ADDED, table), (DELETED, table)))
    steps = []
    while await pending.some(0):
        steps.append(_told(pending))
    assert steps == [[("added", table), ("deleted", table)] for table in range(3)]


async def test_what_is_too_much_is_let_go_and_said_to_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_PENDING_BYTES", 64)
    pending = Pending()
    for table in range(3):
        pending.put(_body((ADDED, table)))
    assert _told(pending) == [("paused", None), ("resumed", None), ("added", 2)]
    pending.put(_body((ADDED, 3), (ADDED, 4)))
    assert _told(pending) == [("added", 3), ("added", 4)], "what was taken does not count any more"
