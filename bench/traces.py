"""A predicted trace over two hosts: the value against the same unixctl calls with their text thrown away.

Both sides open their own connections in each round, as the product does for each trace; conntrack is looked up and each
step's cookie is put into words.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sdn.model.cookie import Cause
from sdn.model.trace import Intent
from sdn.pipeline import TABLES
from sdn.shadow.shadow import Shadow
from sdn.trace import LiveWorld
from tests.sdn import test_controller as world

ROUNDS, FLOWS = 300, 100_000


class _Recording(LiveWorld):
    """Remembers what was asked of the switches."""

    def __init__(self, rundirs: dict[str, Path]) -> None:
        super().__init__(rundirs)
        self.asked: list[tuple[str, ...]] = []

    def _run(self, host: str, *words: str) -> str:
        self.asked.append((host, *words))
        return super()._run(host, *words)


def trace_predicted() -> dict[str, dict[str, object]]:
    """Median time of both, taken in turn on the same switches: as they are, and with 100,000 flows more on each."""
    with Shadow() as first, Shadow() as second:
        return asyncio.run(_measure({"hv1": first, "hv2": second}))


async def _measure(switches: dict[str, Shadow]) -> dict[str, dict[str, object]]:
    async with world._running(switches, world.WORLD) as told:
        plain = await asyncio.to_thread(_in_turn, switches, told, "")
        await asyncio.to_thread(_fill, switches)
        full = await asyncio.to_thread(_in_turn, switches, told, "ofproto/trace")
        full["how"] = f"{full['how']}; {FLOWS:,} more flows on each switch"
        return {"trace_predicted_two_hosts": plain, "trace_predicted_100k_flows": full}


def _fill(switches: dict[str, Shadow]) -> None:
    """Foreign flows of the lowest priority in every table that the packet comes through."""
    tables = [table.table_id for table in TABLES]
    lines = (
        f"cookie=0x1,table={tables[number % len(tables)]},priority={number % 7},ip,dl_dst=0a:00:00:{number >> 16 & 255:02x}:"
        f"{number >> 8 & 255:02x}:{number & 255:02x},nw_dst=172.{16 + number % 16}.0.0/{16 + number % 13} actions=set_field:{number}->reg9"
        for number in range(FLOWS)
    )
    text = "\n".join(lines)
    for shadow in switches.values():
        shadow.ofctl("add-flows", "br-int", text)


def _explain(causes: Iterable[Cause]) -> dict[Cause, Intent]:
    """Each cause in words, from values as the rows' reader has them."""
    names = {port.id: port.name for port in world.WORLD.ports}
    return {
        cause: Intent(cause.kind.name.lower(), cause.row_id, f"Port of {names.get(cause.row_id)}") for cause in causes
    }


def _in_turn(switches: dict[str, Shadow], told: world.Told, only: str) -> dict[str, object]:
    """Ours against the calls that were made, or those of one command alone."""
    rundirs = {name: Path(shadow.rundir) for name, shadow in switches.items()}
    recording = _Recording(rundirs)
    question = world._question(switches, told, 0, 1)
    if only:
        question = replace(question, moment="first")  # no connection to be looked up: that command and no other
    assert world.predict(question, recording, _explain).verdict == "delivered"
    calls = [asked for asked in recording.asked if only in asked[1]]
    ours, reference = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        live = LiveWorld(rundirs)
        world.predict(question, live, _explain)
        live.close()
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        live = LiveWorld(rundirs)
        for host, *words in calls:
            live._run(host, *words)
        live.close()
        reference.append(time.perf_counter() - began)
    mine, theirs = statistics.median(ours) * 1000, statistics.median(reference) * 1000
    how = (
        f"median of {ROUNDS}, {len(recording.asked)} unixctl calls on two switches, {'' if only else 'conntrack and '}intents included; "
        f"reference: {f'the {len(calls)} {only} unparsed' if only else 'the same calls unparsed'}"
    )
    return {
        "ours": round(mine, 3),
        "reference": round(theirs, 3),
        "ratio": round(mine / theirs, 2),
        "unit": "ms",
        "how": how,
    }
