"""Counters into samples: what grew between two looks, by the time between them, every ten seconds into `Samples`.

The collector samples VMs, hosts and what a team's VMs use; the controller samples ports, and with them teams and drops.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db.models import Sum

from portal.drops.models import DropCounter
from portal.history import series
from portal.history.series import SAMPLE_S
from portal.history.store import write_samples
from portal.metrics.tally import PortCount
from portal.networks.models import Port
from sdn.pipeline import DROP_REASONS

OLD_S = 6 * SAMPLE_S  # counters older than this say nothing of the last ten seconds
OWNERS_S = 60.0
REASON_PLACE = {reason.name: place for place, reason in enumerate(DROP_REASONS)}
Values = tuple[float, ...]


@dataclass(slots=True)
class Rates:
    """What counters grew by a second since they were last looked at; nothing in the first look and after a new start."""

    _last: dict[object, tuple[float, Values]] = field(default_factory=dict)

    def of(self, key: object, at: float, counts: Values) -> Values | None:
        then = self._last.get(key)
        self._last[key] = (at, counts)
        if then is None or not 0.5 < at - then[0] < OLD_S:
            return None
        grown = tuple(now - before for now, before in zip(counts, then[1], strict=True))
        return None if min(grown) < 0 else tuple(one / (at - then[0]) for one in grown)

    def forget(self, before: float) -> None:
        """Let go of what was not looked at since then."""
        for key in [key for key, (at, _) in self._last.items() if at < before]:
            del self._last[key]


@dataclass(frozen=True, slots=True)
class _Owner:
    port_id: int
    team_id: int


class PortSampler:
    """Samples of ports, and of teams' traffic and drops."""

    def __init__(self) -> None:
        self._rates = Rates()
        self._drops = Rates()
        self._owners: dict[str, _Owner] = {}
        self._owners_at = -math.inf

    def take(self, counts: Mapping[str, PortCount], at_s: int, at: float) -> None:
        """Write one step's samples of the ports, by uuid, as they counted at the monotonic time `at`."""
        self._learn(counts, at)
        dropped, reasons = self._dropped(at)
        ports: dict[int, Values] = {}
        teams: dict[int, list[float]] = defaultdict(lambda: [0.0] * len(series.TEAM.fields))
        for uuid, one in counts.items():
            owner = self._owners.get(uuid)
            grown = self._rates.of(uuid, at, (one.rx_bytes, one.tx_bytes, one.rx_packets, one.tx_packets, one.lost))
            if owner is None or grown is None:
                continue
            line = (8 * grown[0], 8 * grown[1], *grown[2:], dropped.get(owner.port_id, 0.0))
            ports[owner.port_id] = line
            for place, value in enumerate(line):
                teams[owner.team_id][place] += value
        self._rates.forget(at - OLD_S)
        write_samples(series.PORT, at_s, ports)
        write_samples(series.TEAM, at_s, {team: tuple(line) for team, line in teams.items()})
        write_samples(series.DROPS, at_s, {team: tuple(line) for team, line in reasons.items()})

    def _learn(self, counts: Mapping[str, PortCount], at: float) -> None:
        """Whose the ports are; asked again when one is new, and every minute."""
        if at - self._owners_at < OWNERS_S and counts.keys() <= self._owners.keys():
            return
        rows = Port.objects.values_list("uuid", "id", "vm__team_id", "network__team_id")
        self._owners = {str(uuid): _Owner(pk, team or own) for uuid, pk, team, own in rows if team or own}
        self._owners_at = at

    def _dropped(self, at: float) -> tuple[dict[int, float], dict[int, list[float]]]:
        """Packets dropped a second: by port, and by team and reason."""
        rows = DropCounter.objects.filter(port__isnull=False).values_list("port_id", "reason").annotate(Sum("packets"))
        teams = {owner.port_id: owner.team_id for owner in self._owners.values()}
        ports: dict[int, float] = defaultdict(float)
        reasons: dict[int, list[float]] = defaultdict(lambda: [0.0] * len(DROP_REASONS))
        for port_id, reason, packets in rows.order_by():
            grown = self._drops.of((port_id, reason), at, (packets,))
            if grown is None or reason not in REASON_PLACE:
                continue
            ports[port_id] += grown[0]
            if (team := teams.get(port_id)) is not None:
                reasons[team][REASON_PLACE[reason]] += grown[0]
        self._drops.forget(at - OLD_S)
        return ports, reasons
