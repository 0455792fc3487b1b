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
from ipaddress import IPv4Address

import pytest

from lab.paths import HypervisorPaths, lab_netns
from sdn.model.addresses import HostName
from sdn.model.intent import FloatingIntent, PortIntent
from tests.lab.routed import DB_1, HV1, HV2, ROUTER, WEB_1, Site, world
from tests.lab.seats import inside
from tests.sdn.spec import Sample, gets_from_outside, outsider, seen_outside_as
from tests.waiting import wait_for

pytestmark = pytest.mark.lab
SERVER, PORT, PATIENCE_S = IPv4Address("203.0.113.80"), 8081, 1.5
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


def caller(site: Site, source: str, to: IPv4Address, target: str) -> str | None:
    """As whom a listener of the namespace `target` sees a connection from the namespace `source`; None: it gets none."""
    listener = inside(lab_netns(site.lab, target), lambda: socket.create_server(("", PORT)))
    with listener, suppress(OSError):
        listener.settimeout(PATIENCE_S)
        with inside(lab_netns(site.lab, source), lambda: socket.create_connection((str(to), PORT), PATIENCE_S)):
            taken, peer = listener.accept()
            taken.close()
            return str(peer[0])
    return None


def _floating(chance: random.Random, seed: int) -> tuple[FloatingIntent, ...]:
    """For some of the guests; an address is given again in another world, to another guest."""
    chosen = [port for port in GUESTS if chance.random() < 0.6]
    numbers = chance.sample(range(60, 64), len(chosen))
    return tuple(FloatingIntent(10 * seed + n, IPv4Address(f"198.51.100.{number}"), port.id, _fixed(port)) for n, (port, number) in enumerate(zip(chosen, numbers, strict=True)))  # fmt: skip


def _fixed(port: PortIntent) -> IPv4Address:
    assert isinstance(port.addresses[0], IPv4Address)
    return port.addresses[0]


@pytest.mark.parametrize("seed", range(4))
def test_the_internet_sees_and_reaches_what_the_specification_says(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    gateway: HostName = chance.choice((HV1, HV2))
    router = replace(ROUTER, floating=_floating(chance, seed), gateway_host=gateway)
    site.set_router(floating=router.floating, gateway_host=gateway)
    snapshot, server = world(router, site.hosts, seed + 1, MTUS), outsider(SERVER)
    for port in GUESTS:
        expected = str(seen_outside_as(snapshot, Sample(port, server, 4, "tcp", PORT)))
        wait_for(lambda: caller(site, port.name, SERVER, "inet") == expected, 20, f"{port.name} is seen as {expected}")  # noqa: B023
    plugged = frozenset(port.id for port in GUESTS)
    ports = {port.id: port for port in GUESTS}
    for floating in router.floating:
        target = ports[floating.port_id]
        assert gets_from_outside(snapshot, plugged, router, Sample(server, target, 4, "tcp", PORT))
        came_by = wait_for(lambda: caller(site, "inet", floating.address, target.name), 20, "it is reached")  # noqa: B023
        assert came_by == "198.51.100.1"
    taken = {floating.address for floating in router.floating}
    for number in range(60, 64):
        if (free := IPv4Address(f"198.51.100.{number}")) not in taken:
            assert caller(site, "inet", free, chance.choice(GUESTS).name) is None
