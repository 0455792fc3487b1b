"""One bridge's flows on the topic `flows:<host>/<bridge>`: as the switch changes them, counters once a second.

The topic's state holds each flow under its key, and under `monitor` how they are known: `live` (the switch's own flow
monitor), `polled` (a bridge that does not speak OpenFlow 1.4), `paused` or `away`, with the gaps in which changes may
have come and gone untold.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.utils import timezone

from portal.hosts.models import Host
from portal.live.transient import Change, TransientWriter
from portal.networks.causes import explain_causes, for_operators
from sdn.controller.watch import watch_table
from sdn.model.cookie import Cause, parse_cookie
from sdn.model.trace import Intent
from sdn.pipeline import TABLE_BY_ID
from sdn.reconcile import WireFlow, WireKey
from sdn.transport.decode import FlowCounters, FlowUpdate
from sdn.transport.flowprint import FlowPrinter, FlowWords, PrintedFlow, parse_flow_line
from sdn.transport.openflow import ChannelError, VersionRefused
from tasks.rows import in_rows

log = logging.getLogger("hopsight.watching")
BRIDGE_NAME = re.compile(r"[\w.+-]{1,64}")
OURS = "br-int"
MONITOR = "monitor"
PUBLISH_EVERY_S = 0.015  # at most; a socket's own 20 frames a second come on top
POLL_EVERY_S = 1.0
POLLS_BEFORE_ASKING_AGAIN = 60
TRY_AGAIN_S = 1.0
EXPLAIN_EVERY_S = 10.0
MOST_GAPS = 20
ROWS_AT_ONCE = 1000
ANY_VERSION = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"
Data = Mapping[str, Any]


def flow_key(table: int, priority: int, match: str) -> str:
    """What joins a trace's step, a flow's row and its counters."""
    return f"table={table},priority={priority},{match}"


async def watch_flows(name: str) -> None:
    """Keep the topic of `<host>/<bridge>` true until cancelled. Raises Host.DoesNotExist, ValueError for a bad name."""
    host_name, _, bridge = name.partition("/")
    if not BRIDGE_NAME.fullmatch(bridge):
        raise ValueError(f"{bridge!r} is no bridge's name")
    host = await in_rows(Host.objects.get, name=host_name)
    socket = Path(host.ovs_rundir) / f"{bridge}.mgmt"
    topic = FlowTopic(f"flows:{name}", is_ours=bridge == OURS)
    await topic.load()
    while True:
        try:
            await watch_table(socket, topic)
        except VersionRefused as problem:
            await _poll(socket, topic, str(problem))
        except ChannelError as problem:
            await topic.say("away", str(problem))
            await asyncio.sleep(TRY_AGAIN_S)


async def _poll(socket: Path, topic: FlowTopic, why: str) -> None:
    try:
        for _ in range(POLLS_BEFORE_ASKING_AGAIN):
            await topic.flows_printed(await dump_flows(socket))
            await topic.say("polled", why)
            await asyncio.sleep(POLL_EVERY_S)
    except OSError as problem:
        await topic.say("away", str(problem))
        await asyncio.sleep(TRY_AGAIN_S)


async def dump_flows(socket: Path) -> list[PrintedFlow]:
    """Every flow as ovs-ofctl prints it, in whatever version the bridge speaks. Raises OSError with its words."""
    process = await asyncio.create_subprocess_exec(
        "ovs-ofctl", "-O", ANY_VERSION, "--no-names", "dump-flows", f"unix:{socket}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(10):
        out, err = await process.communicate()
    if process.returncode:
        raise OSError(err.decode(errors="replace").strip())
    lines = (parse_flow_line(line) for line in out.decode(errors="replace").splitlines())
    return [line for line in lines if line]


@dataclass(frozen=True, slots=True)
class _Shown:
    """A flow of the switch and what the topic's readers see of it."""

    flow: WireFlow
    key: str
    data: Data


def cause_fields(intent: Intent | None) -> Data:
    """Why a flow is there, and where that can be read by whom, as the topic has it."""
    told = for_operators(intent) if intent else Intent("", 0, "")
    return {"cause": told.words, "cause_url": told.url, "cause_team": told.team}


class FlowTopic:
    """The topic's one writer; a watcher of the bridge's table."""

    def __init__(self, topic: str, *, is_ours: bool) -> None:
        self._writer = TransientWriter(topic)
        self._is_ours = is_ours
        self._printer = FlowPrinter()
        self._shown: dict[WireKey, _Shown] = {}
        self._causes: dict[Cause, Intent] = {}
        self._explained_at = 0.0
        self._monitor: dict[str, Any] = {}
        self._loop = asyncio.get_running_loop()
        self._free_at = 0.0

    async def load(self) -> None:
        """Take over what an earlier reader left in Redis, so that only what differs is told."""
        await asyncio.to_thread(self._writer.load)
        self._monitor = dict(self._writer.state.get(MONITOR, {}))

    async def flows_changed(self, updates: Sequence[FlowUpdate]) -> None:
        """Of several changes to one flow only the last is told: each holds the whole flow."""
        last: dict[WireKey, FlowUpdate] = {}
        changes: list[Change] = []
        for update in updates:
            if update.flow is None:
                changes += self._gap(update.kind == "paused")
                continue
            last.pop(update.flow.key, None)
            last[update.flow.key] = update
        kept = [update.flow for update in last.values() if update.kind != "deleted" and update.flow]
        await self._explain(kept)
        words = dict(zip((flow.key for flow in kept), await self._printer.words(kept), strict=True))
        for key, update in last.items():
            if update.kind == "deleted":
                if gone := self._shown.pop(key, None):
                    changes.append(Change("flow.deleted", gone.key, None))
            elif update.flow:
                changes += self._show(update.flow, words[key], *self._counted(update))
        await self._write(changes)

    def _counted(self, update: FlowUpdate) -> tuple[int, int]:
        """Updates carry no counters: those of a modified flow go on, an added one starts again."""
        known = self._shown.get(update.flow.key) if update.flow and update.kind == "modified" else None
        return (known.data["packets"], known.data["bytes"]) if known else (0, 0)

    async def flows_counted(self, rows: Sequence[FlowCounters]) -> None:
        """The whole table: what it does not hold is gone."""
        changes: list[Change] = []
        await self._explain([row.flow for row in rows])
        for at in range(0, len(rows), ROWS_AT_ONCE):
            batch = rows[at : at + ROWS_AT_ONCE]
            new = [row.flow for row in batch if not self._is_shown(row.flow)]
            words = dict(zip((flow.key for flow in new), await self._printer.words(new), strict=True))
            for row in batch:
                told = words.get(row.flow.key) or self._words_of(row.flow.key)
                changes += self._show(row.flow, told, row.packets, row.bytes)
            await asyncio.sleep(0)
        present = {row.flow.key for row in rows}
        for key in [key for key in self._shown if key not in present]:
            del self._shown[key]
        keys = {shown.key for shown in self._shown.values()}
        changes += [
            Change("flow.deleted", key, None) for key in self._writer.state if key not in keys and key != MONITOR
        ]
        await self._write([*changes, *self._now("live", "")])

    async def flows_printed(self, rows: Sequence[PrintedFlow]) -> None:
        """The whole table of a bridge that only ovs-ofctl can read."""
        self._shown.clear()
        await self._explain_cookies(row.cookie for row in rows)
        table = {flow_key(row.table_id, row.priority, row.words.match): self._printed(row) for row in rows}
        state = self._writer.state
        changes = [Change("flow.changed", key, data) for key, data in table.items() if state.get(key) != data]
        changes += [Change("flow.deleted", key, None) for key in state if key not in table and key != MONITOR]
        await self._write(changes)

    def _printed(self, row: PrintedFlow) -> Data:
        return self._data(row.table_id, row.priority, row.words, row.cookie, row.packets, row.bytes)

    async def say(self, state: str, why: str) -> None:
        """How the flows are known from now on; going away begins a gap, coming back ends it."""
        await self._write([*(self._gap(True) if state == "away" else ()), *self._now(state, why)])

    def _is_shown(self, flow: WireFlow) -> bool:
        known = self._shown.get(flow.key)
        return known is not None and known.flow.instructions == flow.instructions

    def _words_of(self, key: WireKey) -> FlowWords:
        data = self._shown[key].data
        return FlowWords(data["match"], data["actions"])

    def _show(self, flow: WireFlow, words: FlowWords, packets: int, octets: int) -> list[Change]:
        known = self._shown.get(flow.key)
        data = self._data(flow.table_id, flow.priority, words, flow.cookie, packets, octets)
        key = known.key if known else flow_key(flow.table_id, flow.priority, words.match)
        self._shown[flow.key] = _Shown(flow, key, data)
        return [] if self._writer.state.get(key) == data else [Change("flow.changed", key, data)]

    def _data(self, table: int, priority: int, words: FlowWords, cookie: int, packets: int, octets: int) -> Data:
        cause = parse_cookie(cookie)
        intent = self._causes.get(cause) if cause else None
        name = TABLE_BY_ID[table].name if self._is_ours and table in TABLE_BY_ID else ""
        return {
            "table": table, "table_name": name, "priority": priority, "match": words.match, "actions": words.actions,
            "cookie": f"{cookie:#x}", "packets": packets, "bytes": octets, "foreign": cause is None,
            **cause_fields(intent),
        }  # fmt: skip

    async def _explain(self, flows: Sequence[WireFlow]) -> None:
        await self._explain_cookies(flow.cookie for flow in flows)

    async def _explain_cookies(self, cookies: Any) -> None:
        """Have the words of every cause at hand; those that are known are asked for again every now and then."""
        if self._loop.time() - self._explained_at > EXPLAIN_EVERY_S:
            self._explained_at = self._loop.time()
            self._causes = {}
        causes = {parse_cookie(cookie) for cookie in set(cookies)}
        missing = {cause for cause in causes if cause and cause not in self._causes}
        if missing:
            self._causes |= await in_rows(explain_causes, missing)

    def _gap(self, begins: bool) -> list[Change]:
        """The monitor's object with a gap begun or ended."""
        now, gaps = timezone.now().isoformat(), list(self._monitor.get("gaps", ()))
        is_open = bool(gaps) and not gaps[-1]["to"]
        if begins and not is_open:
            gaps.append({"from": now, "to": ""})
        elif not begins and is_open:
            gaps[-1] = {**gaps[-1], "to": now}
        else:
            return []
        state = "paused" if begins else self._monitor.get("state", "live")
        self._monitor = {**self._monitor, "state": state, "gaps": gaps[-MOST_GAPS:]}
        return [Change("monitor.changed", MONITOR, self._monitor)]

    def _now(self, state: str, why: str) -> list[Change]:
        ended = self._gap(False) if state in ("live", "polled") else []
        if (self._monitor.get("state"), self._monitor.get("why")) == (state, why):
            return ended
        since = timezone.now().isoformat()
        self._monitor = {"gaps": [], **self._monitor, "state": state, "why": why, "since": since}
        return [*ended, Change("monitor.changed", MONITOR, self._monitor)]

    async def _write(self, changes: list[Change]) -> None:
        """Tell at once when nothing was told lately; else let more gather for a moment."""
        await asyncio.sleep(max(self._free_at - self._loop.time(), 0))
        await asyncio.to_thread(self._writer.write, changes)
        self._free_at = self._loop.time() + PUBLISH_EVERY_S
