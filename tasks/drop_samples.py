"""Copies of dropped packets from the switches to those who asked: headers in words, on the topic `sample:<port>`.

What was asked is looked for twice a second; a key that is gone ends it, and its topic is emptied at once. Of a packet's
payload nothing is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import redis
from django.utils import timezone

from portal.drops.sampling import KEPT, running
from portal.live.transient import Change, TransientWriter
from portal.networks.models import Port
from sdn.model.addresses import HostName, IfaceId
from sdn.model.cookie import CauseKind, parse_cookie
from sdn.pipeline import DROP_REASON_BY_CODE, TABLE_BY_ID, Register
from sdn.transport.headers import read_headers
from sdn.transport.openflow import PacketIn
from tasks.hint_desk import HintDesk
from tasks.rows import in_rows

if TYPE_CHECKING:
    from sdn.controller import Controller

log = logging.getLogger("hopsight.drops")
LOOK_EVERY_S = 0.5
MOST_WAITING = 500


@dataclass(slots=True)
class SampleDesk:
    """Takes packet-ins of the drop table; `look` tells them."""

    _writers: dict[str, TransientWriter] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)
    _uuids: dict[int, str] = field(default_factory=dict)
    _waiting: deque[tuple[HostName, PacketIn]] = field(default_factory=lambda: deque(maxlen=MOST_WAITING))

    def take(self, host: HostName, packet: PacketIn) -> None:
        """A dropped packet's copy, from the event loop; an old one makes room where nobody looks."""
        self._waiting.append((host, packet))

    def look(self) -> frozenset[IfaceId]:
        """Tell what came, end what ended; the ports that are asked for now."""
        asked = running()
        for uuid in set(self._writers) - set(asked):
            writer = self._writers.pop(uuid)
            self._seen.pop(uuid, None)
            writer.write([Change("sample.deleted", key, None) for key in list(writer.state)])
        fresh = set(asked) - set(self._writers)
        if fresh:
            rows = Port.objects.filter(uuid__in=fresh).values_list("pk", "uuid")
            self._uuids |= {pk: str(uuid) for pk, uuid in rows}
        for uuid in fresh:
            self._writers[uuid] = TransientWriter(f"sample:{uuid}")
            self._seen[uuid] = 0
            self._writers[uuid].write([Change("sample.changed", "sample", {"until": asked[uuid]["until"], "seen": 0})])
        self._tell(asked)
        return frozenset(map(IfaceId, self._writers))

    def _tell(self, asked: dict[str, dict[str, Any]]) -> None:
        changes: dict[str, list[Change]] = {}
        while self._waiting:
            host, packet = self._waiting.popleft()
            cause = parse_cookie(packet.cookie)
            uuid = self._uuids.get(cause.row_id, "") if cause and cause.kind == CauseKind.PORT else ""
            if uuid in self._writers:
                number = self._seen[uuid] = self._seen[uuid] + 1
                data = packet_as_json(host, packet) | {"number": number}
                changes.setdefault(uuid, []).append(Change("packet.changed", f"packet:{number % KEPT}", data))
        for uuid, told in changes.items():
            head = {"until": asked[uuid]["until"], "seen": self._seen[uuid]}
            self._writers[uuid].write([*told[-KEPT:], Change("sample.changed", "sample", head)])


def packet_as_json(host: str, packet: PacketIn) -> dict[str, Any]:
    """A dropped packet as pages show it: where, why, and its headers."""
    reason = DROP_REASON_BY_CODE.get(packet.registers.get(Register.DROP_REASON, 0))
    table = TABLE_BY_ID.get(packet.registers.get(Register.DROP_TABLE, -1))
    headers = read_headers(packet.frame)
    return {
        "at": timezone.now().isoformat(), "host": host, "reason": reason.name if reason else "",
        "words": reason.words if reason else "dropped", "table": table.name if table else "",
        "summary": headers.summary, "layers": [list(layer) for layer in headers.layers], "bytes": len(packet.frame),
    }  # fmt: skip


async def keep_samples(controller: Controller, hints: HintDesk) -> None:
    """Copy until cancelled: for people who asked, and for a moment from the ports whose claims are looked at."""
    desk = SampleDesk()

    def take(host: HostName, packet: PacketIn) -> None:
        desk.take(host, packet)
        hints.take(packet)

    while True:
        try:
            controller.set_sampled(await in_rows(desk.look) | await in_rows(hints.look), take)
        except redis.RedisError as problem:
            log.warning("samples not told problem=%s", problem)
        except Exception:  # the process's edge: a copy that is late must not end the network's keeper
            log.exception("samples not told")
        await asyncio.sleep(LOOK_EVERY_S)
