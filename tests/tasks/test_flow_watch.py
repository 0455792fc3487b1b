"""The flow browser's topic on a real switch and a real Redis: snapshot(n) + events(n+1..m) = snapshot(m) = the table."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from portal.live.events import channel_of, connection
from portal.live.transient import Change, TransientWriter, transient_snapshot
from sdn.controller.watch import watch_table
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.transport.flowprint import parse_flow_line
from tasks.flow_watch import MONITOR, FlowTopic, _poll, flow_key
from tests.sdn.switch import Switch
from tests.waiting import at_this_load, until


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    with Shadow() as shadow:
        shadow.load([ShadowBridge("br-int", (ShadowPort("p1", 1),), "table=0,in_port=1 actions=drop")])
        yield Switch(shadow)


class Reader:
    """Reads a topic as a page does: a snapshot, then events in order; a gap is a new snapshot."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.pubsub = connection().pubsub(ignore_subscribe_messages=True)
        self.pubsub.subscribe(channel_of(topic))
        self.gaps, self.messages = -1, 0
        self._fetch()

    def _fetch(self) -> None:
        snapshot = transient_snapshot(self.topic)
        self.seq, self.state = snapshot["seq"], snapshot["state"]
        self.gaps += 1

    def read(self) -> None:
        """Take what has come; a message that has begun to come is waited for whole."""
        while self.pubsub.connection.can_read(timeout=0.01):
            if not (message := self.pubsub.get_message(timeout=10)):
                continue
            self.messages += 1
            told = json.loads(message["data"])
            for event in told if isinstance(told, list) else [told]:
                self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        if event["seq"] <= self.seq:
            return
        if event["seq"] > self.seq + 1:
            self._fetch()
            return
        self.seq = event["seq"]
        if event["type"].endswith(".deleted"):
            self.state.pop(event["object"], None)
        else:
            self.state[event["object"]] = event["data"]

    def flows(self) -> set[str]:
        self.read()
        return set(self.state) - {MONITOR}


def _keys(switch: Switch) -> set[str]:
    lines = [parse_flow_line(line) for line in switch.ofctl("dump-flows", "--no-names").splitlines()]
    return {flow_key(line.table_id, line.priority, line.words.match) for line in lines if line}


@contextlib.asynccontextmanager
async def _shown(switch: Switch, name: str) -> AsyncIterator[Reader]:
    topic = FlowTopic(f"flows:{name}", is_ours=True)
    await topic.load()
    watching = asyncio.create_task(watch_table(Path(f"{switch.rundir}/{switch.bridge}.mgmt"), topic))
    reader = Reader(f"flows:{name}")
    try:
        await until(lambda: reader.flows() == _keys(switch), "the first flows")
        reader.gaps = 0  # the first event of a topic that was not there is one
        yield reader
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_snapshot_and_events_are_the_next_snapshot_and_the_switchs_table(
    redis_server: str, switch: Switch
) -> None:
    chance = random.Random(7)
    async with _shown(switch, "law/br-int") as reader:
        for _ in range(60):
            number, verb = chance.randrange(12), chance.choice(("add-flow", "add-flow", "mod-flows", "del-flows"))
            line = f"table=9,reg1={number}" + ("" if verb == "del-flows" else f" actions=output:{chance.randrange(9)}")
            await asyncio.to_thread(switch.ofctl, verb, line)
        await until(lambda: reader.flows() == _keys(switch), "the table")
        then = transient_snapshot(reader.topic)
        reader.read()
        if reader.seq == then["seq"]:
            assert reader.state == then["state"]
        assert reader.gaps == 0, "nothing was lost, so nothing had to be fetched again"
        assert reader.state[MONITOR]["state"] == "live"
        await asyncio.to_thread(switch.ofctl, "del-flows", "table=9")


async def test_a_change_is_told_at_once_and_counters_once_a_second(redis_server: str, switch: Switch) -> None:
    async with _shown(switch, "fast/br-int") as reader:
        await asyncio.to_thread(switch.ofctl, "add-flow", "cookie=0x77,table=7,priority=9,ip actions=output:1")
        added_at = time.monotonic()
        await until(lambda: "table=7,priority=9,ip" in reader.flows(), "the flow")
        assert time.monotonic() - added_at < at_this_load(0.5)
        row = reader.state["table=7,priority=9,ip"]
        assert (row["foreign"], row["cookie"], row["actions"], row["packets"]) == (True, "0x77", "output:1", 0)
        frame = "in_port(1),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x88cc)"
        for _ in range(3):
            await asyncio.to_thread(_receive, switch, frame)
        await until(
            lambda: reader.flows() and reader.state["table=0,priority=32768,in_port=1"]["packets"] >= 3, "packets"
        )
        await asyncio.to_thread(switch.ofctl, "del-flows", "table=7")
        await until(lambda: "table=7,priority=9,ip" not in reader.flows(), "the flow's end")


def _receive(switch: Switch, frame: str) -> None:
    from sdn.transport.unixctl import UnixctlClient

    client = UnixctlClient(switch.shadow.unixctl)
    client.run("netdev-dummy/receive", "p1", frame)
    client.close()


async def test_a_burst_is_told_in_batches(redis_server: str, switch: Switch) -> None:
    lines = "\n".join(f"table=8,reg1={number} actions=NORMAL" for number in range(3000))
    async with _shown(switch, "burst/br-int") as reader:
        reader.messages = 0
        await asyncio.to_thread(switch.ofctl, "add-flows", "-", given=lines)
        await until(lambda: len(reader.flows()) >= 3001, "the burst")
        assert reader.messages < 300
        await asyncio.to_thread(switch.ofctl, "del-flows", "table=8")
        await until(lambda: len(reader.flows()) == 1, "its end")


async def test_what_an_earlier_reader_left_is_taken_over_and_mended(redis_server: str, switch: Switch) -> None:
    left = TransientWriter("flows:left/br-int")
    left.write([Change("flow.changed", "table=1,priority=1,gone", {"table": 1})])
    async with _shown(switch, "left/br-int") as reader:
        assert "table=1,priority=1,gone" not in reader.state
        connection().delete("hopsight:seq:flows:left/br-int", "hopsight:state:flows:left/br-int")  # Redis lost it
        told = lambda: set(transient_snapshot(reader.topic)["state"]) - {MONITOR}  # noqa: E731
        await until(lambda: told() == _keys(switch) == reader.flows(), "the topic is whole again")


async def test_a_switch_that_goes_away_leaves_a_gap_and_comes_back(redis_server: str, switch: Switch) -> None:
    topic = FlowTopic("flows:away/br-int", is_ours=True)
    await topic.load()
    await topic.say("away", "no switch answers")
    await topic.say("away", "no switch answers")
    assert transient_snapshot("flows:away/br-int")["state"][MONITOR]["gaps"][0]["to"] == ""
    await topic.flows_counted([])
    monitor = transient_snapshot("flows:away/br-int")["state"][MONITOR]
    assert monitor["state"] == "live" and len(monitor["gaps"]) == 1 and monitor["gaps"][0]["to"]


async def test_a_bridge_of_an_older_openflow_is_read_by_polling(redis_server: str, switch: Switch) -> None:
    words = ("add-br", "br-old", "--", "set", "bridge", "br-old", "protocols=OpenFlow10", "fail_mode=secure")
    await asyncio.to_thread(switch.vsctl, *words)
    topic, socket = FlowTopic("flows:old/br-old", is_ours=False), Path(f"{switch.rundir}/br-old.mgmt")
    polling = asyncio.create_task(_poll(socket, topic, "speaks OpenFlow 1.0"))
    reader = Reader("flows:old/br-old")
    await until(lambda: reader.read() or reader.state.get(MONITOR, {}).get("state") == "polled", "polled")
    add = Switch(switch.shadow, "br-old")
    await asyncio.to_thread(_add_old, add)
    await until(lambda: reader.flows() == {"table=0,priority=5,ip"}, "the flow")
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)


def _add_old(switch: Switch) -> None:
    import subprocess

    argv = ["ovs-ofctl", "add-flow", f"unix:{switch.rundir}/br-old.mgmt", "priority=5,ip,actions=drop"]
    subprocess.run(argv, check=True)
