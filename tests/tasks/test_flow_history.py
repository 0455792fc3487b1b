"""A switch's flows over time: recorded from a real switch, told for any instant, with gaps where nobody could tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from portal.networks.models import Generation
from portal.topology.flow_rows import (
    KEPT,
    FlowDelta,
    apply_deltas,
    deltas_of,
    diff_tables,
    flow_line,
    pack,
    prune,
    table_at,
    unpack,
)
from portal.topology.models import FlowChange, FlowRecord
from sdn.controller.follow import follow_table
from sdn.reconcile import wire_flow
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from tasks import flow_history
from tasks.flow_history import FlowRecorder
from tests.cast import Cast
from tests.portal.clients import made_host
from tests.sdn.switch import Switch
from tests.waiting import until

OURS = "0x4853010000000000"


@pytest.fixture
def switch() -> Iterator[Switch]:
    with Shadow() as shadow:
        shadow.load([ShadowBridge("br-int", (ShadowPort("p1", 1),), f"cookie={OURS},table=0,in_port=1 actions=drop")])
        yield Switch(shadow)


class Told(FlowRecorder):
    """Says what it has written, so that a test reads rows when nobody writes."""

    wholes = changes = 0

    async def whole(self, flows: Any) -> None:
        await super().whole(flows)
        self.wholes += 1

    async def changed(self, updates: Any) -> bool:
        wants_whole = await super().changed(updates)
        self.changes += len(updates)
        return wants_whole


@asynccontextmanager
async def recording(switch: Switch) -> AsyncIterator[Told]:
    """The recorder at work, its first look done."""
    recorder = Told("hv1", "br-int")
    task = asyncio.create_task(
        follow_table(Path(f"{switch.rundir}/{switch.bridge}.mgmt"), recorder, asyncio.Semaphore(1))
    )
    await until(lambda: recorder.wholes == 1, "the first look")
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def lines_at(at: datetime) -> set[str]:
    table = table_at(FlowRecord.objects.get(), at)
    assert table is not None
    return {flow_line(flow) for flow in table.values()}


def _has_changes(recorder: Told, number: int) -> bool:
    return recorder.changes >= number


@pytest.mark.django_db(transaction=True)
async def test_the_table_is_told_for_every_instant_with_what_changed_it(cast: Cast, switch: Switch) -> None:
    await sync_to_async(made_host)("hv1")
    await sync_to_async(Generation.objects.update_or_create)(id=1, defaults={"value": 41})
    instants = []
    async with recording(switch) as recorder:
        for number, change in enumerate(
            ("add-flow table=0,tcp actions=NORMAL", "del-flows table=0,in_port=1"), start=1
        ):
            instants.append(timezone.now())
            await asyncio.to_thread(switch.ofctl, *change.split(" ", 1)[:1], *change.split(" ", 1)[1:])
            await until(partial(_has_changes, recorder, number), "a change is kept")
        instants.append(timezone.now())
    told = [await sync_to_async(lines_at)(at) for at in instants]
    assert [len(lines) for lines in told] == [1, 2, 1]
    assert told[2] - told[0] == {line for line in told[1] if "tcp" in line}
    first, second = await sync_to_async(lambda: list(FlowChange.objects.filter(kind="changed")))()
    assert (first.set_flows, first.removed, first.foreign, first.generation) == (1, 0, 1, 41)
    assert (second.set_flows, second.removed, second.foreign) == (0, 1, 0)
    assert first.causes == ["foreign: cookie 0x0"]


@pytest.mark.django_db(transaction=True)
async def test_what_changed_while_nobody_recorded_is_found_after_a_gap_with_two_ends(
    cast: Cast, switch: Switch
) -> None:
    await sync_to_async(made_host)("hv1")
    async with recording(switch):
        pass
    await asyncio.to_thread(switch.ofctl, "add-flow", "table=0,udp actions=drop")
    async with recording(switch):
        pass
    gap, found = await sync_to_async(lambda: list(FlowChange.objects.all()))()
    assert (gap.kind, found.kind, found.set_flows, found.removed) == ("gap", "found", 1, 0)
    assert gap.until is not None and gap.at < gap.until <= found.at
    assert "nobody recorded" in gap.why


@pytest.mark.django_db(transaction=True)
async def test_much_change_is_followed_by_a_new_checkpoint(cast: Cast, switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(flow_history, "CHECKPOINT_FLOWS", 3)
    await sync_to_async(made_host)("hv1")
    async with recording(switch) as recorder:
        await asyncio.to_thread(switch.ofctl, "add-flow", "table=1,tcp actions=drop")
        for number in range(4):
            await asyncio.to_thread(switch.ofctl, "add-flow", f"table=1,udp,tp_dst={number} actions=drop")
        await until(lambda: recorder.wholes >= 2 and recorder.changes >= 5, "a second checkpoint")
    record = await sync_to_async(FlowRecord.objects.get)()
    last = await sync_to_async(record.checkpoints.last)()
    assert last is not None and last.count >= 4
    assert await sync_to_async(record.checkpoints.count)() == 2


def test_what_is_old_goes_and_the_oldest_kept_instant_can_still_be_told(cast: Cast) -> None:
    record = FlowRecord.objects.create(host=made_host("hv1"), bridge="br-int", seen_at=timezone.now())
    now = timezone.now()
    for hours in (60, 50, 10):
        flow = wire_flow(hours, 1, b"", 0, b"")
        record.checkpoints.create(at=now - timedelta(hours=hours), count=1, flows=pack([FlowDelta(flow)]))
        record.changes.create(at=now - timedelta(hours=hours - 1), lines=pack([]))
    prune(record, now)
    assert [(now - one.at).total_seconds() / 3600 for one in record.checkpoints.all()] == [50, 10]
    assert record.changes.count() == 2
    assert table_at(record, now - KEPT) is not None
    assert table_at(record, now - timedelta(hours=55)) is None


FLOWS = st.builds(wire_flow, st.integers(0, 3), st.integers(0, 2), st.sampled_from((b"", b"\x80\x00")), st.integers(0, 2**64 - 1), st.binary(max_size=9))  # fmt: skip
TABLES = st.lists(FLOWS, max_size=8).map(lambda flows: {flow.key: flow for flow in flows})


@given(TABLES, TABLES)
def test_a_diff_made_packed_and_applied_gives_the_later_table(before: Any, after: Any) -> None:
    table = dict(before)
    apply_deltas(table, unpack(pack(deltas_of(diff_tables(before, after)))))
    assert table == after
    assert diff_tables(table, after).is_empty
