"""A predicted trace over two hosts: the value against the same unixctl calls with their text thrown away.

Both sides open their own connections in each round, as the product does for each trace; conntrack is looked up and each
step's cookie is put into words.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

from sdn.model.cookie import Cause
from sdn.model.trace import Intent
from sdn.shadow.shadow import Shadow
from sdn.trace import LiveWorld
from tests.sdn import test_controller as world

ROUNDS = 300


class _Recording(LiveWorld):
    """Remembers what was asked of the switches."""

    def __init__(self, rundirs: dict[str, Path]) -> None:
        super().__init__(rundirs)
        self.asked: list[tuple[str, ...]] = []

    def _run(self, host: str, *words: str) -> str:
        self.asked.append((host, *words))
        return super()._run(host, *words)


def trace_predicted_two_hosts() -> dict[str, object]:
    """Median time of both, taken in turn on the same switches."""
    with Shadow() as first, Shadow() as second:
        return asyncio.run(_measure({"hv1": first, "hv2": second}))


async def _measure(switches: dict[str, Shadow]) -> dict[str, object]:
    async with world._running(switches, world.WORLD) as told:
        return await asyncio.to_thread(_in_turn, switches, told)


def _explain(causes: Iterable[Cause]) -> dict[Cause, Intent]:
    """Each cause in words, from values as the rows' reader has them."""
    names = {port.id: port.name for port in world.WORLD.ports}
    return {
        cause: Intent(cause.kind.name.lower(), cause.row_id, f"Port of {names.get(cause.row_id)}") for cause in causes
    }


def _in_turn(switches: dict[str, Shadow], told: world.Told) -> dict[str, object]:
    rundirs = {name: Path(shadow.rundir) for name, shadow in switches.items()}
    recording = _Recording(rundirs)
    question = world._question(switches, told, 0, 1)
    assert world.predict(question, recording, _explain).verdict == "delivered"
    ours, reference = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        live = LiveWorld(rundirs)
        world.predict(question, live, _explain)
        live.close()
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        live = LiveWorld(rundirs)
        for host, *words in recording.asked:
            live._run(host, *words)
        live.close()
        reference.append(time.perf_counter() - began)
    mine, theirs = statistics.median(ours) * 1000, statistics.median(reference) * 1000
    how = (
        f"median of {ROUNDS}, {len(recording.asked)} unixctl calls on two switches, conntrack and intents included; "
        "reference: the same calls unparsed"
    )
    return {
        "ours": round(mine, 3),
        "reference": round(theirs, 3),
        "ratio": round(mine / theirs, 2),
        "unit": "ms",
        "how": how,
    }
