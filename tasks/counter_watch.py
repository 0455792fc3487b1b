"""What the flows along a trace count, once a second on the topic `counters:<trace>`, packets and bits a second too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.hosts.models import Host
from portal.live.transient import Change, TransientWriter
from portal.traces.models import TraceRequest
from sdn.transport.decode import FlowCounters
from sdn.transport.flowprint import FlowPrinter
from sdn.transport.openflow import Channel, open_channel
from tasks.flow_watch import flow_key
from tasks.rows import in_rows

COUNTERS_EVERY_S = 1.0


@dataclass(slots=True)
class _Bridge:
    """One bridge along the path: which of its flows are wanted, and the channel to ask over."""

    host: str
    socket: Path
    keys: set[str]
    channel: Channel | None = None
    last: dict[str, tuple[float, int, int]] = field(default_factory=dict)


async def watch_counters(uuid: str) -> None:
    """Keep the topic true until cancelled. Raises ChannelError when one of the switches is away."""
    bridges = await in_rows(_bridges, uuid)
    writer, printer = TransientWriter(f"counters:{uuid}"), FlowPrinter()
    await asyncio.to_thread(writer.load)
    try:
        while True:
            changes: list[Change] = []
            for bridge in bridges:
                if bridge.channel is None:
                    bridge.channel = await open_channel(str(bridge.socket))
                rows = await bridge.channel.dump_counters()
                changes += _changes(bridge, await _wanted(bridge, rows, printer))
            await asyncio.to_thread(writer.write, changes)
            await asyncio.sleep(COUNTERS_EVERY_S)
    finally:
        for bridge in bridges:
            if bridge.channel:
                bridge.channel.close("no longer watched")


async def _wanted(bridge: _Bridge, rows: list[FlowCounters], printer: FlowPrinter) -> Mapping[str, FlowCounters]:
    words = await printer.words([row.flow for row in rows])
    keyed = (
        (flow_key(row.flow.table_id, row.flow.priority, told.match), row) for row, told in zip(rows, words, strict=True)
    )
    return {key: row for key, row in keyed if key in bridge.keys}


def _changes(bridge: _Bridge, rows: Mapping[str, FlowCounters]) -> list[Change]:
    now = time.monotonic()
    changes = []
    for key, row in sorted(rows.items()):
        then, packets, octets = bridge.last.get(key, (now, row.packets, row.bytes))
        bridge.last[key] = (now, row.packets, row.bytes)
        gap = max(now - then, 1e-6)
        data: dict[str, Any] = {
            "packets": row.packets,
            "bytes": row.bytes,
            "pps": round(max(row.packets - packets, 0) / gap, 1),
            "bps": round(max(row.bytes - octets, 0) * 8 / gap),
        }
        changes.append(Change("counters.changed", f"{bridge.host}|{key}", data))
    return changes


def _bridges(uuid: str) -> list[_Bridge]:
    """The bridges that a trace went through, both directions, with the flows that it used."""
    trace = TraceRequest.objects.filter(uuid=uuid).first()
    rundirs = dict(Host.objects.values_list("name", "ovs_rundir"))
    found: dict[tuple[str, str], set[str]] = {}
    for answer in (trace.result, trace.reply) if trace else ():
        for hop in (answer or {}).get("hops", ()):
            keys = {step["flow_key"] for step in hop["steps"] if step["flow_key"]}
            if keys and hop["host"] in rundirs:
                bridge = "br-ex" if hop["object"].startswith("br-ex") else "br-int"
                found.setdefault((hop["host"], bridge), set()).update(keys)
    return [
        _Bridge(host, Path(rundirs[host]) / f"{bridge}.mgmt", keys) for (host, bridge), keys in sorted(found.items())
    ]
