"""What a router tells senders of what it drops: too big, no route, nobody there. Told by Open vSwitch, and as bytes.

[web-1, front: MTU 1500]--11--[br-int@hv1]--12--[app-1, back: MTU 1400]
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from os_ken.lib.packet import icmp, icmpv6, ipv4, ipv6, packet, tcp

from sdn.compiler import compile_host
from sdn.controller.icmp_errors import ERRORS, icmp_error
from sdn.model.flow import format_flow
from sdn.model.intent import IntentSnapshot
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.trace.branches import keep_true_branches
from sdn.trace.parser import parse_trace
from sdn.trace.walk import walk_passes
from sdn.transport.codec import encode_flow
from sdn.transport.unixctl import UnixctlClient
from tests.sdn.frames import ip_frame
from tests.sdn.routed import (
    APP_1,
    APP_1_ADDRESS,
    BACK,
    CABLE,
    DANAS,
    EXTERNAL,
    FRONT,
    FRONT_MAC,
    HV1_VIEW,
    SNAPSHOT,
    TUNNEL,
    WEB_1_ADDRESS,
    WEB_1_MAC,
)
from tests.sdn.switch import Switch
from tests.sdn.test_routing import ping
from tests.sdn.wire import datagram6

GATEWAY = (FRONT_MAC, IPv4Address("10.20.0.1"))
MIXED = replace(
    SNAPSHOT, networks=(replace(FRONT, mtu=1500), DANAS, replace(BACK, mtu=1400)), externals=(replace(EXTERNAL, mtu=1300),)
)  # fmt: skip


def switch_of(shadow: Shadow, snapshot: IntentSnapshot) -> Switch:
    flows = "\n".join(format_flow(flow) for flow in compile_host(snapshot, HV1_VIEW))
    numbers = sorted({TUNNEL, CABLE, *(ofport for _, ofport in HV1_VIEW.ofports)})
    shadow.load([ShadowBridge("br-int", tuple(ShadowPort(f"p{number}", number) for number in numbers), flows)])
    return Switch(shadow)


@pytest.fixture(scope="module")
def mixed() -> Iterator[Switch]:
    with Shadow() as shadow:
        yield switch_of(shadow, MIXED)


def exits(switch: Switch, question: str, ip_bytes: int) -> list[tuple[str, int, str]]:
    """Where a packet of that size ends: kind, ofport, drop reason's code."""
    client = UnixctlClient(switch.shadow.unixctl)
    try:
        text = client.run("ofproto/trace", "br-int", question, *(["--ct-next", "trk,new"] * 3))
    finally:
        client.close()
    walk = walk_passes(keep_true_branches(parse_trace(text), ip_bytes), "br-int")
    return [(one.kind, one.ofport, one.fields.get("reg4", "0")) for one in walk.exits]


@pytest.mark.parametrize(("to", "fitting"), [(str(APP_1_ADDRESS), 1400), ("203.0.113.80", 1300)])
def test_a_packet_that_does_not_fit_goes_to_the_controller_and_is_dropped_and_one_that_fits_goes_on(
    mixed: Switch, to: str, fitting: int
) -> None:
    """[web-1]--[br-int@hv1] ✘ too big; the last byte that fits goes on, into another network or outside"""
    assert [one[0] for one in exits(mixed, ping(to), fitting + 1)] == ["controller", "drop"]
    assert {one[2] for one in exits(mixed, ping(to), fitting + 1)} == {"0x2e"}
    went_on = exits(mixed, ping(to), fitting)
    assert went_on and all(one[2] == "0" for one in went_on), went_on


def test_the_way_to_a_network_that_carries_more_is_not_measured(mixed: Switch) -> None:
    """[app-1, MTU 1400]--[br-int@hv1]--[web-1, MTU 1500]: a packet of app-1's always fits"""
    back = ping(WEB_1_ADDRESS, port=APP_1, mac="52:54:00:00:00:02", to_mac="52:54:00:ff:00:03", source=APP_1_ADDRESS)
    assert "check_pkt_larger" not in mixed.trace(back).text
    with Shadow() as shadow:
        assert "check_pkt_larger" not in "".join(switch_of(shadow, SNAPSHOT).flows())


@pytest.mark.parametrize(("to", "reason"), [("192.0.2.200", "0xd"), ("10.30.0.77", "0x11")])
def test_no_route_and_nobody_there_are_told(to: str, reason: str) -> None:
    """[web-1]--[br-int@hv1] ✘, whose router leads nowhere outside"""
    inside = replace(SNAPSHOT, routers=(replace(SNAPSHOT.routers[0], external_id=None, floating=()),))
    with Shadow() as shadow:
        found = exits(switch_of(shadow, inside), ping(to), 84)
        assert [(kind, code) for kind, _, code in found] == [("controller", reason), ("drop", reason)]


def test_the_flows_can_be_encoded() -> None:
    assert all(encode_flow(flow) for flow in compile_host(MIXED, HV1_VIEW))


@pytest.mark.parametrize(("reason", "kind"), [("too_big", (3, 4)), ("no_route", (3, 0)), ("no_neighbour", (3, 1)), ("ttl_exceeded", (11, 0))])  # fmt: skip
def test_an_error_quotes_the_packet_and_tells_the_mtu(reason: str, kind: tuple[int, int]) -> None:
    """RFC 792; RFC 1191: the next hop's MTU is in the low half of what is unused otherwise"""
    asked = ip_frame((WEB_1_MAC, WEB_1_ADDRESS), (FRONT_MAC, APP_1_ADDRESS), tcp.tcp(4000, 80, seq=1, bits=2))
    asked.serialize()
    answer = icmp_error(bytes(asked.data), reason, GATEWAY, WEB_1_MAC, 1400 if reason == "too_big" else 0)
    assert answer is not None
    told = packet.Packet(answer)
    ip, error = told.get_protocol(ipv4.ipv4), told.get_protocol(icmp.icmp)
    assert (ip.src, ip.dst) == ("10.20.0.1", str(WEB_1_ADDRESS)) and (error.type, error.code) == kind
    assert struct.unpack_from("!I", answer, 38)[0] == (1400 if reason == "too_big" else 0)
    assert answer[42:70] == bytes(asked.data)[14:42]


def test_an_ipv6_error_tells_the_mtu_and_has_a_right_checksum() -> None:
    """RFC 4443, 3.2"""
    asked = datagram6(WEB_1_MAC, "fd20::11", FRONT_MAC, "fd30::12", (4000, 53), b"x" * 40)
    answer = icmp_error(asked, "too_big", (FRONT_MAC, IPv6Address("fd20::1")), WEB_1_MAC, 1400)
    assert answer is not None
    told = packet.Packet(answer)
    error = told.get_protocol(icmpv6.icmpv6)
    assert (error.type_, error.code, told.get_protocol(ipv6.ipv6).dst) == (2, 0, "fd20::11")
    assert struct.unpack_from("!I", answer, 58)[0] == 1400


@given(st.binary(max_size=120), st.sampled_from(sorted(ERRORS)))
def test_junk_never_raises(junk: bytes, reason: str) -> None:
    for kind in (b"\x08\x00\x45", b"\x86\xdd\x60"):
        icmp_error(b"\0" * 12 + kind + junk, reason, GATEWAY, WEB_1_MAC, 1400)
