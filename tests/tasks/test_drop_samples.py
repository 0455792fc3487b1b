"""Copies of dropped packets: from a real switch's drop table to the topic that the VM's page reads, and gone in time.

[web-1]--[br-int@hv1] ✘ spoofed MAC → controller → sample:<port> → page
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from portal.accounts.models import AuditRow
from portal.drops.sampling import KEY_PREFIX, ask_sample, sample_of, stop_sample
from portal.live.events import connection
from portal.live.transient import transient_snapshot
from portal.networks.models import Port
from portal.networks.problems import NetworkProblem
from sdn.shadow.shadow import Shadow
from sdn.transport.unixctl import UnixctlClient
from tasks.drop_samples import SampleDesk
from tests.cast import Cast
from tests.portal.clients import client_of, made_vm
from tests.sdn.frames import echo, ip_frame
from tests.sdn.switch import Switch
from tests.sdn.test_controller import WORLD, _running
from tests.waiting import until

NOBODY = ("52:54:00:00:00:99", "10.20.0.99")


@pytest.fixture
def port(cast: Cast) -> Port:
    """A port of Payments; no other test's samples, for all of a run share one Redis."""
    for key in connection().keys(f"{KEY_PREFIX}*"):
        connection().delete(key)
    return Port.objects.select_related("network__team", "vm").get(vm=made_vm(cast))


def test_what_is_dropped_is_shown_in_words_metered_and_forgotten_in_the_end(cast: Cast, port: Port) -> None:
    """The intent has the port under another id, which the desk is told, so that it meets no other port of the world."""
    first, *others = WORLD.ports
    mine = replace(first, id=port.pk + 1000, iface_id=str(port.uuid))
    world = replace(WORLD, ports=tuple(sorted((mine, *others), key=lambda one: one.id)))
    ask_sample(port, 60, cast.alice)
    desk = SampleDesk()
    assert desk.look() == {str(port.uuid)}
    desk._uuids[mine.id] = str(port.uuid)
    asyncio.run(_drop_many(world, mine, desk))
    desk.look()
    sample = sample_of(port)
    assert sample is not None and 1 <= sample.seen <= 60, "copies are metered: 200 were dropped"
    packet = sample.packets[0]
    assert (packet["reason"], packet["table"], packet["host"]) == ("spoofed_mac", "port_security", "hv1")
    assert packet["summary"] == "ICMP echo request 10.20.0.99 → 10.20.0.98"
    page = client_of(cast.bob).get(f"/vms/{port.vm.uuid}/").content.decode()
    assert "ICMP echo request 10.20.0.99 → 10.20.0.98" in page
    stop_sample(port, None)
    assert desk.look() == frozenset()
    assert transient_snapshot(f"sample:{port.uuid}")["state"] == {} and sample_of(port) is None


async def _drop_many(world, mine, desk: SampleDesk) -> None:  # type: ignore[no-untyped-def]
    with Shadow() as one, Shadow() as two:
        async with _running({"hv1": one, "hv2": two}, world) as told:
            switch, client = Switch(one), UnixctlClient(one.unixctl)
            told.controller.set_sampled(frozenset({mine.iface_id}), desk.take)
            await until(lambda: any("meter:100000" in line for line in switch.flows()), "the copies' flows")
            frame = ip_frame(NOBODY, ("52:54:00:00:00:98", "10.20.0.98"), echo())
            frame.serialize()
            for _ in range(200):
                await asyncio.to_thread(
                    client.run, "netdev-dummy/receive", f"t{mine.iface_id[-8:]}", bytes(frame.data).hex()
                )
            await until(lambda: len(desk._waiting) > 0, "a copy")
            counted = await told.controller.drops_counted()
            assert sum(one.packets for one in counted["hv1"] if one.port_id == mine.id) > 0
            told.controller.set_sampled(frozenset(), desk.take)
            await until(lambda: "100000" not in switch.ofctl("dump-meters"), "flows and meter are gone")
            assert not any(
                "CONTROLLER" in line and "table=250" in line and "reg15" not in line for line in switch.flows()
            )


def test_only_members_may_ask_the_asking_is_audited_and_the_time_is_bounded(cast: Cast, port: Port) -> None:
    url = f"/api/v1/ports/{port.uuid}/sample"
    assert client_of(cast.charlie).post(url, {}, content_type="application/json").status_code == 403
    assert client_of(cast.dana).post(url, {}, content_type="application/json").status_code == 404
    refused = client_of(cast.bob).post(url, {"seconds": 86400}, content_type="application/json")
    assert refused.status_code == 422 and refused.json()["errors"] == {
        "seconds": ["86400 was given; 30, 60, 300 are allowed"]
    }
    assert client_of(cast.bob).post(url, {"seconds": 30}, content_type="application/json").status_code == 201
    assert 0 < connection().ttl(f"{KEY_PREFIX}{port.uuid}") <= 30
    assert AuditRow.objects.filter(action="port.sample", object_id=str(port.vm.uuid)).count() == 1
    assert client_of(cast.bob).delete(url).status_code == 204
    assert client_of(cast.bob).get(url).json()["until"] is None


def test_a_team_cannot_copy_from_all_its_ports_at_once(cast: Cast, port: Port, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("portal.drops.sampling.MOST_AT_ONCE", 1)
    other = Port.objects.select_related("network__team", "vm").get(vm=made_vm(cast, "web-2"))
    ask_sample(port, 30, None)
    ask_sample(port, 60, None)
    with pytest.raises(NetworkProblem, match="the most at once"):
        ask_sample(other, 30, None)
    stop_sample(port, None)
    ask_sample(other, 30, None)
    stop_sample(other, None)
