"""What addresses guests claim on the wire, seen by the switches, into hints; and the judging of all hints.

Port security drops what a guest sends from an address that is not its own, and counts it for the port. That counter is
the cheap watcher: only a port whose counter of refused claims grows is looked at, by metered copies of what is dropped
for it (the flows that `drop_samples` has for people), for `ARMED_S` and then not for `REST_S`. A well-behaved guest costs
nothing; one that floods costs one look a minute, of at most the meter's packets, and takes its turn among `MOST_ARMED`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import redis
from django.db import DatabaseError

from portal.networks.hints import Seen, forget_old, judge, note_dhcp, note_hints
from portal.networks.models import Port
from sdn.controller.claims import CLAIM_REASONS, read_claim
from sdn.model.addresses import IfaceId
from sdn.model.cookie import CauseKind, parse_cookie
from sdn.pipeline import DROP_REASON_BY_CODE, Register
from sdn.transport.openflow import PacketIn
from tasks.rows import in_rows

if TYPE_CHECKING:
    from sdn.controller import Controller

log = logging.getLogger("hopsight.hints")
LOOK_EVERY_S = 1.0
JUDGE_EVERY_S = 10.0
ARMED_S = 5.0
REST_S = 60.0
MOST_ARMED = 8
MOST_SUSPECTS = 1000
MOST_WAITING = 500


@dataclass(slots=True)
class HintDesk:
    """Chooses the ports that are looked at (`suspect`, `look`), reads their frames (`take`), writes what they claim (`run`)."""

    clock: Callable[[], float] = time.monotonic
    _suspects: dict[int, None] = field(default_factory=dict)  # in the order that they wait in
    _armed: dict[int, tuple[IfaceId, float]] = field(default_factory=dict)  # port id → until when
    _rests: dict[int, float] = field(default_factory=dict)
    _waiting: deque[Seen] = field(default_factory=lambda: deque(maxlen=MOST_WAITING))

    def suspect(self, grown: Mapping[int, Mapping[str, float]]) -> None:
        """Packets of these ports were dropped just now, for these reasons."""
        for port_id, reasons in grown.items():
            is_new = port_id not in self._armed and port_id not in self._rests
            if is_new and not CLAIM_REASONS.isdisjoint(reasons) and len(self._suspects) < MOST_SUSPECTS:
                self._suspects.setdefault(port_id)

    def look(self) -> frozenset[IfaceId]:
        """The ports to look at now. Those whose time is over rest, and the longest waiting take their places."""
        now = self.clock()
        for port_id in [one for one, (_, until) in self._armed.items() if until <= now]:
            del self._armed[port_id]
            self._rests[port_id] = now + REST_S
        for port_id in [one for one, until in self._rests.items() if until <= now]:
            del self._rests[port_id]
        chosen = list(self._suspects)[: MOST_ARMED - len(self._armed)]
        for port_id in chosen:
            del self._suspects[port_id]
        if chosen:
            rows = Port.objects.filter(pk__in=chosen).values_list("pk", "uuid")
            self._armed |= {pk: (IfaceId(str(uuid)), now + ARMED_S) for pk, uuid in rows}
        return frozenset(iface for iface, _ in self._armed.values())

    def take(self, packet: PacketIn) -> None:
        """A dropped packet's copy, from the event loop."""
        reason = DROP_REASON_BY_CODE.get(packet.registers.get(Register.DROP_REASON, 0))
        cause = parse_cookie(packet.cookie)
        if reason is None or reason.name not in CLAIM_REASONS or cause is None or cause.kind != CauseKind.PORT:
            return
        if (claim := read_claim(packet.frame)) is not None:
            self._waiting.append(Seen(cause.row_id, claim[1], claim[0]))

    def write(self) -> bool:
        """Note what was claimed since the last time; whether anything is new."""
        seen = set()
        while self._waiting:
            seen.add(self._waiting.popleft())
        return bool(seen) and note_hints(seen) > 0

    async def run(self, controller: Controller) -> None:
        """Write and judge until cancelled."""
        judged_at = 0.0
        while True:
            try:
                if asked := controller.asked_dhcp():
                    await in_rows(note_dhcp, asked)
                if await in_rows(self.write) or self.clock() - judged_at > JUDGE_EVERY_S:
                    await in_rows(forget_old)
                    await in_rows(judge)
                    judged_at = self.clock()
            except (DatabaseError, redis.RedisError) as problem:
                log.warning("hints not written problem=%s", problem)
            except Exception:  # the process's edge: a hint that is late must not end the network's keeper
                log.exception("hints not written")
            await asyncio.sleep(LOOK_EVERY_S)
