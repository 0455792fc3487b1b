"""Rate limits with real packets: what a limited port sends and receives, by iperf3 between namespaces.

[vm-0]--[br-int@hv1]--[vm-1]: vm-0 may send 8 Mbit/s and receive 4
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab.commands import run
from lab.paths import HypervisorPaths
from sdn.model.intent import IntentSnapshot, RateLimit
from tests.lab.seats import Keeper, netns_of, plug, unplug
from tests.sdn.worlds import make_world
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
PLAIN = make_world(1, 1, [(0, 0), (0, 0)])
SENDS, RECEIVES = RateLimit(8_000, 2_400), RateLimit(4_000, 1_200)
HOLDS = 0.15
SECONDS = 4


def _limited(generation: int, sends: RateLimit | None, receives: RateLimit | None) -> IntentSnapshot:
    first, *others = PLAIN.ports
    return replace(PLAIN, generation=generation, ports=(replace(first, sends=sends, receives=receives), *others))


class Bench:
    """The lab's first hypervisor with two guests; iperf3 measures from the first to the second."""

    def __init__(self, name: str, keeper: Keeper) -> None:
        self.name, self.keeper, self.generation = name, keeper, 1

    def limit(self, sends: RateLimit | None, receives: RateLimit | None) -> None:
        self.generation += 1
        snapshot = _limited(self.generation, sends, receives)
        self.keeper.set_intent(snapshot)
        wait_for(lambda: self.keeper.has(snapshot), 20, "the limits are in force")

    def kbps(self, *options: str) -> float:
        """What arrives in a second, after the burst at the beginning."""
        client, server = (["ip", "netns", "exec", netns_of(self.name, port)] for port in PLAIN.ports)
        words = ["-J", "-O", "1", "-t", str(SECONDS), "-c", str(PLAIN.ports[1].addresses[0]), *options]
        with subprocess.Popen(
            [*server, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL
        ) as once:  # a server of one use is never busy
            try:
                wait_for(lambda: run(*server, "ss", "-Hltn", "sport = :5201"), 10, "iperf3 listens")
                done = subprocess.run(
                    [*client, "iperf3", *words], capture_output=True, text=True, timeout=60, check=False
                )
            finally:
                once.terminate()
        told = json.loads(done.stdout)
        assert "error" not in told, told["error"]
        end = told["end"]
        return float(end.get("sum_received", end.get("sum", {}))["bits_per_second"]) / 1000


@pytest.fixture(scope="module")
def bench(lab: tuple[HypervisorPaths, ...]) -> Iterator[Bench]:
    name, keeper = lab[0].root.parent.name, Keeper(lab[:1])
    try:
        keeper.set_intent(_limited(1, None, None))
        wait_for(lambda: len(keeper.wired) == 1, 30, "the switch connects")
        for port in PLAIN.ports:
            plug(name, lab[0], port)
        wait_for(lambda: keeper.has(_limited(1, None, None)), 30, "every port is wired")
        yield Bench(name, keeper)
    finally:
        keeper.close()
        for port in PLAIN.ports:
            unplug(name, lab[0], port)
        run("ovs-vsctl", f"--db={lab[0].ovsdb}", "--if-exists", "del-br", "br-int")


def test_a_limit_holds_in_both_directions_for_tcp_and_udp_and_none_is_much_more(bench: Bench) -> None:
    free = bench.kbps()
    assert free > 4 * SENDS.rate_kbps, f"without a limit {free:.0f} kbit/s: too little to tell"
    bench.limit(SENDS, RECEIVES)
    measured = {
        "tcp sent": (bench.kbps(), SENDS), "tcp received": (bench.kbps("-R"), RECEIVES),
        "udp sent": (bench.kbps("-u", "-b", "30M"), SENDS), "udp received": (bench.kbps("-R", "-u", "-b", "30M"), RECEIVES),
    }  # fmt: skip
    for way, (kbps, limit) in measured.items():
        assert abs(kbps / limit.rate_kbps - 1) <= HOLDS, f"{way}: {kbps:.0f} kbit/s, not {limit.rate_kbps}"
    bench.limit(None, None)
    assert bench.kbps() > 4 * SENDS.rate_kbps, "a limit taken back holds no more"
