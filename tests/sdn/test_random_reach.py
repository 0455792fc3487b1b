"""Random worlds: what a plain specification says of each packet, the real classifier says too (`ofproto/trace`, host by host)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdn.model.intent import HostView, IntentSnapshot, PortIntent
from sdn.reach import Scene, Service, trace_pair
from sdn.shadow import Shadow, ShadowWorld
from tests.sdn.random_worlds import random_world
from tests.sdn.spec import Sample, reaches
from tests.sdn.worlds import view_of

SERVICES = (Service("tcp", 81), Service("tcp", 84), Service("udp", 53), Service("icmp"))
ECHO_REQUEST = {4: 8, 6: 128}
OF_EACH_FATE = 6


@pytest.fixture(scope="module")
def world() -> Iterator[ShadowWorld]:
    with Shadow() as shadow:
        made = ShadowWorld(shadow)
        yield made
        made.close()


def overlays_alone(chance: random.Random, snapshot: IntentSnapshot) -> IntentSnapshot:
    """Provider networks' other half is not ours: their routers, and who else is on the wire. Some ports have IPv6 alone."""
    networks = tuple(
        replace(network, kind="vxlan", vid=None) if network.is_provider else network for network in snapshot.networks
    )
    six = {port.id: tuple(one for one in port.addresses if one.version == 6) for port in snapshot.ports}
    ports = tuple(
        replace(port, addresses=six[port.id]) if six[port.id] and chance.random() < 0.5 else port
        for port in snapshot.ports
    )
    return replace(snapshot, networks=networks, ports=ports)


def _sample(chance: random.Random, scene: Scene, source: PortIntent, target: PortIntent) -> tuple[Service, Sample]:
    family, service = scene.family_of(source, target), chance.choice(SERVICES)
    assert family is not None
    number = ECHO_REQUEST[family] if service.protocol == "icmp" else service.port
    return service, Sample(source, target, family, service.protocol, number)  # type: ignore[arg-type]


def _view(chance: random.Random, snapshot: IntentSnapshot, host: str) -> HostView:
    view = view_of(snapshot, host)
    plugged = tuple(one for one in view.ofports if chance.random() < 0.9)
    return replace(view, ofports=plugged, geneve_ofport=2 if snapshot.needs_geneve else None, external_ofport=3)


@settings(max_examples=25)
@given(chance=st.randoms(use_true_random=False), hosts=st.integers(1, 4))
def test_the_switches_do_what_the_specification_says(world: ShadowWorld, chance: random.Random, hosts: int) -> None:
    snapshot = overlays_alone(chance, random_world(chance, hosts, ports=9))
    views = tuple(_view(chance, snapshot, str(host.name)) for host in snapshot.hosts)
    world.load(snapshot, views)
    scene = Scene(snapshot, views, world.compiled)
    here = [port for port in snapshot.ports if port.id in scene.ofports]
    pairs = [(a, b) for a in here for b in snapshot.ports if a is not b and scene.family_of(a, b) is not None]
    plugged = frozenset(scene.ofports)
    fates = {True: 0, False: 0}
    for source, target in chance.sample(pairs, len(pairs)):
        service, sample = _sample(chance, scene, source, target)
        expected = reaches(snapshot, plugged, sample)
        fates[expected] += 1
        if fates[expected] <= OF_EACH_FATE:  # few pairs reach each other in a world of chance: those count as much
            cell = trace_pair(scene, world, service, source, target)
            assert (cell.verdict == "delivered") == expected, (service, source, target, cell)
