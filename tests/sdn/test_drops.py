"""Every dropped packet is counted once by reason, and put down to the port it was dropped for.

[web-1]--p11--[br-int@hv1]--p12--[web-2]
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from os_ken.lib.packet import icmp, packet, udp

from sdn.controller.drops import DropCount, read_drop
from sdn.model.cookie import DROPS_COOKIE, DROPS_COOKIE_MASK, CauseKind
from sdn.transport.unixctl import UnixctlClient
from tests.sdn.channels import connected
from tests.sdn.frames import arp_frame, echo, ip_frame
from tests.sdn.switch import Switch
from tests.sdn.world import GATEWAY_MAC, WEB_1, WEB_1_MAC, WEB_2, WEB_2_MAC
from tests.waiting import wait_for

WEB_1_ID, WEB_2_ID = 1, 2
WEB_1_END, WEB_2_END = (WEB_1_MAC, "10.20.0.11"), (WEB_2_MAC, "10.20.0.12")
NOBODY = "52:54:00:00:00:99"
ROGUE_DHCP = ip_frame(WEB_1_END, ("ff:ff:ff:ff:ff:ff", "255.255.255.255"), udp.udp(67, 68), b"offer")
CASES: tuple[tuple[str, int, int, packet.Packet], ...] = (
    ("spoofed_mac", WEB_1, WEB_1_ID, ip_frame((NOBODY, "10.20.0.11"), WEB_2_END, echo())),
    ("spoofed_ipv4", WEB_2, WEB_2_ID, ip_frame((WEB_2_MAC, "10.20.0.66"), WEB_1_END, echo())),
    ("spoofed_arp", WEB_1, WEB_1_ID, arp_frame(1, (WEB_1_MAC, "10.20.0.12"), ("00:00:00:00:00:00", "10.20.0.1"))),
    ("rogue_dhcp", WEB_1, WEB_1_ID, ROGUE_DHCP),
    ("unknown_mac", WEB_2, WEB_2_ID, ip_frame(WEB_2_END, (NOBODY, "10.20.0.44"), echo())),
    ("no_route", WEB_1, WEB_1_ID, ip_frame(WEB_1_END, (GATEWAY_MAC, "172.16.0.1"), echo())),
    ("no_neighbour", WEB_1, WEB_1_ID, arp_frame(1, WEB_1_END, ("00:00:00:00:00:00", "10.20.0.77"))),
    ("invalid_state", WEB_1, WEB_1_ID, ip_frame(WEB_1_END, WEB_2_END, icmp.icmp(0, 0, 0, icmp.echo(9, 9, b"x")))),
)  # fmt: skip


def _counts(switch: Switch) -> list[DropCount]:
    async def ask() -> list[DropCount]:
        async with connected(switch) as channel:
            rows = await channel.dump_counters(DROPS_COOKIE, DROPS_COOKIE_MASK)
            counts = [read_drop(row) for row in rows]
            return [count for count in counts if count is not None]

    return asyncio.run(ask())


def _by_port(counts: list[DropCount]) -> Counter[tuple[int, str]]:
    return Counter({(one.port_id, one.reason.name): one.packets for one in counts if one.port_id and one.packets})


def _totals(counts: list[DropCount]) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in counts:
        if one.is_total:
            found[one.reason.name] += one.packets
    return +found


@pytest.mark.parametrize(("reason", "ofport", "port_id", "frame"), CASES, ids=[case[0] for case in CASES])
def test_a_dropped_packet_is_counted_for_its_sender_and_once_in_all(
    hv1: Switch, reason: str, ofport: int, port_id: int, frame: packet.Packet
) -> None:
    before = _counts(hv1)
    frame.serialize()
    client = UnixctlClient(hv1.shadow.unixctl)
    for _ in range(3):
        client.run("netdev-dummy/receive", f"p{ofport}", bytes(frame.data).hex())

    def counted() -> bool:
        client.run("revalidator/wait")  # datapath flows' counts reach the tables' by the revalidators
        return sum((_totals(_counts(hv1)) - _totals(before)).values()) >= 3

    wait_for(counted, 10, "three drops are counted", 0.02)
    after = _counts(hv1)
    assert _by_port(after) - _by_port(before) == Counter({(port_id, reason): 3})
    assert _totals(after) - _totals(before) == Counter({reason: 3})


def test_only_flows_that_drop_are_asked_for_and_no_reason_is_put_down_to_a_port_twice(hv1: Switch) -> None:
    counts = _counts(hv1)
    assert 0 < len(counts) < len(hv1.flows()) / 2
    attributed = {(one.port_id, one.reason.name, one.is_total) for one in counts if one.port_id}
    assert not {(port, reason, False) for port, reason, total in attributed if total} & attributed
    assert {one.cause.kind for one in counts if one.is_total} == {CauseKind.SYSTEM, CauseKind.PORT}
