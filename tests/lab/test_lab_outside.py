"""Random gateways and floating addresses: what a plain specification says that the internet sees, real connections show.

[web-1 10.20.0.11]--[br-int@hv1]==[br-int@hv2]--[db-1 10.30.0.12]   one of both is the gateway host
                          └──────[br-ex]──────┘──wire──[inet, server 203.0.113.80]
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from lab.paths import HypervisorPaths, lab_netns
from sdn.model.addresses import HostName
from sdn.model.intent import Address, FloatingIntent
from tests.lab.routed import DB_1, EXTERNAL, HOST_6, HV1, HV2, OUTSIDE_6, ROUTER, WEB_1, Site, world
from tests.lab.seats import inside
from tests.sdn.spec import Sample, gets_from_outside, outsider, seen_outside_as
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
PORT, PATIENCE_S, NUMBERS = 8081, 1.5, range(60, 64)
SERVERS: dict[int, Address] = {4: IPv4Address("203.0.113.80"), 6: IPv6Address(HOST_6)}
COMES_FROM = {4: "198.51.100.1", 6: OUTSIDE_6}
GUESTS, MTUS = (WEB_1, DB_1), (1450, 1450)


@pytest.fixture(scope="module")
def site(lab: tuple[HypervisorPaths, ...]) -> Iterator[Site]:
    site = Site(lab)
    try:
        site.plug(WEB_1, "10.20.0.1")
        site.plug(DB_1, "10.30.0.1")
        yield site
    finally:
        site.close()


def caller(site: Site, source: str, to: Address, target: str) -> str | None:
    """As whom a listener of the namespace `target` sees a connection from the namespace `source`; None: it gets none."""
    family, every = (socket.AF_INET6, "::") if to.version == 6 else (socket.AF_INET, "")
    listener = inside(lab_netns(site.lab, target), lambda: socket.create_server((every, PORT), family=family))
    with listener, suppress(OSError):
        listener.settimeout(PATIENCE_S)
        with inside(lab_netns(site.lab, source), lambda: socket.create_connection((str(to), PORT), PATIENCE_S)):
            taken, peer = listener.accept()
            taken.close()
            return str(peer[0])
    return None


def _floating(chance: random.Random, seed: int) -> tuple[FloatingIntent, ...]:
    """For some of the guests' addresses; an address is given again in another world, to another guest."""
    chosen = [(port, family) for port in GUESTS for family in (4, 6) if chance.random() < 0.6]
    numbers = chance.sample(NUMBERS, len(chosen))
    return tuple(
        FloatingIntent(10 * seed + n, _outside(family, number), port.id, port.addresses[0 if family == 4 else 1])
        for n, ((port, family), number) in enumerate(zip(chosen, numbers, strict=True))
    )


def _outside(family: int, number: int) -> Address:
    return EXTERNAL.cidr[number] if family == 4 or EXTERNAL.cidr6 is None else EXTERNAL.cidr6[0x10000 + number]


@pytest.mark.parametrize("seed", range(4))
def test_the_internet_sees_and_reaches_what_the_specification_says(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    gateway: HostName = chance.choice((HV1, HV2))
    router = replace(ROUTER, floating=_floating(chance, seed), gateway_host=gateway)
    site.set_router(floating=router.floating, gateway_host=gateway)
    snapshot = world(router, site.hosts, seed + 1, MTUS)
    for port in GUESTS:
        for family, server in SERVERS.items():
            expected = str(seen_outside_as(snapshot, Sample(port, outsider(server), family, "tcp", PORT)))  # type: ignore[arg-type]
            wait_for(lambda: caller(site, port.name, server, "inet") == expected, 20, f"{port.name} is seen as {expected}")  # noqa: B023 # fmt: skip
    plugged, ports = frozenset(port.id for port in GUESTS), {port.id: port for port in GUESTS}
    for floating in router.floating:
        target, family = ports[floating.port_id], floating.address.version
        sample = Sample(outsider(SERVERS[family]), target, family, "tcp", PORT)
        assert gets_from_outside(snapshot, plugged, router, sample)
        came_by = wait_for(lambda: caller(site, "inet", floating.address, target.name), 20, "it is reached")  # noqa: B023
        assert came_by == COMES_FROM[family]
    taken = {floating.address for floating in router.floating}
    for free in (_outside(family, number) for family in (4, 6) for number in NUMBERS):
        if free not in taken:
            assert caller(site, "inet", free, chance.choice(GUESTS).name) is None


def test_guests_reach_each_other_by_their_ipv6_floating_addresses(site: Site) -> None:
    """[db-1]--[br-int@hv2]==[br-int@hv1: db-1's and web-1's own turned round]--[web-1]"""
    web, db = _outside(6, 70), _outside(6, 71)
    floating = (
        FloatingIntent(901, web, WEB_1.id, WEB_1.addresses[1]),
        FloatingIntent(902, db, DB_1.id, DB_1.addresses[1]),
    )
    site.set_router(floating=floating, gateway_host=HV1)
    wait_for(lambda: caller(site, "db-1", web, "web-1") == str(db), 20, "db-1 is seen as its floating address")
