"""How fast flows are programmed: our bundle over our channel against `ovs-ofctl --bundle add-flows`, same switch, same flows."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sdn.compiler import compile_host
from sdn.model.flow import Flow, format_flow
from sdn.reconcile import diff_flows
from sdn.shadow import Shadow, ShadowBridge
from sdn.transport.codec import encode_flow
from sdn.transport.openflow import Channel

FLOWS = 20_000
ROUNDS = 5


def measure_flows_programmed_per_s() -> dict[str, Any]:
    """Flows a second, from Flow values to the switch's commit reply, and the reference's from its text file."""
    flows = make_flows(FLOWS)
    with Shadow() as shadow, tempfile.NamedTemporaryFile("w", suffix=".flows") as file:
        shadow.load([ShadowBridge("br-int")])
        file.write("\n".join(map(format_flow, flows)))
        file.flush()
        ours, reference = [], []
        for _ in range(ROUNDS):
            _empty(shadow)
            ours.append(asyncio.run(_program(shadow.rundir, flows)))
            _empty(shadow)
            reference.append(_reference(shadow.rundir, file.name))
    mine, theirs = FLOWS / statistics.median(ours), FLOWS / statistics.median(reference)
    how = f"median of {ROUNDS}: {FLOWS} flows encoded (cold caches) and committed in one bundle; ovs-ofctl --bundle add-flows"
    return {"ours": round(mine), "reference": round(theirs), "ratio": round(mine / theirs, 3), "unit": "flows/s", "how": how}


def make_flows(count: int) -> list[Flow]:
    """Flows as the compiler makes them, for a large network."""
    from ipaddress import IPv4Address, IPv4Network

    from sdn.model.addresses import HostName, IfaceId, Mac, Vni
    from sdn.model.intent import HostIntent, HostView, IntentSnapshot, NetworkIntent, PortIntent, SubnetIntent

    here, there = HostName("hv1"), HostName("hv2")
    subnet = SubnetIntent(1, IPv4Network("10.0.0.0/8"), IPv4Address("10.0.0.1"), ())
    network = NetworkIntent(1, "big", Vni(4097), 1, 1450, Mac("52:54:00:ff:00:01"), (subnet,))
    size = count // 8
    ports = tuple(
        PortIntent(
            number, IfaceId(f"i{number}"), 1, here if number % 2 else there, Mac(f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"),
            (IPv4Address("10.0.1.0") + number,), f"vm{number}",
        )
        for number in range(1, size)
    )  # fmt: skip
    hosts = (HostIntent(1, here, IPv4Address("192.0.2.1")), HostIntent(2, there, IPv4Address("192.0.2.2")))
    view = HostView(here, tuple((port.iface_id, 10 + port.id) for port in ports if port.host == here), 1)
    # the two floods of so large a network are one action list of thousands: not what is measured
    flows = [flow for flow in compile_host(IntentSnapshot(1, hosts, (network,), ports), view) if len(flow.actions) < 20]
    return flows[:count]


def _empty(shadow: Shadow) -> None:
    shadow.set_flows("br-int", "")


def _reference(rundir: Path, file: str) -> float:
    started = time.perf_counter()
    argv = ["ovs-ofctl", "-O", "OpenFlow14", "--bundle", "add-flows", f"unix:{rundir}/br-int.mgmt", file]
    subprocess.run(argv, check=True)
    return time.perf_counter() - started


async def _program(rundir: Path, flows: list[Flow]) -> float:
    """Seconds from Flow values to the commit's reply. We connect to the bridge's own socket: the channel has no sides."""
    for cache in CACHES:
        cache.cache_clear()
    ready: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
    _, channel = await asyncio.get_running_loop().create_unix_connection(
        lambda: Channel(ready.set_result, lambda channel, why: None, lambda channel, packet: None),
        f"{rundir}/br-int.mgmt",
    )
    await ready
    started = time.perf_counter()
    await channel.apply(diff_flows({}, [encode_flow(flow) for flow in flows]))
    took = time.perf_counter() - started
    channel.close("measured")
    return took


def _caches() -> list[Any]:
    from sdn.transport import codec

    return [value for value in vars(codec).values() if hasattr(value, "cache_clear")]


CACHES = _caches()

if __name__ == "__main__":
    if "--profile" in sys.argv:
        import cProfile

        cProfile.run("measure_flows_programmed_per_s()", sort="tottime")
    print(measure_flows_programmed_per_s())
