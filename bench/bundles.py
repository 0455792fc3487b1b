"""Loading a node into a shadow: everything that a trace needs, against `ovs-ofctl add-flows` of the same lines."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from sdn.bundle.load import BundleShadow
from sdn.bundle.read import Bundle
from sdn.bundle.values import BundleBridge, BundleInterface, BundlePort
from sdn.shadow import Shadow

ROUNDS, PORTS = 5, 12


def shadow_load_ms() -> dict[str, dict[str, object]]:
    """A node of three bridges and 160 flows (start of the daemons included), and 100,000 flows on one bridge."""
    return {"shadow_load_ms": _node(), "shadow_load_100k_ms": _many()}


def _bridge(name: str, flows: int) -> BundleBridge:
    lines = tuple(
        f"cookie=0x1, table={number % 20}, priority=100,dl_dst=52:54:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:"
        f"{number & 255:02x} actions=set_field:0x{number + 1:x}->reg2,resubmit(,60)"
        for number in range(flows)
    )
    ports = tuple(BundlePort(f"{name}p{n}", (BundleInterface(f"{name}p{n}", n + 1),)) for n in range(PORTS))
    return BundleBridge(name, ports, lines)


def _node() -> dict[str, object]:
    bundle = Bundle("node", tuple(_bridge(name, 54) for name in ("ba", "bb", "bc")), "", (), ())
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with BundleShadow(bundle) as loaded:
            assert not loaded.problems, loaded.problems
            took.append((time.perf_counter() - began) * 1000)
    how = f"median of {ROUNDS}: daemons started, three bridges, 36 ports, 162 flows; the limit is 300 ms"
    return {"ours": round(statistics.median(took), 1), "reference": 300, "ratio": round(statistics.median(took) / 300, 2), "unit": "ms", "how": how}  # fmt: skip


def _many() -> dict[str, object]:
    bridge = _bridge("ba", 100_000)
    bundle = Bundle("node", (bridge,), "", (), ())
    ours, reference = [], []
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "flows"
        text.write_text("\n".join(bridge.flows) + "\n")
        for _ in range(3):
            began = time.perf_counter()
            with BundleShadow(bundle):
                ours.append((time.perf_counter() - began) * 1000)
            with Shadow() as shadow:
                shadow.vsctl("add-br", "ba", "--", "set", "bridge", "ba", "datapath_type=dummy")
                began = time.perf_counter()
                shadow.ofctl_words("add-flows", "ba", str(text))
                reference.append((time.perf_counter() - began) * 1000)
    mine, theirs = statistics.median(ours), statistics.median(reference)
    how = "median of 3, 100,000 flows, daemons' start included; reference: ovs-ofctl add-flows of the same file"
    return {"ours": round(mine), "reference": round(theirs), "ratio": round(mine / theirs, 2), "unit": "ms", "how": how}
