"""Rate limits on a real switch: its meters follow the intent, foreign ones stay, and what is too much is counted.

[vm-0]--meter--[br-int@hv1]--[vm-1]
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from sdn.compiler import compile_host
from sdn.model.intent import HostView, IntentSnapshot, RateLimit
from sdn.model.meter import FIRST_METER, LAST_METER, meter_ids
from sdn.shadow.shadow import Shadow
from sdn.shadow.world import without_limits
from sdn.transport.codec import encode_flow
from sdn.transport.flowtext import decode_flow
from sdn.transport.unixctl import UnixctlClient
from tests.sdn.frames import echo, ip_frame
from tests.sdn.switch import Switch
from tests.sdn.test_controller import WORLD, _running, _trace
from tests.waiting import until

SLOW = RateLimit(64, 100)


def _limited(generation: int, sends: RateLimit | None, receives: RateLimit | None = None) -> IntentSnapshot:
    first, *others = WORLD.ports
    return replace(WORLD, generation=generation, ports=(replace(first, sends=sends, receives=receives), *others))


def test_meters_follow_the_intent_and_foreign_ones_stay() -> None:
    async def run() -> None:
        with Shadow() as one, Shadow() as two:
            async with _running({"hv1": one, "hv2": two}, _limited(1, SLOW, RateLimit(128, 200))) as told:
                switch = Switch(one)
                assert "rate=64 burst_size=100" in switch.ofctl("dump-meters")
                switch.ofctl("add-meter", "meter=7,kbps,band=type=drop,rate=9")
                await told.controller.set_intent(_limited(2, RateLimit(96, 100)))
                await until(lambda: "rate=96" in switch.ofctl("dump-meters"), "the rate is changed")
                await until(lambda: "rate=128" not in switch.ofctl("dump-meters"), "the other way has none")
                await told.controller.set_intent(_limited(3, None))
                await until(lambda: not any("meter" in line for line in switch.flows()), "no flow names a meter")
                await until(lambda: "rate=96" not in switch.ofctl("dump-meters"), "ours is gone")
                assert "meter=7 " in switch.ofctl("dump-meters")

    asyncio.run(run())


def test_what_is_too_much_is_counted_for_the_port_and_the_trace_says_where_the_limit_is() -> None:
    async def run() -> None:
        with Shadow() as one, Shadow() as two:
            async with _running({"hv1": one, "hv2": two}, world := _limited(1, SLOW)) as told:
                sender, receiver = world.ports[0], world.ports[1]
                frame = ip_frame((sender.mac, sender.addresses[0]), (receiver.mac, receiver.addresses[0]), echo())
                frame.serialize()
                client = UnixctlClient(one.unixctl)
                data = (bytes(frame.data) + bytes(1400)).hex()
                began = time.monotonic()
                for _ in range(60):
                    await asyncio.to_thread(client.run, "netdev-dummy/receive", f"t{sender.iface_id[-8:]}", data)
                lost = 0
                for _ in range(200):
                    counts = (await told.controller.drops_counted())["hv1"]
                    lost = sum(
                        count.packets
                        for count in counts
                        if count.reason.name == "rate_limited" and count.port_id == sender.id
                    )
                    let_by = (100 + 64 * (time.monotonic() - began)) * 1000 / (len(data) * 4) + 1
                    if lost and lost >= 60 - let_by:
                        break
                    await asyncio.sleep(0.02)
                assert max(1, 60 - let_by) <= lost < 60, "a burst of 100 kbit and 64 kbit a second are let by"
                trace = await asyncio.to_thread(_trace, {"hv1": one, "hv2": two}, told, 0, 1)
                notes = [step.note for hop in trace.hops for step in hop.steps]
                assert any("rate limit of what the port sends" in note for note in notes), notes

    asyncio.run(run())


def test_a_limited_ports_flows_are_written_and_read_alike_and_a_shadow_has_no_limits() -> None:
    world = _limited(1, SLOW, SLOW)
    view = HostView(world.hosts[0].name, tuple((port.iface_id, 10 + port.id) for port in world.ports[:2]), 1)
    metered = [flow for flow in compile_host(world, view) if any(one.startswith("meter:") for one in flow.actions)]
    assert len(metered) == 2
    assert [decode_flow(encode_flow(flow)) for flow in metered] == metered
    assert without_limits(world) == replace(WORLD, generation=1)


def test_no_two_ports_share_a_meter() -> None:
    pairs = (LAST_METER - FIRST_METER + 1) // 2
    found = meter_ids([1, 2, 1 + pairs, 2 + pairs, 1 + 2 * pairs])
    numbers = [number for pair in found.values() for number in pair]
    assert len(set(numbers)) == 10 and all(FIRST_METER <= number <= LAST_METER for number in numbers)
    assert meter_ids([1])[1] == found[1]
