"""What the switches drop, into `DropCounter` and onto the topics `drops:<team>`, every two seconds.

The flows that drop are asked for by their cookies' mark, so a look costs what they are, not what the table is. Only what
grew is written. A flow that was installed anew counts from nothing; a controller that starts again goes on from what the
rows say was seen last.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import redis
from django.db import DatabaseError, transaction
from django.utils import timezone

from portal.drops.models import DropCounter
from portal.drops.presentation import drops_as_json, drops_of_port
from portal.hosts.models import Host
from portal.live.transient import Change, TransientWriter
from portal.networks.models import Port
from portal.networks.owners import owner_of
from sdn.controller.drops import DropCount
from sdn.controller.probing import ProbedDrop
from sdn.model.cookie import CauseKind
from tasks.hint_desk import HintDesk
from tasks.rows import in_rows

if TYPE_CHECKING:
    from sdn.controller import Controller

log = logging.getLogger("hopsight.drops")
LOOK_EVERY_S = 2.0
LOOK_SHARE = 9.0  # a look that takes t seconds is followed by at least this many t of rest
QUIET_S = 30.0  # a team's topic is kept this long behind its last drop
PROBED_LOOKS = 3  # so many looks a probe's drop is waited for in the counters of the flow that dropped it


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What drops are put down to: a row of one kind, and the reason."""

    kind: int
    row_id: int
    reason: str


@dataclass(slots=True)
class Sum:
    """What a key's flows say now, and what of it is new."""

    packets: int = 0
    bytes: int = 0
    new_packets: int = 0
    new_bytes: int = 0
    probes: int = 0  # taken off what is new


@dataclass(slots=True)
class Ledger:
    """One host's flows as they were counted last; `None` before the first look of this process. `probed` are drops of probes
    that no look has shown yet, each with the looks that it is still waited for."""

    last: dict[Hashable, tuple[int, int]] | None = None
    probed: list[tuple[ProbedDrop, int]] = field(default_factory=list)

    def take(self, counts: Iterable[DropCount], probed: Iterable[ProbedDrop] = ()) -> dict[Key, Sum]:
        """The sums by key, without the probes among them. In the first look nothing is new: `settle` says what is."""
        sums: dict[Key, Sum] = {}
        seen: dict[Hashable, tuple[int, int]] = {}
        for count in counts:
            seen[count.key] = (count.packets, count.bytes)
            before = (self.last or {}).get(count.key, (0, 0))
            if count.packets < before[0]:
                before = (0, 0)
            for key in keys_of(count):
                total = sums.setdefault(key, Sum())
                total.packets += count.packets
                total.bytes += count.bytes
                if self.last is not None:
                    total.new_packets += count.packets - before[0]
                    total.new_bytes += max(count.bytes - before[1], 0)
        self.last = seen
        self.probed = _take_off(sums, [*self.probed, *((one, PROBED_LOOKS) for one in probed)])
        return sums


def _take_off(sums: Mapping[Key, Sum], probed: Iterable[tuple[ProbedDrop, int]]) -> list[tuple[ProbedDrop, int]]:
    """Nobody's traffic is dropped by what we asked ourselves. The drops that are still to be waited for come back."""
    waiting = []
    for one, looks in probed:
        total = sums.get(Key(int(CauseKind.PORT), one.port_id, one.reason))
        if total is not None and total.new_packets:
            total.new_packets, total.new_bytes = total.new_packets - 1, max(total.new_bytes - one.bytes, 0)
            total.probes += 1
        elif looks > 1:
            waiting.append((one, looks - 1))
    return waiting


def keys_of(count: DropCount) -> list[Key]:
    """What a flow's count is put down to: its port or other row, and the host's sum when it is the drop table's."""
    keys = []
    if count.port_id is not None:
        keys.append(Key(int(CauseKind.PORT), count.port_id, count.reason.name))
    if count.is_total:
        keys.append(Key(int(CauseKind.SYSTEM), 0, count.reason.name))
    elif count.cause.kind not in (CauseKind.PORT, CauseKind.SYSTEM):
        keys.append(Key(int(count.cause.kind), count.cause.row_id, count.reason.name))
    return keys


@dataclass(slots=True)
class DropDesk:
    """Takes readings of all hosts to the rows and to those who look."""

    _ledgers: dict[str, Ledger] = field(default_factory=dict)
    _writers: dict[str, tuple[TransientWriter, float]] = field(default_factory=dict)
    _dropping: dict[int, dict[str, float]] = field(default_factory=dict)  # port id → reason → packets a second
    _looked_at: float = 0.0

    def take(
        self, counted: Mapping[str, Iterable[DropCount]], probed: Iterable[ProbedDrop] = ()
    ) -> dict[int, dict[str, float]]:
        """Write what is new, but for probes, and tell it; port id → reason → packets a second, of what grew."""
        ours: dict[str, list[ProbedDrop]] = {}
        for one in probed:
            ours.setdefault(str(one.host), []).append(one)
        now = time.monotonic()
        gap_s = max(now - self._looked_at, 0.5) if self._looked_at else LOOK_EVERY_S
        grown: dict[int, dict[str, float]] = {}
        for host, counts in counted.items():
            ledger = self._ledgers.pop(host, None)
            sums = (kept := ledger or Ledger()).take(counts, ours.get(host, ()))
            keys = _write(host, sums, settle=ledger is None)
            self._ledgers[host] = kept  # only now: what was not written down is settled by the rows at the next look
            for key in keys:
                if key.kind == CauseKind.PORT:
                    grown.setdefault(key.row_id, {})[key.reason] = round(sums[key].new_packets / gap_s, 1)
        self._looked_at = now
        self._tell(grown, now)
        return grown

    def _tell(self, grown: dict[int, dict[str, float]], now: float) -> None:
        """A port that drops, and once more one that has stopped."""
        ids = {*grown, *self._dropping}
        self._dropping = grown
        ports = Port.objects.filter(pk__in=ids).select_related("network__team", "vm__team") if ids else ()
        changes: dict[str, list[Change]] = {}
        for port in ports:
            data = drops_as_json(drops_of_port(port), grown.get(port.pk, {}))
            changes.setdefault(owner_of(port).slug, []).append(Change("port.changed", f"port:{port.uuid}", data))
        for slug in {*changes, *self._writers}:
            writer, since = self._writers.get(slug) or (_writer(slug), now)
            if slug in changes:
                since = now
            elif now - since > QUIET_S:
                del self._writers[slug]
                continue
            self._writers[slug] = (writer, since)
            if slug in changes:
                writer.write(changes[slug])


def _writer(slug: str) -> TransientWriter:
    writer = TransientWriter(f"drops:{slug}")
    writer.load()
    return writer


def _write(host_name: str, sums: Mapping[Key, Sum], *, settle: bool) -> list[Key]:
    """Add what is new to the host's rows; the keys that grew. With `settle`, the rows say what was counted before."""
    changed = {key: total for key, total in sums.items() if settle or total.new_packets or total.probes}
    if not changed:
        return []
    with transaction.atomic():
        host = Host.objects.filter(name=host_name).first()
        if host is None:
            return []
        rows = {Key(row.kind, row.row_id, row.reason): row for row in DropCounter.objects.select_for_update().filter(host=host)}  # fmt: skip
        ports = set(Port.objects.filter(pk__in=_port_ids(changed)).values_list("pk", flat=True))
        fresh, grown, now = [], [], timezone.now()
        for key, total in sorted(changed.items()):
            row = rows.get(key)
            if settle:
                _settle(total, row)
            if key.kind == CauseKind.PORT and key.row_id not in ports:
                continue
            if not total.new_packets:
                if total.probes and row is not None:  # so that a controller that starts again counts from here
                    row.seen_packets, row.seen_bytes = total.packets, total.bytes
                    fresh.append(row)
                continue
            grown.append(key)
            if row is None:
                port_id = key.row_id if key.kind == CauseKind.PORT else None
                row = DropCounter(host=host, kind=key.kind, row_id=key.row_id, reason=key.reason, port_id=port_id)
            row.packets += total.new_packets
            row.bytes += total.new_bytes
            row.seen_packets, row.seen_bytes, row.last_at = total.packets, total.bytes, now
            fresh.append(row)
        made, kept = [row for row in fresh if row.pk is None], [row for row in fresh if row.pk is not None]
        DropCounter.objects.bulk_create(made)
        DropCounter.objects.bulk_update(kept, ["packets", "bytes", "seen_packets", "seen_bytes", "last_at"], 200)
        return grown


def _settle(total: Sum, row: DropCounter | None) -> None:
    """What is new since another process counted; flows that count less than then were installed anew."""
    before = (row.seen_packets, row.seen_bytes) if row is not None else (0, 0)
    if total.packets < before[0]:
        before = (0, 0)
    total.new_packets, total.new_bytes = total.packets - before[0], max(total.bytes - before[1], 0)


def _port_ids(keys: Iterable[Key]) -> list[int]:
    return [key.row_id for key in keys if key.kind == CauseKind.PORT]


async def keep_drops(controller: Controller, hints: HintDesk) -> None:
    """Count until cancelled; ports that are refused for what they claim to be are looked at closer."""
    desk = DropDesk()
    while True:
        began = time.monotonic()
        try:
            counted = await controller.drops_counted()
            by_host = {str(host): counts for host, counts in counted.items()}
            hints.suspect(await in_rows(desk.take, by_host, controller.probes.take_dropped()))
        except (DatabaseError, redis.RedisError) as problem:
            log.warning("drops not written problem=%s", problem)
        except Exception:  # the process's edge: a count that is late must not end the network's keeper
            log.exception("drops not counted")
        took_s = time.monotonic() - began
        await asyncio.sleep(max(LOOK_EVERY_S - took_s, took_s * LOOK_SHARE, 0.1))
