"""Real packets injected on purpose, reported by the switches, never given to a guest.

[vm-0]--tap--[br-int@hv1]--tap--[vm-2], and ==vni 4097==[br-int@hv2]--[vm-1]
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdn.model.addresses import HostName, IfaceId, Mac
from sdn.model.intent import SubnetIntent
from sdn.model.packet import ECHO_REQUEST, Packet
from sdn.pipeline import DROP_REASON_BY_NAME, TABLE_BY_NAME, Register
from sdn.probe import TOKEN_BYTES, ProbeOrder, ProbeReport, build_frame, token_of
from sdn.probe.frames import TOKEN_MARK, crc32c
from sdn.shadow.shadow import Shadow
from sdn.transport.openflow import ChannelError
from tests.sdn.switch import Switch
from tests.sdn.test_controller import WORLD, Told, _running
from tests.sdn.wire import checksum6_is_right
from tests.waiting import until

OUTPUT, DROP = TABLE_BY_NAME["output"].table_id, TABLE_BY_NAME["drop"].table_id
HV1 = HostName("hv1")
SUBNET_6 = SubnetIntent(66, ip_network("fd20::/64"), ip_address("fd20::1"), ())
WORLD_6 = replace(
    WORLD,
    networks=tuple(replace(one, subnets=(*one.subnets, SUBNET_6)) for one in WORLD.networks),
    ports=tuple(replace(one, addresses=(*one.addresses, ip_address(f"fd20::{one.id + 16:x}"))) for one in WORLD.ports),
)


@pytest.fixture(scope="module")
def switches() -> Iterator[dict[str, Shadow]]:
    with Shadow() as first, Shadow() as second:
        yield {"hv1": first, "hv2": second}


def tcp(source: int, target: int, mac: str = "") -> Packet:
    here, there = WORLD.ports[source], WORLD.ports[target]
    return Packet(
        "tcp", Mac(mac or here.mac), Mac(there.mac), here.addresses[0], there.addresses[0], port_src=40000, port_dst=22
    )


async def probe(told: Told, packet: Packet, source: int = 0, within_s: float = 3.0) -> tuple[ProbeReport, ...]:
    token = secrets.token_bytes(TOKEN_BYTES)
    ofport = told.wired["hv1"][WORLD.ports[source].iface_id]
    return await told.controller.probes.send(ProbeOrder(token, HV1, ofport, build_frame(packet, token)), within_s)


def _sent(shadow: Shadow, iface_id: str) -> int:
    """Packets that the switch gave to a port."""
    argv = ["ovs-ofctl", "-O", "OpenFlow14", "dump-ports", f"unix:{shadow.rundir}/br-int.mgmt", f"t{iface_id[-8:]}"]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return int(text.split("tx pkts=")[1].split(",")[0])


async def test_it_ends_at_the_target_port_and_the_guest_gets_nothing(switches: dict[str, Shadow]) -> None:
    """probe at vm-0 --[br-int@hv1]-- report, not vm-2"""
    async with _running(switches, WORLD) as told:
        target = WORLD.ports[2].iface_id
        before = await asyncio.to_thread(_sent, switches["hv1"], target)
        (report,) = await probe(told, tcp(0, 2))
        assert (report.host, report.table_id) == ("hv1", OUTPUT)
        assert report.registers[Register.OUT] == told.wired["hv1"][target]
        assert 0 < report.error_us <= report.after_us < 3e6
        assert await asyncio.to_thread(_sent, switches["hv1"], target) == before


async def test_a_drop_reports_its_reason_and_its_table(switches: dict[str, Shadow]) -> None:
    """probe at vm-0 with vm-1's MAC --[br-int@hv1] ✘"""
    async with _running(switches, WORLD) as told:
        (report,) = await probe(told, tcp(0, 2, mac="52:54:00:66:66:66"))
    assert report.table_id == DROP
    assert report.registers[Register.DROP_REASON] == DROP_REASON_BY_NAME["spoofed_mac"].code
    assert report.registers[Register.DROP_TABLE] == TABLE_BY_NAME["port_security"].table_id


@pytest.mark.parametrize(("number", "reason", "whose"), [(22, "spoofed_mac", 0), (23, "ingress_denied", 2)])
async def test_what_its_drop_costs_a_port_s_count_is_told(
    switches: dict[str, Shadow], number: int, reason: str, whose: int
) -> None:
    """The flow that drops a probe counts it as a guest's packet; whoever keeps the counts is told which, and once."""
    packet = replace(tcp(0, 2, mac="52:54:00:66:66:66" if whose == 0 else ""), port_dst=number)
    closed = replace(
        WORLD, ports=tuple(replace(one, groups=(), is_secured=True) if one.id == 3 else one for one in WORLD.ports)
    )
    async with _running(switches, closed) as told:
        controller = told.controller

        async def counted() -> dict[tuple[int | None, str], int]:
            counts = (await controller.drops_counted()).get(HV1, ())
            return {(one.port_id, one.reason.name): one.packets for one in counts if one.port_id is not None}

        before, _ = await counted(), controller.probes.take_dropped()
        await probe(told, packet)
        (dropped,) = controller.probes.take_dropped()
        after = await counted()
        grew = {key for key in after if after[key] != before.get(key, 0)}
        assert (dropped.port_id, dropped.reason, dropped.host) == (WORLD.ports[whose].id, reason, "hv1")
        assert grew == {(dropped.port_id, dropped.reason)} and controller.probes.take_dropped() == ()


def test_an_sctp_frame_has_the_checksum_that_its_standard_asks_for() -> None:
    frame = build_frame(replace(tcp(0, 2), protocol="sctp"), bytes(TOKEN_BYTES))
    assert crc32c(b"123456789") == 0xE3069283, "the check value of CRC-32C"
    assert int.from_bytes(frame[42:46], "little") == crc32c(frame[34:42] + bytes(4) + frame[46:])


@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp", "sctp"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_frame_is_as_long_as_the_packet_that_was_asked_for(protocol: str, family: int) -> None:
    ends = {} if family == 4 else {"ip_src": ip_address("fd20::10"), "ip_dst": ip_address("fd20::12")}
    packet = replace(tcp(0, 2), protocol=protocol, port_dst=ECHO_REQUEST[family] if protocol == "icmp" else 22, **ends)
    token = secrets.token_bytes(TOKEN_BYTES)
    for size in (1464, 1514):
        frame = build_frame(replace(packet, size_bytes=size), token)
        assert size - len(frame) in (range(4) if protocol == "sctp" else (0,))
        assert token_of(frame) == token
    assert token_of(build_frame(replace(packet, size_bytes=42), token)) == token, "the token is never cut"


async def test_a_drop_ends_the_wait_at_once(switches: dict[str, Shadow]) -> None:
    async with _running(switches, WORLD) as told:
        began = asyncio.get_running_loop().time()
        (report,) = await probe(told, tcp(0, 2, mac="52:54:00:66:66:66"), within_s=20.0)
        assert report.table_id == DROP and asyncio.get_running_loop().time() - began < 15


async def test_it_is_reported_where_it_leaves_by_the_tunnel(switches: dict[str, Shadow]) -> None:
    """probe at vm-0 --[br-int@hv1]== report, and on; dummy tunnels carry nothing, so the wait runs out"""
    async with _running(switches, WORLD) as told:
        (report,) = await probe(told, tcp(0, 1), within_s=0.3)
        assert (report.registers[Register.OUT],) == told.controller._channels()[HV1][1]


async def test_a_hundred_at_once_are_told_apart(switches: dict[str, Shadow]) -> None:
    async with _running(switches, WORLD) as told:
        packets = [replace(tcp(0, 2), port_dst=1000 + number) for number in range(100)]
        answers = await asyncio.gather(*(probe(told, packet) for packet in packets))
    for number, reports in enumerate(answers):
        assert len(reports) == 1
        assert int.from_bytes(reports[0].frame[36:38]) == 1000 + number


async def test_arp_is_answered_by_the_switch_and_the_answer_is_reported(switches: dict[str, Shadow]) -> None:
    async with _running(switches, WORLD) as told:
        packet = replace(tcp(0, 2), protocol="arp", eth_dst=Mac("ff:ff:ff:ff:ff:ff"))
        (report,) = await probe(told, packet)
    assert report.registers[Register.OUT] == 0xFFF8
    assert report.frame[20:22] == b"\0\2", "an ARP answer"


OFF = replace(
    WORLD,
    ports=tuple(
        replace(one, iface_id=IfaceId("iface-off-9")) if one.id == WORLD.ports[0].id else one for one in WORLD.ports
    ),
)


async def from_off(told: Told, packet: Packet, within_s: float = 3.0) -> tuple[ProbeReport, ...]:
    token = secrets.token_bytes(TOKEN_BYTES)
    order = ProbeOrder(token, HV1, None, build_frame(packet, token), IfaceId("iface-off-9"))
    return await told.controller.probes.send(order, within_s)


async def test_a_vm_that_is_off_is_probed_in_its_name(switches: dict[str, Shadow]) -> None:
    """(no tap) controller --[br-int@hv1]-- report, not vm-2; and its own rules and addresses hold"""
    async with _running(switches, WORLD) as told:
        await told.controller.set_intent(OFF)
        (report,) = await from_off(told, tcp(0, 2))
        assert (report.table_id, report.registers[Register.OUT]) == (OUTPUT, told.wired["hv1"][WORLD.ports[2].iface_id])
        assert report.registers[Register.SOURCE_PORT] == WORLD.ports[0].id
        (spoofed,) = await from_off(told, replace(tcp(0, 2), ip_src=ip_address("10.99.0.9")))
        assert spoofed.registers[Register.DROP_REASON] == DROP_REASON_BY_NAME["spoofed_ipv4"].code
        (away,) = await from_off(told, tcp(0, 1), within_s=0.3)
        assert away.registers[Register.OUT] in told.controller._channels()[HV1][1]


async def test_a_port_that_is_stood_in_for_still_gets_nothing(switches: dict[str, Shadow]) -> None:
    """[vm-2]--[br-int@hv1] ✘ vm-0, which is off"""
    async with _running(switches, WORLD) as told:
        await told.controller.set_intent(OFF)
        await from_off(told, tcp(0, 2))
        (report,) = await probe(told, tcp(2, 0), source=2)
    assert report.registers[Register.DROP_REASON] == DROP_REASON_BY_NAME["port_down"].code


async def test_a_stand_in_ends_and_leaves_no_flow(switches: dict[str, Shadow], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdn.controller.standins.KEPT_S", 0.5)
    async with _running(switches, WORLD) as told:
        await told.controller.set_intent(OFF)
        await from_off(told, tcp(0, 2))
        await until(lambda: "in_port=CONTROLLER" not in Switch(switches["hv1"]).ofctl("dump-flows"), "it is gone")


async def test_a_port_that_nobody_knows_cannot_be_stood_in_for(switches: dict[str, Shadow]) -> None:
    async with _running(switches, WORLD) as told:
        with pytest.raises(ChannelError, match="no such port"):
            await from_off(told, tcp(0, 2))


async def test_a_packet_that_is_handed_over_is_given_to_the_guest_once(switches: dict[str, Shadow]) -> None:
    """probe at vm-0 --[br-int@hv1]-- report, and vm-2 gets the very packet"""
    async with _running(switches, WORLD) as told:
        target = WORLD.ports[2].iface_id
        before = await asyncio.to_thread(_sent, switches["hv1"], target)
        token, packet = secrets.token_bytes(TOKEN_BYTES), tcp(0, 2)
        place = (HV1, told.wired["hv1"][target])
        source = told.wired["hv1"][WORLD.ports[0].iface_id]
        order = ProbeOrder(token, HV1, source, build_frame(packet, token), hand_over_at=place)
        (report,) = await told.controller.probes.send(order, 3.0)
        assert report.is_handed_over
        await until(lambda: _sent(switches["hv1"], target) == before + 1, "the guest has it")
        elsewhere = replace(order, token=(again := secrets.token_bytes(TOKEN_BYTES)), frame=build_frame(packet, again), hand_over_at=(HV1, source))  # fmt: skip
        (kept,) = await told.controller.probes.send(elsewhere, 3.0)
        assert not kept.is_handed_over and await asyncio.to_thread(_sent, switches["hv1"], target) == before + 1


def six(protocol: str, target: int = 2) -> Packet:
    ends = [
        next(address for address in WORLD_6.ports[number].addresses if address.version == 6) for number in (0, target)
    ]
    return replace(tcp(0, target), protocol=protocol, ip_src=ends[0], ip_dst=ends[1], port_dst=128 if protocol == "icmp" else 22)  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
async def test_an_ipv6_probe_goes_the_guests_way(switches: dict[str, Shadow], protocol: str) -> None:
    """probe at vm-0 --[br-int@hv1]-- report, not vm-2"""
    async with _running(switches, WORLD_6) as told:
        (report,) = await probe(told, six(protocol))
        assert (report.table_id, report.registers[Register.OUT]) == (OUTPUT, told.wired["hv1"][WORLD.ports[2].iface_id])
        (spoofed,) = await probe(told, replace(six(protocol), ip_src=ip_address("fd20::99")))
    assert spoofed.registers[Register.DROP_REASON] == DROP_REASON_BY_NAME["spoofed_ipv6"].code


async def test_a_neighbour_solicitation_is_answered_by_the_switch_and_reported(switches: dict[str, Shadow]) -> None:
    async with _running(switches, WORLD_6) as told:
        (report,) = await probe(told, six("nd"))
    assert (report.registers[Register.OUT], report.frame[54]) == (0xFFF8, 136), "an advertisement, sent back"


@given(st.sampled_from(["icmp", "tcp", "udp", "nd"]), st.binary(min_size=TOKEN_BYTES, max_size=TOKEN_BYTES))
def test_an_ipv6_frame_keeps_its_token_and_is_what_its_header_says(protocol: str, token: bytes) -> None:
    frame = build_frame(six(protocol, 1), token)
    assert token_of(frame) == token and frame[12:14] == b"\x86\xdd"
    assert int.from_bytes(frame[18:20]) == len(frame) - 54
    assert checksum6_is_right(frame)


@given(st.sampled_from(["icmp", "tcp", "udp", "sctp", "arp"]), st.binary(min_size=TOKEN_BYTES, max_size=TOKEN_BYTES))
def test_a_frame_keeps_its_token(protocol: str, token: bytes) -> None:
    frame = build_frame(replace(tcp(0, 1), protocol=protocol, port_dst=8), token)  # type: ignore[arg-type]
    assert token_of(frame) == token
    assert token_of(frame[: frame.find(TOKEN_MARK) + len(TOKEN_MARK) + TOKEN_BYTES - 1]) is None
