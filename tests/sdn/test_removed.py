"""Flows with our mark that nothing explains are removed and reported; foreign ones, and those of a change, are not.

somebody --ovs-ofctl--> [br-int@hv1] <--controller
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sdn.controller import host
from sdn.shadow.shadow import Shadow
from tests.sdn.switch import Switch
from tests.sdn.test_controller import WORLD, _running
from tests.waiting import until

STRANGE = "cookie=0x48530200000f4240,table=10,priority=999,udp,tp_dst=4242,actions=drop"
FOREIGN = "cookie=0x1234,table=10,priority=998,udp,tp_dst=4243,actions=drop"


def test_a_flow_that_nothing_explains_is_removed_and_told_a_foreign_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "FULL_EVERY_S", 1.0)  # how long it is not looked at is no matter of what is done then

    async def run() -> None:
        with Shadow() as one, Shadow() as two:
            async with _running({"hv1": one, "hv2": two}, WORLD) as told:
                switch = Switch(one)
                switch.ofctl("add-flow", STRANGE)
                switch.ofctl("add-flow", FOREIGN)
                await until(lambda: told.removed != [], "it is told")
                assert [(name, count) for name, count, _ in told.removed] == [("hv1", 1)]
                assert "priority=999,udp,tp_dst=4242 actions=drop" in told.removed[0][2][0]
                await until(lambda: not any("4242" in line for line in switch.flows()), "it is gone")
                assert any("4243" in line for line in switch.flows())
                await told.controller.set_intent(replace(WORLD, generation=2, ports=WORLD.ports[1:]))
                first = f"reg0={WORLD.ports[0].id:#x},"
                await until(lambda: not any(first in line for line in switch.flows()), "the port's flows are gone")
                assert len(told.removed) == 1, "a change's flows are explained"

    asyncio.run(run())
