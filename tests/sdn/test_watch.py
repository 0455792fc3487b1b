"""Flows as they change: the switch's own flow monitor, and counters."""

from __future__ import annotations

import asyncio
import time

from sdn.controller.watch import watch_host
from sdn.model.addresses import HostName
from sdn.reconcile import WireFlow, WireKey
from sdn.transport.decode import FlowCounters, FlowUpdate
from sdn.transport.flowtext import format_wire_flow
from tests.sdn.channels import connected
from tests.sdn.switch import Switch
from tests.sdn.world import HV1
from tests.waiting import wait_for

OURS = "cookie=0x4853020000000009, table=9, priority=5,ip,nw_dst=10.0.0.9 actions=goto_table:70"


class Watched:
    """Keeps the table as a watcher should: the last dump, and every update since, in order."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, str]] = []
        self.table: dict[WireKey, WireFlow] = {}
        self.dumps = 0
        self.heard_at = 0.0

    async def flows_changed(self, host: HostName, updates: tuple[FlowUpdate, ...]) -> None:
        self.heard_at = time.monotonic()
        for update in updates:
            if update.flow is None:
                continue
            self.updates.append((update.kind, format_wire_flow(update.flow)))
            if update.kind == "deleted":
                self.table.pop(update.flow.key, None)
            else:
                self.table[update.flow.key] = update.flow

    async def flows_counted(self, host: HostName, rows: tuple[FlowCounters, ...]) -> None:
        self.table = {row.flow.key: row.flow for row in rows}
        self.dumps += 1


async def _until(predicate, what: str) -> None:  # type: ignore[no-untyped-def]
    await asyncio.to_thread(wait_for, predicate, 5, what, 0.002)


async def test_a_flow_added_modified_and_deleted_by_anyone_is_told_at_once(hv1: Switch) -> None:
    changed = OURS.replace("goto_table:70", "NORMAL")
    async with connected(hv1) as channel:
        watched = Watched()
        watching = asyncio.create_task(watch_host(HV1, lambda: channel, watched, float("inf")))
        await _until(lambda: watched.dumps, "the first dump")
        for verb, line in (("add-flow", OURS), ("mod-flows", changed.replace("cookie", "cookie"))):
            await asyncio.to_thread(hv1.ofctl, verb, line)
        done_at = time.monotonic()
        await _until(lambda: len(watched.updates) == 2, "two updates")
        assert watched.heard_at - done_at < 0.5
        await asyncio.to_thread(hv1.ofctl, "del-flows", "table=9")
        await _until(lambda: len(watched.updates) == 3, "three updates")
        assert watched.updates[:2] == [("added", OURS), ("modified", changed)]
        assert watched.updates[2][0] == "deleted"
        await _until(lambda: watched.dumps >= 3, "a dump a second")
        watching.cancel()


async def test_the_dump_and_the_updates_since_are_the_table(hv1: Switch) -> None:
    async with connected(hv1) as channel:
        watched = Watched()
        watching = asyncio.create_task(watch_host(HV1, lambda: channel, watched, float("inf")))
        await _until(lambda: watched.dumps, "the first dump")
        for number in range(40):
            verb = "del-flows" if number % 3 == 2 else "add-flow"
            line = f"table=9,reg1={number // 3}" + ("" if verb == "del-flows" else f",priority={number} actions=NORMAL")
            await asyncio.to_thread(hv1.ofctl, verb, line)
        expected = await asyncio.to_thread(hv1.flows)
        await _until(lambda: sorted(map(format_wire_flow, watched.table.values())) == expected, "the table")
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await channel.barrier()
        told = len(watched.updates)
        await asyncio.to_thread(hv1.ofctl, "del-flows", "table=9")
        await channel.barrier()
        assert len(watched.updates) == told, "a monitor that was stopped goes on"
