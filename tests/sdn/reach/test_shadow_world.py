"""A shadow's verdict is the live switch's: two switches under the controller, and one shadow loaded from the same intent."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from sdn.model.intent import HostView, RuleIntent, SecurityGroupIntent
from sdn.reach import Scene, Service
from sdn.reach.pairs import Service as _Service
from sdn.shadow import Shadow, ShadowWorld
from sdn.trace import LiveWorld, TraceWorld, predict
from tests.sdn import test_controller as live
from tests.sdn.test_controller import switches  # noqa: F401 (a fixture)

SSH = SecurityGroupIntent(7, "ssh from vm-0 only", (RuleIntent(70, "ingress", 4, "tcp", (22, 22)), RuleIntent(71, "egress", 4, "tcp", (22, 22))))  # fmt: skip
SERVICES = (Service("tcp", 22), Service("tcp", 23), Service("icmp"))


async def test_every_pair_ends_on_the_shadow_as_on_the_live_switches(switches: dict[str, Shadow]) -> None:  # noqa: F811
    """[vm-0]--[br-int@hv1]==[br-int@hv2]--[vm-1]   [vm-2]--[br-int@hv1]   [vm-3 of another network]--[br-int@hv2]"""
    closed = tuple(replace(port, groups=(7,) if port.id in (1, 2) else port.groups) for port in live.WORLD.ports)
    intent = replace(live.WORLD, groups=(*live.WORLD.groups, SSH), ports=closed)
    async with live._running(switches, intent) as told:
        views = tuple(
            HostView(host.name, tuple(sorted(told.wired[str(host.name)].items())), 999)  # type: ignore[arg-type]
            for host in intent.hosts
        )
        here, there = await asyncio.to_thread(_both, switches, Scene(intent, views, {}))
    assert here == there
    assert {verdict for verdict, _ in there.values()} == {"delivered", "dropped"}


Verdicts = dict[tuple[str, str, _Service], tuple[str, str]]


def _both(switches: dict[str, Shadow], scene: Scene) -> tuple[Verdicts, Verdicts]:  # noqa: F811
    real = LiveWorld({name: Path(shadow.rundir) for name, shadow in switches.items()})
    with Shadow() as shadow:
        world = ShadowWorld(shadow)
        world.load(scene.snapshot, scene.views)
        try:
            return _verdicts(scene, real), _verdicts(scene, world)
        finally:
            world.close()
            real.close()


def _verdicts(scene: Scene, world: TraceWorld) -> Verdicts:
    found: Verdicts = {}
    for service in SERVICES:
        for source in scene.snapshot.ports:
            for target in scene.snapshot.ports:
                if source != target:
                    trace = predict(scene.question(source, target, service), world, lambda causes: {})
                    found[source.name, target.name, service] = trace.verdict, trace.reason
    return found


def test_a_host_that_went_and_came_again_by_its_name_has_a_fresh_switch() -> None:
    """Its row, thus its bridge in the shadow, is another than the one that was loaded."""
    views = tuple(HostView(host.name, (), None) for host in live.WORLD.hosts)
    again = replace(live.WORLD, hosts=tuple(replace(host, id=host.id + 10) for host in live.WORLD.hosts), ports=())
    with Shadow() as shadow:
        world = ShadowWorld(shadow)
        try:
            for intent in (live.WORLD, again):
                world.load(intent, views)
                for host in intent.hosts:
                    told = world.ofproto_trace(str(host.name), "br-int", "in_port=1", ())
                    assert "Final flow" in told
        finally:
            world.close()
