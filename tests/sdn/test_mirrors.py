"""Mirrors on a real switch: who gets a copy, that the packet itself goes on as it was, and that copies go nowhere else.

[web-1]--11--[br-int@hv1]==vni 4097==[br-int@hv2]--[db-1]
[web-2]--12--/          \\--21--[dana-1, another network]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sdn.compiler import compile_host
from sdn.model.cookie import CauseKind, parse_cookie
from sdn.model.flow import Flow, format_flow
from sdn.model.intent import HostView, IntentSnapshot, MirrorIntent, RateLimit
from sdn.pipeline import DROP_REASON_BY_NAME
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.shadow.world import without_limits
from sdn.transport.codec import encode_flow
from sdn.transport.flowtext import decode_flow
from tests.sdn.switch import Switch
from tests.sdn.test_paths import BROADCAST, arp, icmp, udp
from tests.sdn.world import (
    DANA,
    DB_1_MAC,
    SNAPSHOT,
    TUNNEL,
    VIEW,
    VNI,
    WEB_1,
    WEB_1_MAC,
    WEB_2,
    WEB_2_MAC,
)

MIRROR_VNI = 0x600001
HERE, WEB_2_ID, DB_1_ID, OFF_ID, DANA_ID = 1, 2, 3, 4, 5


def mirrored(*mirrors: tuple[int, int], **words: bool) -> IntentSnapshot:
    """The tests' world with a mirror for each (source, target)."""
    made = (MirrorIntent(n, *ends, MIRROR_VNI + n - 1, **words) for n, ends in enumerate(mirrors, 1))  # type: ignore[arg-type]
    return replace(SNAPSHOT, mirrors=tuple(made))


class Seat:
    """hv1's switch, with the flows of one world after another."""

    def __init__(self, shadow: Shadow) -> None:
        self.shadow, self.switch = shadow, Switch(shadow)

    def load(self, world: IntentSnapshot, view: HostView = VIEW) -> Switch:
        ports = tuple(ShadowPort(f"p{number}", number) for number in (TUNNEL, WEB_1, WEB_2, DANA))
        self.shadow.load(
            [ShadowBridge("br-int", ports, "\n".join(format_flow(flow) for flow in compile_host(world, view)))]
        )
        return self.switch


@pytest.fixture(scope="module")
def seat() -> Iterator[Seat]:
    with Shadow() as shadow:
        yield Seat(shadow)


def from_web_2(to_mac: str = WEB_1_MAC) -> str:
    return icmp(to_mac, "10.20.0.11", WEB_2_MAC, "10.20.0.12").replace(f"in_port={WEB_1}", f"in_port={WEB_2}")


def from_tunnel(packet: str, vni: int = VNI) -> str:
    return re.sub(r"in_port=\d+", f"in_port={TUNNEL}", packet) + f",tun_id={vni:#x},tun_src=192.0.2.12"


def test_what_a_port_sends_and_receives_is_copied_once_and_goes_on_as_it_was(seat: Seat) -> None:
    plain = [seat.load(SNAPSHOT).trace(packet) for packet in (icmp(WEB_2_MAC), from_web_2())]
    switch = seat.load(mirrored((HERE, DANA_ID)))
    sent, received = switch.trace(icmp(WEB_2_MAC)), switch.trace(from_web_2())
    assert sorted(sent.outputs) == [WEB_2, DANA] and sorted(received.outputs) == [WEB_1, DANA], received.text
    finals = [re.findall(r"^Final flow: (.*)$", fate.text, re.M)[-1] for fate in (*plain, sent, received)]
    finals = [re.sub(r"(reg15|recirc_id)=\w+,", "", final) for final in finals]
    assert finals[2:] == finals[:2], "the packet is another than without"


def test_only_the_direction_that_is_asked_for_is_copied(seat: Seat) -> None:
    switch = seat.load(mirrored((HERE, DANA_ID), receives=False))
    assert sorted(switch.trace(icmp(WEB_2_MAC)).outputs) == [WEB_2, DANA]
    assert switch.trace(from_web_2()).outputs == [WEB_1]
    switch = seat.load(mirrored((HERE, DANA_ID), sends=False))
    assert switch.trace(icmp(WEB_2_MAC)).outputs == [WEB_2]
    assert sorted(switch.trace(from_web_2()).outputs) == [WEB_1, DANA]


def test_a_flood_is_copied_once_and_the_senders_own_copy_of_it_is_none(seat: Seat) -> None:
    switch = seat.load(mirrored((HERE, DANA_ID)))
    sent = switch.trace(udp("10.20.0.11", "255.255.255.255", (9, 9)))
    assert sorted(sent.outputs) == [TUNNEL, WEB_2, DANA], sent.text
    heard = switch.trace(from_tunnel(icmp(BROADCAST, mac=DB_1_MAC, source="10.20.0.13")))
    assert sorted(heard.outputs) == [WEB_1, WEB_2, DANA], heard.text


def test_what_the_switch_answers_itself_is_received_too(seat: Seat) -> None:
    fate = seat.load(mirrored((HERE, DANA_ID), sends=False)).trace(arp("10.20.0.1"))
    assert sorted(fate.outputs) == [WEB_1, DANA], fate.text


def test_what_port_security_or_rules_drop_is_seen_as_sent_and_still_dropped(seat: Seat) -> None:
    fate = seat.load(mirrored((HERE, DANA_ID))).trace(icmp(WEB_2_MAC, source="10.20.0.99"))
    assert fate.drop_reason == DROP_REASON_BY_NAME["spoofed_ipv4"].code and fate.outputs == [DANA], fate.text


def test_a_receiver_on_another_host_gets_copies_under_the_mirrors_own_number(seat: Seat) -> None:
    switch = seat.load(mirrored((HERE, DB_1_ID)))
    sent = switch.trace(icmp(WEB_2_MAC))
    assert sorted(sent.outputs) == [TUNNEL, WEB_2] and f"set_field:{MIRROR_VNI:#x}->tun_id" in sent.text
    assert "set_field:192.0.2.12->tun_dst" in sent.text
    back = switch.trace(from_tunnel(icmp(WEB_1_MAC, "10.20.0.11", DB_1_MAC, "10.20.0.13")))
    assert sorted(back.outputs) == [TUNNEL, WEB_1], "a copy goes back into the tunnel that its packet came from"


def test_copies_from_another_host_reach_the_receiver_alone_whatever_it_is_held_to(seat: Seat) -> None:
    for is_secured in (True, False):
        world = mirrored((DB_1_ID, WEB_2_ID))
        ports = tuple(replace(port, groups=(), is_secured=is_secured) for port in world.ports)
        switch = seat.load(replace(world, ports=ports, groups=()))
        for packet in (icmp(DB_1_MAC, "10.20.0.13"), icmp(BROADCAST), arp("10.20.0.13")):
            fate = switch.trace(from_tunnel(packet, MIRROR_VNI))
            assert fate.outputs == [WEB_2] and fate.drop_reason is None, fate.text
        assert switch.trace(from_tunnel(icmp(WEB_1_MAC), 0x600009)).outputs == []


def test_copies_are_never_copied_again(seat: Seat) -> None:
    switch = seat.load(mirrored((HERE, WEB_2_ID), (WEB_2_ID, HERE), (DANA_ID, WEB_2_ID)))
    fate = switch.trace(icmp(WEB_2_MAC))
    assert sorted(fate.outputs) == [WEB_1, WEB_2, WEB_2], "the packet, web-1's copy of sending and web-2's of receiving"


def test_a_receiver_that_is_nowhere_costs_nothing_and_one_that_is_off_here_is_said_to_be(seat: Seat) -> None:
    assert compile_host(mirrored((HERE, OFF_ID)), VIEW) == compile_host(SNAPSHOT, VIEW)
    unplugged = replace(VIEW, ofports=tuple(one for one in VIEW.ofports if one[1] != WEB_2))
    fate = seat.load(mirrored((DB_1_ID, WEB_2_ID)), unplugged).trace(from_tunnel(icmp(WEB_2_MAC), MIRROR_VNI))
    assert fate.drop_reason == DROP_REASON_BY_NAME["port_down"].code and not fate.outputs


def test_a_probe_is_not_copied(seat: Seat) -> None:
    fate = seat.load(mirrored((HERE, DANA_ID))).trace("reg15=1," + icmp(WEB_2_MAC))
    assert DANA not in fate.outputs and "clone(" not in fate.text


def _of_mirrors(world: IntentSnapshot) -> list[Flow]:
    flows = compile_host(world, VIEW)
    return [flow for flow in flows if (cause := parse_cookie(flow.cookie)) and cause.kind == CauseKind.MIRROR]


def test_a_mirrors_flows_are_written_and_read_alike_go_with_it_and_change_no_other() -> None:
    for world in (mirrored((HERE, WEB_2_ID)), mirrored((HERE, DB_1_ID)), mirrored((DB_1_ID, HERE))):
        found = _of_mirrors(world)
        assert found and [decode_flow(encode_flow(flow)) for flow in found] == found
        assert [flow for flow in compile_host(world, VIEW) if flow not in found] == list(compile_host(SNAPSHOT, VIEW))
        assert without_limits(world) == SNAPSHOT


def test_what_a_tunnel_does_not_carry_is_cut_there_and_the_receivers_limit_holds_for_copies() -> None:
    jumbo = replace(
        mirrored((HERE, DB_1_ID)), networks=(replace(SNAPSHOT.networks[0], mtu=1500), *SNAPSHOT.networks[1:])
    )
    (cut,) = [flow for flow in _of_mirrors(jumbo) if flow.key.table_id == 72]
    assert cut.actions[-1] == f"output(port={TUNNEL},max_len=1464)" and decode_flow(encode_flow(cut)) == cut
    world = mirrored((HERE, DANA_ID))
    ports = tuple(replace(one, receives=RateLimit(64, 100)) if one.id == DANA_ID else one for one in world.ports)
    (limited,) = [flow for flow in _of_mirrors(replace(world, ports=ports)) if flow.key.table_id == 72]
    assert limited.actions[0].startswith("meter:")
