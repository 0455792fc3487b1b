"""100,000 flows into a switch in one bundle, and read back and compared as after a reconnect: ours against ovs-ofctl."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sdn.model.cookie import Cause, CauseKind, format_cookie
from sdn.model.flow import Flow, FlowKey, format_flow
from sdn.reconcile import Plan, diff_flows
from sdn.shadow.shadow import Shadow, ShadowBridge
from sdn.transport.codec import encode_flow
from sdn.transport.openflow import open_channel
from tasks.process import settle_process

COUNT, ROUNDS = 100_000, 3


def make_flows() -> list[Flow]:
    """100,000 flows like a port's own: a match of two fields, two actions."""
    cookie = format_cookie(Cause(CauseKind.PORT, 1))
    return [
        Flow(
            FlowKey(50, 100, (("reg1", "0x1001"), ("dl_dst", _mac(number)))),
            cookie,
            (f"set_field:{number + 1:#x}->reg2", "goto_table:60"),
        )
        for number in range(COUNT)
    ]


def _mac(number: int) -> str:
    return f"52:54:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def flows_programmed_per_s() -> dict[str, object]:
    """Compile's output to the switch's commit reply, encoding included; the reference reads a file of the same flows."""
    settle_process()  # as the controller does
    ours, reference = [], []
    with _switch() as (rundir, switch):
        text = rundir / "flows.txt"
        text.write_text("\n".join(map(format_flow, make_flows())) + "\n")
        for _ in range(ROUNDS):
            ours.append(COUNT / asyncio.run(_program(rundir / "b.mgmt", switch)))
            _clear(switch)
            began = time.perf_counter()
            subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", "--bundle", "add-flows", switch, str(text)], check=True)
            reference.append(COUNT / (time.perf_counter() - began))
            _clear(switch)
    how = f"median of {ROUNDS}, {COUNT} flows in one bundle, with the controller's settings of garbage collection and malloc; reference: ovs-ofctl --bundle add-flows"
    return _figure(ours, reference, "flows/s", how, 0)


def reconnect_resync_s() -> dict[str, object]:
    """A new channel until every flow is read and compared with the desired ones; the reference only prints them."""
    ours, reference = [], []
    desired = [encode_flow(flow) for flow in make_flows()]
    with _switch() as (rundir, switch):
        text = rundir / "flows.txt"
        text.write_text("\n".join(map(format_flow, make_flows())) + "\n")
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", "--bundle", "add-flows", switch, str(text)], check=True)

        async def resync() -> float:
            began = time.perf_counter()
            channel = await open_channel(str(rundir / "b.mgmt"))
            plan = diff_flows({flow.key: flow for flow in await channel.dump_flows()}, desired)
            took_s = time.perf_counter() - began
            channel.close("measured")
            assert plan.is_empty, "the switch has other flows than were put there"
            return took_s

        for _ in range(ROUNDS):
            ours.append(asyncio.run(resync()))
            began = time.perf_counter()
            argv = ["ovs-ofctl", "-O", "OpenFlow14", "dump-flows", switch]
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
            reference.append(time.perf_counter() - began)
    how = f"median of {ROUNDS}, {COUNT} flows dumped, decoded, diffed; reference: ovs-ofctl dump-flows of the same"
    return _figure(ours, reference, "s", how, 3)


def _figure(ours: list[float], reference: list[float], unit: str, how: str, digits: int) -> dict[str, object]:
    mine, theirs = statistics.median(ours), statistics.median(reference)
    return {
        "ours": round(mine, digits),
        "reference": round(theirs, digits),
        "ratio": round(mine / theirs, 3),
        "unit": unit,
        "how": how,
    }


@contextmanager
def _switch() -> Iterator[tuple[Path, str]]:
    with Shadow() as shadow:
        shadow.load([ShadowBridge("b")])
        yield Path(shadow.rundir), f"unix:{shadow.rundir}/b.mgmt"


def _clear(switch: str) -> None:
    subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", "del-flows", switch], check=True)


async def _program(path: Path, switch: str) -> float:
    channel = await open_channel(str(path))
    flows = make_flows()
    began = time.perf_counter()
    await channel.apply(Plan(tuple(encode_flow(flow) for flow in flows), (), ()))
    took_s = time.perf_counter() - began
    argv = ["ovs-ofctl", "-O", "OpenFlow14", "dump-aggregate", switch]
    present = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert f"flow_count={COUNT}" in present.stdout, present.stdout
    channel.close("measured")
    return took_s
