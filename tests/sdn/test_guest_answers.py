"""A guest's questions through a real switch and the real controller: what comes back at its port, and what a flood does.

[vm-0]--tap--[br-int@hv1]--controller, [vm-2]--tap--/
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from sdn.controller import dhcp
from sdn.controller.datagrams import (
    Datagram,
    Icmp6,
    format_datagram,
    format_icmp6,
    mac_bytes,
    parse_datagram,
    parse_icmp6,
)
from sdn.controller.meter import LIMITS_PER_S
from sdn.model.addresses import LINK_LOCAL, Mac, eui64
from sdn.model.intent import AddressPair, SubnetIntent
from sdn.shadow.shadow import Shadow
from sdn.transport.unixctl import UnixctlClient
from tests.sdn.test_answers6 import association, option, options_of
from tests.sdn.test_controller import WORLD, Told, _dump, _running
from tests.sdn.test_dhcp import _options
from tests.sdn.test_dns import question, read
from tests.sdn.wire import ether6, frame_of, frames_in, ip6, solicitation
from tests.waiting import until

SIX = SubnetIntent(7, ip_network("fd20::/64"), ip_address("fd20::1"), ())
DUAL = replace(
    WORLD,
    networks=tuple(
        replace(network, subnets=(*network.subnets, SIX), domain="net-0.pay.internal") for network in WORLD.networks
    ),
    ports=tuple(
        replace(port, addresses=(*port.addresses, ip_address(f"fd20::{port.id + 16:x}"))) for port in WORLD.ports
    ),
)
VM_0, VM_1, VM_2 = DUAL.ports[:3]
LL_0 = str(eui64(LINK_LOCAL, VM_0.mac))


class Guest:
    """What a guest sends and gets at its port."""

    def __init__(self, shadow: Shadow, iface_id: str) -> None:
        self.name = f"t{iface_id[-8:]}"
        self._capture = Path(shadow.rundir) / f"{self.name}.pcap"
        self._client = UnixctlClient(shadow.unixctl)
        database = f"--db=unix:{shadow.rundir}/db.sock"
        argv = ["ovs-vsctl", database, "set", "interface", self.name, f"options:tx_pcap={self._capture}"]
        subprocess.run(argv, check=True, capture_output=True)

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            self._client.run("netdev-dummy/receive", self.name, frame.hex())

    def got(self) -> list[bytes]:
        return frames_in(self._capture)


@pytest.fixture(scope="module")
def switches() -> Iterator[dict[str, Shadow]]:
    with Shadow() as first, Shadow() as second:
        yield {"hv1": first, "hv2": second}


@contextlib.asynccontextmanager
async def guests(switches: dict[str, Shadow]) -> AsyncIterator[tuple[Guest, Guest, Told]]:
    async with _running(switches, DUAL) as told:
        yield *[await asyncio.to_thread(Guest, switches["hv1"], port.iface_id) for port in (VM_0, VM_2)], told  # type: ignore[misc]


async def _answer(guest: Guest, asked: bytes, is_it, what: str) -> bytes:  # type: ignore[no-untyped-def]
    await asyncio.to_thread(guest.send, asked)
    found: list[bytes] = []

    def look() -> bool:
        found[:] = [frame for frame in guest.got() if is_it(frame)]
        return bool(found)

    await until(look, what)
    return found[-1]


def discover(mac: str, xid: bytes = b"abcd") -> bytes:
    body = b"\x01\x01\x06\x00" + xid + b"\0" * 20 + mac_bytes(mac) + b"\0" * 202 + dhcp.MAGIC + b"\x35\x01\x01\xff"
    return format_datagram(Datagram(mac_bytes(mac), dhcp.NOBODY, dhcp.EVERYBODY, (68, 67), body), b"\xff" * 6)


def _is_advertisement(frame: bytes) -> bool:
    told = parse_icmp6(frame)
    return told is not None and told.body[0] == 134


async def test_a_wired_port_is_told_its_router_unasked_and_again_when_it_asks(
    switches: dict[str, Shadow], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the capture begins after the port is wired and may miss the first one
    monkeypatch.setattr("sdn.controller.advertiser.EVERY_S", 1.0)
    async with guests(switches) as (vm_0, _, _):
        await until(lambda: any(map(_is_advertisement, vm_0.got())), "an advertisement that nobody asked for")
        asks = frame_of(ether6(VM_0.mac, "33:33:00:00:00:02"), ip6(LL_0, "ff02::2"), _router_solicitation(LL_0))
        frame = await _answer(
            vm_0, asks, lambda one: _is_advertisement(one) and one[:6] == mac_bytes(VM_0.mac), "the answer"
        )
        told = parse_icmp6(frame)
        assert told is not None and str(told.target) == LL_0


async def test_dhcp_of_both_families_dns_and_neighbours_are_answered_at_the_port(switches: dict[str, Shadow]) -> None:
    async with guests(switches) as (vm_0, _, _):
        offer = await _answer(vm_0, discover(VM_0.mac), lambda one: one[12:14] == b"\x08\x00", "an offer")
        assert _options(offer)[53] == bytes([dhcp.OFFER]) and _options(offer)[15] == b"net-0.pay.internal"
        body = b"\x01xyz" + option(1, b"\x00\x03\x00\x01" + mac_bytes(VM_0.mac)) + association()
        asks = Datagram(mac_bytes(VM_0.mac), ip_address(LL_0), ip_address("ff02::1:2"), (546, 547), body)
        advertised = await _answer(
            vm_0, format_datagram(asks, mac_bytes("33:33:00:01:00:02")), lambda one: _ports(one) == (547, 546), "DHCPv6"
        )
        given = options_of(options_of(advertised[66:])[3][0][12:])[5][0][:16]
        assert ip_address(given) == VM_0.addresses[1]
        asks = Datagram(mac_bytes(VM_0.mac), VM_0.addresses[1], SIX.gateway, (40000, 53), question("vm-1"))
        to_gateway = format_datagram(asks, mac_bytes(DUAL.networks[0].router_mac))
        answered = await _answer(vm_0, to_gateway, lambda one: _ports(one) == (53, 40000), "DNS")
        assert read(answered[62:]) == (0, [VM_1.addresses[0].packed])


async def test_a_flood_of_one_guest_leaves_anothers_lease_alone(switches: dict[str, Shadow]) -> None:
    async with guests(switches) as (vm_0, vm_2, _):
        began = asyncio.get_running_loop().time()
        await asyncio.to_thread(vm_0.send, *[discover(VM_0.mac, number.to_bytes(4)) for number in range(1500)])
        offered = await _answer(vm_2, discover(VM_2.mac), lambda one: one[12:14] == b"\x08\x00", "the other's offer")
        took_s = asyncio.get_running_loop().time() - began
        assert _options(offered)[53] == bytes([dhcp.OFFER])
        flooded = sum(1 for frame in vm_0.got() if frame[12:14] == b"\x08\x00")
        assert flooded <= LIMITS_PER_S["other"] * (took_s + 2), "metered"


async def test_what_it_looks_for_is_told_taken(switches: dict[str, Shadow]) -> None:
    """vm-0 may detect duplicates of its own addresses only; a question without the option goes to the controller."""
    async with guests(switches) as (vm_0, _, _):
        target = str(VM_2.addresses[1])
        asks = solicitation(VM_0.mac, str(VM_0.addresses[1]), target, sll=None)
        frame = await _answer(vm_0, asks, lambda one: (told := parse_icmp6(one)) and told.body[0] == 136, "the answer")
        assert frame[78:] == b"\x02\x01" + mac_bytes(VM_2.mac)


async def test_a_restarted_controller_finds_both_families_and_pairs_as_it_left_them(
    switches: dict[str, Shadow],
) -> None:
    pairs = (
        AddressPair(ip_network("fd20::200/128")),
        AddressPair(ip_network("10.20.0.200/32"), Mac("00:00:5e:00:01:01")),
    )
    world = replace(DUAL, ports=tuple(replace(port, pairs=pairs) for port in DUAL.ports))
    async with _running(switches, world):
        before = {name: _dump(shadow) for name, shadow in switches.items()}
    async with _running(switches, world):
        after = {name: _dump(shadow) for name, shadow in switches.items()}
    for name in switches:
        assert before[name].keys() == after[name].keys()
        assert all(after[name][flow] >= before[name][flow] for flow in before[name]), "a flow was added again"


def _ports(frame: bytes) -> tuple[int, int] | None:
    datagram = parse_datagram(frame)
    return datagram.ports if datagram else None


def _router_solicitation(source: str) -> bytes:
    whole = format_icmp6(
        Icmp6(b"\0" * 6, ip_address(source), ip_address("ff02::2"), 255, b"\x85" + b"\0" * 7), b"\0" * 6
    )
    return whole[54:]
