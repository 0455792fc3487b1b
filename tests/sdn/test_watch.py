"""Flows as they change: the switch's own flow monitor, and counters."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from sdn.controller.watch import watch_table
from sdn.reconcile import WireFlow, WireKey
from sdn.transport.decode import FlowCounters, FlowUpdate
from sdn.transport.flowtext import format_wire_flow
from sdn.transport.openflow import ChannelError
from tests.sdn.switch import Switch
from tests.waiting import at_this_load, until

OURS = "cookie=0x4853020000000009, table=9, priority=5,ip,nw_dst=10.0.0.9 actions=goto_table:70"


class Watched:
    """Keeps the table as a watcher should: the last dump, and every update since, in order."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, str]] = []
        self.table: dict[WireKey, WireFlow] = {}
        self.dumps = 0
        self.heard_at = 0.0

    async def flows_changed(self, updates: Sequence[FlowUpdate]) -> None:
        self.heard_at = time.monotonic()
        for update in updates:
            if update.flow is None:
                self.updates.append((update.kind, ""))
                continue
            self.updates.append((update.kind, format_wire_flow(update.flow)))
            if update.kind == "deleted":
                self.table.pop(update.flow.key, None)
            else:
                self.table[update.flow.key] = update.flow

    async def flows_counted(self, rows: Sequence[FlowCounters]) -> None:
        self.table = {row.flow.key: row.flow for row in rows}
        self.dumps += 1


@contextlib.asynccontextmanager
async def _watching(switch: Switch) -> AsyncIterator[Watched]:
    watched = Watched()
    watching = asyncio.create_task(watch_table(Path(f"{switch.rundir}/{switch.bridge}.mgmt"), watched))
    await until(lambda: watched.dumps or watching.done(), "the first dump")
    try:
        yield watched
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.timeout(at_this_load(2)):
                await watching


async def test_a_flow_added_modified_and_deleted_by_anyone_is_told_at_once(hv1: Switch) -> None:
    changed = OURS.replace("goto_table:70", "NORMAL")
    async with _watching(hv1) as watched:
        for verb, line in (("add-flow", OURS), ("mod-flows", changed)):
            await asyncio.to_thread(hv1.ofctl, verb, line)
        done_at = time.monotonic()
        await until(lambda: len(watched.updates) == 2, "two updates")
        assert watched.heard_at - done_at < at_this_load(0.5)
        await asyncio.to_thread(hv1.ofctl, "del-flows", "table=9")
        await until(lambda: len(watched.updates) == 3, "three updates")
        assert watched.updates[:2] == [("added", OURS), ("modified", changed)]
        assert watched.updates[2][0] == "deleted"
        dumps = watched.dumps
        await until(lambda: watched.dumps >= dumps + 2, "a dump a second")


async def test_the_dump_and_the_updates_since_are_the_table(hv1: Switch) -> None:
    async with _watching(hv1) as watched:
        for number in range(40):
            verb = "del-flows" if number % 3 == 2 else "add-flow"
            line = f"table=9,reg1={number // 3}"
            if verb == "add-flow":
                line = f"cookie=0x77,{line},priority={number} actions=NORMAL"
            await asyncio.to_thread(hv1.ofctl, verb, line)
        expected = await asyncio.to_thread(hv1.flows)
        await until(lambda: sorted(map(format_wire_flow, watched.table.values())) == expected, "the table")
    await asyncio.to_thread(hv1.ofctl, "del-flows", "table=9")


async def test_a_reader_too_slow_is_told_of_the_gap_and_has_the_true_table_after_it(hv1: Switch) -> None:
    """The reader sleeps while 10,000 flows come: more than the 128 KiB that the switch keeps for it."""
    lines = "\n".join(f"table=9,reg1={number} actions=NORMAL" for number in range(10_000))
    async with _watching(hv1) as watched:
        hv1.ofctl("add-flows", "-", given=lines)  # not in a thread: the event loop itself stands still, as under load
        await asyncio.to_thread(hv1.ofctl, "del-flows", "table=9,reg1=7")
        kinds = lambda: [kind for kind, _ in watched.updates if kind in ("paused", "resumed")]  # noqa: E731
        await until(lambda: kinds()[-1:] == ["resumed"], "the switch resumes")
        in_nine = lambda: sum(key[0] == 9 for key in watched.table)  # noqa: E731
        await until(lambda: in_nine() == 9_999, "the table")
    await asyncio.to_thread(hv1.ofctl, "del-flows", "table=9")


async def test_a_bridge_that_is_not_there_or_speaks_an_older_openflow_is_said_so(hv1: Switch) -> None:
    with pytest.raises(ChannelError, match="no switch answers"):
        await watch_table(Path(f"{hv1.rundir}/br-none.mgmt"), Watched())
    await asyncio.to_thread(hv1.vsctl, "add-br", "br-old", "--", "set", "bridge", "br-old", "protocols=OpenFlow10")
    with pytest.raises(ChannelError, match=r"does not speak OpenFlow 1\.4"):
        await watch_table(Path(f"{hv1.rundir}/br-old.mgmt"), Watched())


async def test_watching_ends_when_the_switch_goes_away(dummy_ovs: Switch) -> None:
    await asyncio.to_thread(dummy_ovs.vsctl, "add-br", "br-int")
    watching = asyncio.create_task(watch_table(Path(f"{dummy_ovs.rundir}/br-int.mgmt"), Watched()))
    dummy_ovs.shadow.close()
    with pytest.raises(ChannelError):
        async with asyncio.timeout(at_this_load(5)):
            await watching
