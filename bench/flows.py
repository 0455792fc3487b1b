"""Flows into a switch: our channel's bundle against ovs-ofctl's, the same 20,000 flows on the same switch."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import time
from pathlib import Path

from sdn.model.cookie import Cause, CauseKind, format_cookie
from sdn.model.flow import Flow, FlowKey
from sdn.reconcile import Plan
from sdn.shadow.shadow import Shadow
from sdn.transport.codec import encode_flow
from sdn.transport.openflow import Channel

COUNT, ROUNDS = 20_000, 5


def make_flows() -> list[Flow]:
    """20,000 flows like a port's own: a match of three fields, two actions."""
    cookie = format_cookie(Cause(CauseKind.PORT, 1))
    return [
        Flow(
            FlowKey(
                50,
                100,
                (("dl_dst", f"52:54:00:{n >> 16 & 255:02x}:{n >> 8 & 255:02x}:{n & 255:02x}"), ("reg1", "0x1001")),
            ),
            cookie,
            (f"set_field:{n + 1:#x}->reg2", "goto_table:60"),
        )
        for n in range(COUNT)
    ]


def flows_programmed_per_s() -> dict[str, object]:
    """Compile's output to the switch's commit reply, encoding included; the reference reads a file of the same flows."""
    ours, reference = [], []
    with Shadow() as shadow:
        subprocess.run(["ovs-vsctl", f"--db=unix:{shadow.rundir}/db.sock", "add-br", "b", "--", "set", "bridge", "b", "datapath_type=dummy", "fail_mode=secure"], check=True)  # fmt: skip
        switch = f"unix:{shadow.rundir}/b.mgmt"
        text = Path(shadow.rundir) / "flows.txt"
        text.write_text("\n".join(_line(flow) for flow in make_flows()) + "\n")
        for _ in range(ROUNDS):
            ours.append(asyncio.run(_ours(Path(shadow.rundir) / "b.mgmt", switch)))
            _clear(switch)
            began = time.perf_counter()
            subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", "--bundle", "add-flows", switch, str(text)], check=True)
            reference.append(COUNT / (time.perf_counter() - began))
            _clear(switch)
    mine, theirs = statistics.median(ours), statistics.median(reference)
    how = f"median of {ROUNDS}, {COUNT} flows in one bundle; reference: ovs-ofctl --bundle add-flows"
    return {
        "ours": round(mine),
        "reference": round(theirs),
        "ratio": round(mine / theirs, 3),
        "unit": "flows/s",
        "how": how,
    }


def _line(flow: Flow) -> str:
    match = ",".join(f"{name}={value}" for name, value in flow.key.match)
    return f"cookie={flow.cookie:#x},table={flow.key.table_id},priority={flow.key.priority},{match},actions={','.join(flow.actions)}"


def _clear(switch: str) -> None:
    subprocess.run(["ovs-ofctl", "-O", "OpenFlow14", "del-flows", switch], check=True)


async def _ours(path: Path, switch: str) -> float:
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    transport, channel = await loop.create_unix_connection(
        lambda: Channel(lambda _: ready.set(), lambda *_: None, lambda *_: None), str(path)
    )
    await asyncio.wait_for(ready.wait(), 5)
    flows = make_flows()
    began = time.perf_counter()
    await channel.apply(Plan(tuple(encode_flow(flow) for flow in flows), (), ()))
    took_s = time.perf_counter() - began
    present = subprocess.run(
        ["ovs-ofctl", "-O", "OpenFlow14", "dump-aggregate", switch], capture_output=True, text=True, check=True
    )
    assert f"flow_count={COUNT}" in present.stdout, present.stdout
    transport.close()
    return COUNT / took_s
