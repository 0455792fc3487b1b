"""The recorder of flow tables: it runs in the controller process whoever looks, and keeps what changed, when and why.

1. It has a flow monitor of its own on each bridge, so that it hears of foreign changes as of ours.
2. It holds no table: a change costs its own bytes. Every `CHECKPOINT_FLOWS` changed flows the table is read and kept.
3. While the switch paused its monitor, or nobody was connected, changes came and went untold: that is a gap, with its two
   ends. What is other after it is kept as found, not as seen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from django.db import DatabaseError, transaction
from django.utils import timezone

from portal.hosts.models import Host
from portal.networks.causes import explain_causes
from portal.networks.models import Generation
from portal.topology.bridges import bridges_of_all
from portal.topology.flow_rows import (
    FlowDelta,
    Table,
    apply_deltas,
    changed_since_checkpoint,
    deltas_of,
    diff_tables,
    is_foreign,
    pack,
    prune,
    table_at,
)
from portal.topology.models import FlowChange, FlowRecord
from sdn.controller import Controller
from sdn.controller.follow import follow_table
from sdn.model.cookie import parse_cookie
from sdn.reconcile import WireFlow
from sdn.transport.decode import FlowUpdate
from sdn.transport.openflow import ChannelError, VersionRefused
from tasks.rows import in_rows

log = logging.getLogger("hopsight.history")
CHECKPOINT_FLOWS = 5_000
SEEN_EVERY_S = 30.0
LOOK_EVERY_S = 5.0
REFUSED_S = 300.0
MOST_CAUSES, EXPLAINED_COOKIES = 6, 64
STARTED = "nobody recorded: the controller was not running, or not connected"
PAUSED = "changes came faster than they could be told: the switch paused its monitor"


async def keep_flow_history(controller: Controller) -> None:
    """Record every bridge of every host until cancelled."""
    del controller  # the recorder has connections of its own
    running: dict[tuple[str, str], asyncio.Task[None]] = {}
    turns = asyncio.Semaphore(1)
    try:
        while True:
            try:
                wanted = await in_rows(_bridges)
            except DatabaseError as problem:
                log.warning("bridges not read problem=%s", problem)
                wanted = {}
            for place in running.keys() - wanted.keys():
                running.pop(place).cancel()
            for place, socket in wanted.items():
                if place not in running or running[place].done():
                    running[place] = asyncio.create_task(_record(*place, socket, turns))
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        for task in running.values():
            task.cancel()


def _bridges() -> dict[tuple[str, str], Path]:
    folders = dict(Host.objects.order_by("id").values_list("name", "ovs_rundir"))
    return {
        (bridge.host, bridge.name): Path(folders[bridge.host]) / f"{bridge.name}.mgmt"
        for bridge in bridges_of_all(list(folders))
    }


async def _record(host: str, bridge: str, socket: Path, turns: asyncio.Semaphore) -> None:
    recorder = FlowRecorder(host, bridge)
    try:
        await follow_table(socket, recorder, turns)
    except VersionRefused as problem:
        await recorder.away(f"its flows cannot be followed: {problem}")
        await asyncio.sleep(REFUSED_S)
    except (ChannelError, OSError) as problem:
        await recorder.away(str(problem))
    except Exception:  # the process's edge: one bridge's trouble must not end the others' history
        log.exception("history host=%s bridge=%s", host, bridge)


class FlowRecorder:
    """Writes one bridge's history."""

    def __init__(self, host: str, bridge: str) -> None:
        self._host, self._bridge = host, bridge
        self._record: FlowRecord | None = None
        self._since_checkpoint = 0
        self._lost_at: datetime | None = None  # when the switch paused its monitor
        self._is_whole = False  # since we are connected
        self._loop = asyncio.get_running_loop()
        self._seen_at = 0.0

    async def whole(self, flows: Sequence[WireFlow]) -> None:
        """The table as it is: what nobody told of it is found now."""
        table = {flow.key: flow for flow in flows}
        await in_rows(self._whole, table)

    async def changed(self, updates: Sequence[FlowUpdate]) -> bool:
        """Keep what changed; the table is wanted again when much has."""
        deltas = [FlowDelta(update.flow, update.kind == "deleted") for update in updates if update.flow is not None]
        if any(update.kind == "paused" for update in updates) and self._lost_at is None:
            self._lost_at = timezone.now()
        if deltas:
            self._since_checkpoint += len(deltas)
            await in_rows(self._changed, deltas)
        elif self._loop.time() - self._seen_at > SEEN_EVERY_S:
            await in_rows(self._seen)
        return self._since_checkpoint >= CHECKPOINT_FLOWS

    async def away(self, why: str) -> None:
        """Nobody can tell from now on."""
        await in_rows(self._away, why)

    def _row(self) -> FlowRecord | None:
        if self._record is None:
            self._record = FlowRecord.objects.filter(host__name=self._host, bridge=self._bridge).first()
        return self._record

    def _whole(self, table: Table) -> None:
        now = timezone.now()
        with transaction.atomic():
            record = self._row()
            if record is None:
                host = Host.objects.get(name=self._host)
                record = self._record = FlowRecord.objects.create(host=host, bridge=self._bridge, seen_at=now)
            if not self._is_whole:
                self._since_checkpoint = changed_since_checkpoint(record)
            before = table_at(record, now)
            if before is not None:
                self._found(record, before, table)
            if before is None or self._since_checkpoint >= CHECKPOINT_FLOWS:
                packed = pack(FlowDelta(flow) for flow in table.values())
                record.checkpoints.create(at=timezone.now(), count=len(table), flows=packed)
                self._since_checkpoint = 0
            self._is_whole, self._lost_at = True, None
            self._seen()
        prune(record, now)

    def _found(self, record: FlowRecord, before: Table, table: Table) -> None:
        """The end of a gap, if there was one, and what is other after it."""
        begin = self._lost_at if self._is_whole else record.seen_at
        if begin is not None:
            why = PAUSED if self._is_whole else record.away or STARTED
            record.changes.create(at=begin, until=timezone.now(), kind=FlowChange.Kind.GAP, why=why)
        if deltas := deltas_of(diff_tables(before, table)):
            self._write(record, deltas, FlowChange.Kind.FOUND)

    def _changed(self, deltas: list[FlowDelta]) -> None:
        record = self._row()
        if record is not None:
            with transaction.atomic():
                self._write(record, deltas, FlowChange.Kind.CHANGED)
                self._seen()

    def _write(self, record: FlowRecord, deltas: list[FlowDelta], kind: FlowChange.Kind) -> None:
        last: Table = {}
        apply_deltas(last, deltas)
        gone = {delta.flow.key for delta in deltas} - last.keys()
        record.changes.create(
            at=timezone.now(), kind=kind, generation=_generation(), set_flows=len(last), removed=len(gone),
            foreign=sum(is_foreign(delta.flow) for delta in deltas), causes=_causes(delta.flow for delta in deltas),
            lines=pack(deltas),
        )  # fmt: skip

    def _seen(self) -> None:
        if record := self._row():
            self._seen_at = self._loop.time()
            FlowRecord.objects.filter(pk=record.pk).update(seen_at=timezone.now(), away="")
            record.away = ""

    def _away(self, why: str) -> None:
        if record := self._row():
            FlowRecord.objects.filter(pk=record.pk, away="").update(away=why)


def _generation() -> int:
    return next(iter(Generation.objects.filter(id=1).values_list("value", flat=True)), 0)


def _causes(flows: Iterable[WireFlow]) -> list[str]:
    """Why, in the words of now: a row may be gone when somebody reads it."""
    cookies = list(dict.fromkeys(flow.cookie for flow in flows))[:EXPLAINED_COOKIES]
    causes = [cause for cause in map(parse_cookie, cookies) if cause is not None]
    words = sorted({intent.words for intent in explain_causes(causes).values()})
    foreign = [f"foreign: cookie {cookie:#x}" for cookie in cookies if parse_cookie(cookie) is None]
    told = [*foreign, *words]
    return told[:MOST_CAUSES] + ([f"and {len(told) - MOST_CAUSES} more"] if len(told) > MOST_CAUSES else [])
