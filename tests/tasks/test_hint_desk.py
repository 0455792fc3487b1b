"""What the switch's refusals tell: whose frames are looked at, for how long, and what is read of them.

[web-1]--[br-int@hv1] ✘ spoofed ARP → counter grows → copies for a moment → hint
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from os_ken.lib.packet import arp, ethernet, packet

from portal.networks.models import AddressHint, Port
from sdn.controller.claims import read_claim
from sdn.shadow.shadow import Shadow
from sdn.transport.unixctl import UnixctlClient
from tasks.hint_desk import ARMED_S, MOST_ARMED, REST_S, HintDesk
from tests.cast import Cast
from tests.portal.clients import made_vm
from tests.sdn.frames import echo, ip_frame
from tests.sdn.switch import Switch
from tests.sdn.test_controller import WORLD, _running
from tests.waiting import until

CLAIMED = {"spoofed_arp": 3.0}


def arp_frame(mac: str, sender: str, target: str) -> bytes:
    frame = packet.Packet()
    frame.add_protocol(ethernet.ethernet("ff:ff:ff:ff:ff:ff", mac, 0x0806))
    frame.add_protocol(arp.arp(opcode=1, src_mac=mac, src_ip=sender, dst_ip=target))
    frame.serialize()
    return bytes(frame.data)


@given(st.binary(max_size=90))
def test_no_frame_is_too_odd_to_read(frame: bytes) -> None:
    for ethertype in (b"\x08\x06", b"\x08\x00", b"\x86\xdd"):
        claim = read_claim(frame[:12] + ethertype + frame[12:])
        assert claim is None or claim[0] in ("arp", "nd", "ip")


def test_arp_names_its_sender_and_a_probe_for_a_double_what_it_wants() -> None:
    mac = "52:54:00:00:00:01"
    assert read_claim(arp_frame(mac, "10.20.0.9", "10.20.0.1")) == ("arp", "10.20.0.9")
    assert read_claim(arp_frame(mac, "0.0.0.0", "10.20.0.7")) == ("arp", "10.20.0.7")
    frame = ip_frame((mac, "10.20.0.8"), ("52:54:00:00:00:02", "10.20.0.2"), echo())
    frame.serialize()
    assert read_claim(bytes(frame.data)) == ("ip", "10.20.0.8")


@pytest.mark.django_db
def test_a_port_that_floods_is_looked_at_once_a_minute_and_only_for_what_it_claims(cast: Cast) -> None:
    port, now = Port.objects.get(vm=made_vm(cast)), [0.0]
    desk = HintDesk(lambda: now[0])
    desk.suspect({port.pk: {"egress_denied": 900.0}})
    assert desk.look() == frozenset(), "what rules refuse is no claim"
    looked = 0
    for second in range(240):
        now[0] = float(second)
        desk.suspect({port.pk: CLAIMED})
        looked += bool(desk.look())
    assert looked <= 4 * (ARMED_S + 1) and looked >= 3 * ARMED_S


@pytest.mark.django_db
def test_many_suspects_take_turns(cast: Cast) -> None:
    for number in range(MOST_ARMED + 2):
        made_vm(cast, f"web-{number}")
    ports, now = list(Port.objects.filter(vm__team=cast.payments)), [0.0]
    desk = HintDesk(lambda: now[0])
    desk.suspect({port.pk: CLAIMED for port in ports})
    first = desk.look()
    assert len(first) == MOST_ARMED
    now[0] = ARMED_S + 1
    second = desk.look()
    assert len(second) == len(ports) - MOST_ARMED and not first & second
    now[0] += REST_S + 1
    assert desk.look() == frozenset(), "who stopped is not looked at again"


def test_a_foreign_address_is_read_off_the_real_switch(cast: Cast) -> None:
    """Only a port that is looked at has copies: the flood before that reaches nobody."""
    port = Port.objects.get(vm=made_vm(cast))
    first, *others = WORLD.ports
    mine = replace(first, id=port.pk, iface_id=str(port.uuid))
    others = [replace(one, id=one.id + 10_000) for one in others]
    world = replace(WORLD, ports=tuple(sorted((mine, *others), key=lambda one: one.id)))
    desk = HintDesk()
    desk.suspect({port.pk: CLAIMED})
    armed = desk.look()
    assert armed == {str(port.uuid)}
    asyncio.run(_claim_much(world, mine, desk, armed))
    assert len(desk._waiting) <= 60, "copies are metered: 200 were dropped"
    assert desk.write() and not desk.write()
    assert [(one.address, one.source) for one in AddressHint.objects.filter(port=port)] == [("10.20.0.99", "arp")]


async def _claim_much(world, mine, desk: HintDesk, armed) -> None:  # type: ignore[no-untyped-def]
    with Shadow() as one, Shadow() as two:
        async with _running({"hv1": one, "hv2": two}, world) as told:
            switch, client = Switch(one), UnixctlClient(one.unixctl)
            frame = arp_frame(mine.mac, "10.20.0.99", "10.20.0.1").hex()
            told.controller.set_sampled(armed, lambda _host, copy: desk.take(copy))
            await until(lambda: any("meter:100000" in line for line in switch.flows()), "the copies' flows")
            for _ in range(200):
                await asyncio.to_thread(client.run, "netdev-dummy/receive", f"t{mine.iface_id[-8:]}", frame)
            await until(lambda: len(desk._waiting) > 0, "a copy")
