"""Flow tables and counters for those who look: only while a socket has joined `flows:…` or `counters:…`.

The consumer keeps a key in Redis for each topic that somebody has joined. A watched flow table is read with ovs-ofctl
sixteen times a second and compared, so that a change is on the page in a tenth of a second; counters once a second.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from dataclasses import dataclass, field
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from django.db import DatabaseError

from portal.hosts.models import Host
from portal.live.transient import publish_transient
from portal.networks.causes import explain_causes
from portal.traces.models import TraceRequest
from sdn.model.cookie import parse_cookie
from sdn.pipeline import TABLE_BY_ID
from tasks.rows import in_rows

log = logging.getLogger("hopsight.watching")
LOOK_EVERY_S = 0.5
FLOWS_EVERY_S = 0.06
COUNTERS_EVERY_S = 1.0
WATCH_PREFIX = "hopsight:watch:"
_LINE = re.compile(
    r"^ cookie=(?P<cookie>0x[0-9a-f]+), duration=[\d.]+s, table=(?P<table>\d+), n_packets=(?P<packets>\d+), "
    r"n_bytes=(?P<bytes>\d+),(?P<rest>.*?) ?actions=(?P<actions>.*)$"
)
_AGES = re.compile(r" ?(idle_timeout|hard_timeout|idle_age|hard_age|importance|send_flow_rem|reset_counts)(=\d+)?,?")


@dataclass(slots=True)
class FlowRow:
    """One flow as the flow browser shows it."""

    key: str
    data: dict[str, Any]


def parse_flow_line(line: str) -> FlowRow | None:
    """One line of `ovs-ofctl dump-flows --no-names`; None for a heading or a line of another shape."""
    found = _LINE.match(line)
    if found is None:
        return None
    rest = _AGES.sub("", found["rest"]).strip().strip(",")
    parts = rest.split(",", 1) if rest.startswith("priority=") else ["priority=32768", rest]
    priority = int(parts[0].removeprefix("priority="))
    match = parts[1].strip() if len(parts) > 1 else ""
    table = int(found["table"])
    name = TABLE_BY_ID[table].name if table in TABLE_BY_ID else ""
    cookie = int(found["cookie"], 16)
    data = {
        "table": table, "table_name": name, "priority": priority, "match": match, "actions": found["actions"],
        "cookie": f"{cookie:#x}", "packets": int(found["packets"]), "bytes": int(found["bytes"]),
    }  # fmt: skip
    return FlowRow(flow_key(table, priority, match), data)


def flow_key(table: int, priority: int, match: str) -> str:
    """What joins a trace's step, a flow's row and its counters."""
    return f"table={table},priority={priority},{match}"


async def dump_flows(rundir: str, bridge: str) -> dict[str, FlowRow]:
    """Every flow of a bridge by key. Raises OSError with ovs-ofctl's words."""
    argv = ("ovs-ofctl", "-O", "OpenFlow14", "--no-names", "dump-flows", f"unix:{rundir}/{bridge}.mgmt")
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    out, err = await asyncio.wait_for(process.communicate(), 10)
    if process.returncode:
        raise OSError(err.decode(errors="replace").strip())
    rows = (parse_flow_line(line) for line in out.decode(errors="replace").splitlines())
    return {row.key: row for row in rows if row}


@dataclass(slots=True)
class Watching:
    """Runs one reader per watched topic."""

    _readers: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self) -> None:
        """Look for watched topics for ever."""
        while True:
            client = redis.asyncio.Redis.from_url(settings.REDIS_URL)
            try:
                async with client.pubsub() as pubsub:
                    await pubsub.subscribe("hopsight:poke:watch")
                    while True:
                        await self._look(client)
                        await pubsub.get_message(ignore_subscribe_messages=True, timeout=LOOK_EVERY_S)
            except (redis.RedisError, OSError) as problem:
                log.warning("watched topics unknown problem=%s", problem)
            finally:
                await client.aclose()
            await asyncio.sleep(1.0)

    async def _look(self, client: redis.asyncio.Redis) -> None:
        wanted = set()
        async for key in client.scan_iter(match=f"{WATCH_PREFIX}*", count=1000):
            topic = key.decode().removeprefix(WATCH_PREFIX)
            if topic.startswith(("flows:", "counters:")):
                wanted.add(topic)
        for topic in set(self._readers) - wanted:
            self._readers.pop(topic).cancel()
        for topic in wanted:
            if topic not in self._readers or self._readers[topic].done():
                work = _read_flows(topic) if topic.startswith("flows:") else _read_counters(topic)
                self._readers[topic] = asyncio.create_task(_guarded(topic, work))


async def _guarded(topic: str, work: Any) -> None:
    try:
        await work
    except (OSError, redis.RedisError, DatabaseError, TimeoutError) as problem:
        log.warning("topic=%s problem=%s", topic, problem)
        await asyncio.sleep(1.0)


async def _read_flows(topic: str) -> None:
    host_name, _, bridge = topic.removeprefix("flows:").partition("/")
    host = await in_rows(Host.objects.get, name=host_name)
    shown: dict[str, dict[str, Any]] = {}
    counted_at = 0.0
    while True:
        rows = await dump_flows(host.ovs_rundir, bridge)
        with_counters = time.monotonic() - counted_at > COUNTERS_EVERY_S
        if with_counters:
            counted_at = time.monotonic()
        await in_rows(_publish_flows, topic, shown, rows, with_counters)
        await asyncio.sleep(FLOWS_EVERY_S)


def _publish_flows(topic: str, shown: dict[str, dict[str, Any]], rows: dict[str, FlowRow], with_counters: bool) -> None:
    """Tell what differs from `shown`, and bring that up to date."""
    changed = [row for key, row in rows.items() if _differs(shown.get(key), row.data, with_counters)]
    causes = {row.key: parse_cookie(int(row.data["cookie"], 16)) for row in changed}
    words = explain_causes(cause for cause in causes.values() if cause) if changed else {}
    for row in changed:
        cause = causes[row.key]
        row.data["cause"] = words[cause].words if cause else ""
        row.data["foreign"] = cause is None
        shown[row.key] = row.data
        publish_transient(topic, "flow.changed", row.key, row.data)
    for key in set(shown) - set(rows):
        del shown[key]
        publish_transient(topic, "flow.deleted", key, None)


def _differs(before: dict[str, Any] | None, now: dict[str, Any], with_counters: bool) -> bool:
    names = ("cookie", "actions", "packets") if with_counters else ("cookie", "actions")
    return before is None or any(before[name] != now[name] for name in names)


async def _read_counters(topic: str) -> None:
    uuid = topic.removeprefix("counters:")
    wanted = await in_rows(_steps_by_host, uuid)
    last: dict[str, tuple[float, int, int]] = {}
    while True:
        for (host, rundir, bridge), keys in wanted.items():
            rows = await dump_flows(rundir, bridge)
            now = time.monotonic()
            for key in keys & set(rows):
                object_ = f"{host}|{key}"
                packets, size = rows[key].data["packets"], rows[key].data["bytes"]
                before = last.get(object_, (now, packets, size))
                last[object_] = (now, packets, size)
                gap = max(now - before[0], 1e-6)
                pps = (packets - before[1]) / gap
                data = {
                    "packets": packets,
                    "bytes": size,
                    "pps": round(pps, 1),
                    "bps": round((size - before[2]) * 8 / gap),
                }
                await asyncio.to_thread(publish_transient, topic, "counters.changed", object_, data)
        await asyncio.sleep(COUNTERS_EVERY_S)


def _steps_by_host(uuid: str) -> dict[tuple[str, str, str], set[str]]:
    """The flows that a trace went through, by host: both directions."""
    trace = TraceRequest.objects.filter(uuid=uuid).first()
    rundirs = dict(Host.objects.values_list("name", "ovs_rundir"))
    found: dict[tuple[str, str, str], set[str]] = {}
    for answer in (trace.result, trace.reply) if trace else ():
        for hop in (answer or {}).get("hops", ()):
            keys = {step["flow_key"] for step in hop["steps"] if step["flow_key"]}
            if keys and hop["host"] in rundirs:
                bridge = "br-ex" if hop["object"].startswith("br-ex") else "br-int"
                found.setdefault((hop["host"], rundirs[hop["host"]], bridge), set()).update(keys)
    return found
