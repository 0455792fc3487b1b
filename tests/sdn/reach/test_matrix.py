"""A matrix made of classes says, pair by pair, what a trace of each pair says; a shadow of an intent, what the switches do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdn.model.addresses import IfaceId, Mac, Vni
from sdn.model.flow import Flow, FlowKey
from sdn.model.intent import (
    Address,
    ExternalIntent,
    FloatingIntent,
    IntentSnapshot,
    RouterIntent,
    RouterPortIntent,
    RuleIntent,
    SecurityGroupIntent,
    SubnetIntent,
)
from sdn.reach import (
    AddRule,
    Matrix,
    Scene,
    Service,
    changed_pairs,
    differing,
    edited,
    matrix,
    touched_pairs,
    touched_services,
    trace_pair,
)
from sdn.shadow import Shadow, ShadowWorld
from tests.sdn.worlds import make_world, view_of

SERVICES = (Service("tcp", 22), Service("udp", 53), Service("icmp"), Service("tcp", 5432))


@pytest.fixture(scope="module")
def shadow() -> Iterator[Shadow]:
    with Shadow() as running:
        yield running


@pytest.fixture(scope="module")
def world(shadow: Shadow) -> Iterator[ShadowWorld]:
    """One world for the whole file: each test loads it by difference from the one before."""
    made = ShadowWorld(shadow)
    yield made
    made.close()


def load(world: ShadowWorld, snapshot: IntentSnapshot, unplugged: frozenset[int] = frozenset()) -> Scene:
    gone = {port.iface_id for port in snapshot.ports if port.id in unplugged}
    views = tuple(view_of(snapshot, str(host.name)) for host in snapshot.hosts)
    views = tuple(replace(view, ofports=tuple(one for one in view.ofports if one[0] not in gone)) for view in views)
    views = tuple(replace(view, external_ofport=2) if snapshot.externals else view for view in views)
    world.load(snapshot, views)
    return Scene(snapshot, views, world.compiled)


def assert_equals_tracing_each_pair(scene: Scene, world: ShadowWorld, found: Matrix) -> None:
    ports = scene.ports
    for (source, target), cell in found.cells.items():
        assert cell == trace_pair(scene, world, found.service, ports[source], ports[target]), (source, target)


@st.composite
def rules(draw: st.DrawFn, first_id: int, groups: int) -> tuple[RuleIntent, ...]:
    made = []
    for number in range(draw(st.integers(0, 4))):
        family = draw(st.sampled_from((4, 4, 6)))
        protocol = draw(st.sampled_from(("any", "tcp", "udp", "icmp")))
        ports = draw(st.sampled_from((None, (22, 22), (20, 60), (1, 65535)))) if protocol in ("tcp", "udp") else None
        blocks = ("10.20.0.0/28", "10.20.0.10/32", "10.20.0.12/30") if family == 4 else ("fd00::/120", "fd00::10/128")
        cidr = draw(st.sampled_from((None, *blocks)))
        group = draw(st.sampled_from((None, *range(2, 2 + groups)))) if cidr is None else None
        block = None if cidr is None else IPv4Network(cidr) if family == 4 else IPv6Network(cidr)
        direction = draw(st.sampled_from(("ingress", "ingress", "egress")))
        made.append(RuleIntent(first_id + number, direction, family, protocol, ports, block, group))
    return tuple(made)


@st.composite
def grouped_worlds(draw: st.DrawFn) -> IntentSnapshot:
    """Up to seven ports of up to two networks on two hosts, in random groups of random rules, some with IPv6."""
    ports = draw(st.lists(st.tuples(st.integers(0, 1), st.sampled_from((0, 0, 1, None))), min_size=2, max_size=7))
    plain = make_world(2, 2, ports)
    count = draw(st.integers(1, 3))
    groups = [
        SecurityGroupIntent(number, f"group {number}", draw(rules(number * 100, count)))
        for number in range(2, 2 + count)
    ]
    six = tuple(
        replace(one, subnets=(*one.subnets, SubnetIntent(one.id + 50, IPv6Network("fd00::/64"), IPv6Address("fd00::1"), ())))
        for one in plain.networks
    )  # fmt: skip
    members = []
    for port in plain.ports:
        chosen = draw(st.sets(st.sampled_from([1, *(group.id for group in groups)]), max_size=2))
        both = (*port.addresses, IPv6Address(f"fd00::{port.id + 15:x}")) if draw(st.booleans()) else port.addresses
        members.append(
            replace(port, groups=tuple(sorted(chosen)), addresses=both, is_secured=draw(st.integers(0, 5)) > 0)
        )
    whole = replace(plain, networks=six, groups=(*plain.groups, *groups), ports=tuple(members))
    return routed(whole, has_way_out=draw(st.booleans())) if draw(st.booleans()) else whole


def routed(world: IntentSnapshot, has_way_out: bool) -> IntentSnapshot:
    """The world with its networks' addresses apart and a router between them, perhaps with a way out and a floating address."""
    first, second = world.networks
    four = SubnetIntent(second.id, IPv4Network("10.21.0.0/24"), IPv4Address("10.21.0.1"), ())
    six = SubnetIntent(second.id + 50, IPv6Network("fd01::/64"), IPv6Address("fd01::1"), ())
    ports = tuple(
        replace(port, addresses=tuple(_moved(one) for one in port.addresses)) if port.network_id == second.id else port
        for port in world.ports
    )
    legs = tuple(
        RouterPortIntent(network.id, subnet) for network in world.networks for subnet in (network.id, network.id + 50)
    )
    router = RouterIntent(1, "router", Vni(9000), 40000, legs)
    externals: tuple[ExternalIntent, ...] = ()
    if has_way_out:
        externals = (
            ExternalIntent(1, "internet", None, 1500, IPv4Network("198.51.100.0/24"), IPv4Address("198.51.100.1")),
        )
        fixed = ports[0].addresses[0]
        assert isinstance(fixed, IPv4Address)
        router = replace(
            router, external_id=1, external_address=IPv4Address("198.51.100.9"), external_mac=Mac("52:54:00:ee:00:01"),
            gateway_host=world.hosts[0].name, floating=(FloatingIntent(1, IPv4Address("198.51.100.20"), ports[0].id, fixed),),
        )  # fmt: skip
    networks = (first, replace(second, subnets=(four, six)))
    return replace(world, networks=networks, ports=ports, routers=(router,), externals=externals)


def _moved(address: Address) -> Address:
    """The same place in the second network's own subnet."""
    return address + (1 << 16) if address.version == 4 else address + (1 << 112)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    snapshot=grouped_worlds(), service=st.sampled_from(SERVICES), unplugged=st.frozensets(st.integers(1, 7), max_size=1)
)
def test_a_matrix_equals_a_trace_of_each_pair(world: ShadowWorld, snapshot: IntentSnapshot, service: Service, unplugged: frozenset[int]) -> None:  # fmt: skip
    scene = load(world, snapshot, unplugged)
    found = matrix(scene, world, service, [port.id for port in snapshot.ports])
    assert len(found.cells) == len(snapshot.ports) * (len(snapshot.ports) - 1)
    assert_equals_tracing_each_pair(scene, world, found)


@pytest.fixture(scope="module")
def other(shadow: Shadow) -> Iterator[ShadowWorld]:
    made = ShadowWorld(shadow, "b")
    yield made
    made.close()


BLOCKS = (
    (("tcp", ""), ("tp_dst", "22")), (("ip", ""), ("nw_dst", "10.20.0.11")), (("udp", ""),), (("dl_dst", "52:54:00:00:00:12"),), (),
)  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    snapshot=grouped_worlds(), service=st.sampled_from(SERVICES), match=st.sampled_from(BLOCKS),
    unplugged=st.frozensets(st.integers(1, 7), max_size=1), most=st.sampled_from((3, 200)),
)  # fmt: skip
def test_what_differs_class_by_class_is_what_two_matrices_differ_in(world: ShadowWorld, other: ShadowWorld, snapshot: IntentSnapshot, service: Service, match: tuple[tuple[str, str], ...], unplugged: frozenset[int], most: int) -> None:  # fmt: skip
    """One host has a foreign flow more, which drops."""
    scene, host = load(world, snapshot, unplugged), str(snapshot.hosts[0].name)
    given_flows = {host: (*scene.flows[host], Flow(FlowKey(0, 60000, match), 0x77, ()))}
    other.load(snapshot, scene.views, given_flows)
    after = Scene(snapshot, scene.views, other.compiled)
    ids = list(scene.ports)
    here = {port.id for port in snapshot.ports if port.host == host}
    pairs = [(one, two) for one in ids for two in ids if one != two and (one in here or two in here)]
    wanted = list(changed_pairs(matrix(scene, world, service, ids, pairs), matrix(after, other, service, ids, pairs)))
    found = differing((scene, world), (after, other), service, ids, here, most)
    assert (found.count, found.pairs) == (len(wanted), len(pairs))
    assert list(found.first) == wanted[:most]


def test_sixty_ports_are_asked_by_a_few_looks(world: ShadowWorld, other: ShadowWorld) -> None:
    """[30 VMs]--[br-int@hv1]==[br-int@hv2]--[30 VMs]: one group, and tcp/22 dropped on hv1."""
    plain = make_world(2, 1, [(0, 0)])
    ports = tuple(
        replace(
            plain.ports[0], id=number + 1, iface_id=IfaceId(f"port-{number}"), name=f"vm-{number}", host=plain.hosts[number % 2].name,
            mac=Mac(f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"), addresses=(IPv4Address("10.20.0.10") + number,),
        )
        for number in range(60)
    )  # fmt: skip
    scene = load(world, replace(plain, ports=ports))
    drop = Flow(FlowKey(0, 60000, (("tcp", ""), ("tp_dst", "22"))), 0x77, ())
    other.load(scene.snapshot, scene.views, {"hv1": (*scene.flows["hv1"], drop)})
    after = Scene(scene.snapshot, scene.views, other.compiled)
    here = {port.id for port in ports if port.host == "hv1"}
    found = differing((scene, world), (after, other), Service("tcp", 22), list(scene.ports), here, 5)
    assert found.pairs == 30 * 29 + 2 * 30 * 30 and found.count == found.pairs
    assert [(one.source, one.target) for one in found.first] == [(1, 2), (1, 3), (1, 4), (1, 5), (1, 6)]
    assert found.looks < 40


def test_ports_of_the_same_groups_are_of_one_class_and_others_are_not(world: ShadowWorld) -> None:
    """Twelve VMs of two roles on two hosts: some look-ups answer for 132 pairs."""
    web = SecurityGroupIntent(
        2, "web", (RuleIntent(20, "ingress", 4, "tcp", (80, 80)), RuleIntent(21, "egress", 4, "any"))
    )
    db = SecurityGroupIntent(3, "db", (RuleIntent(30, "ingress", 4, "tcp", (5432, 5432), group_id=2), RuleIntent(31, "egress", 4, "any")))  # fmt: skip
    plain = make_world(2, 1, [(0, number % 2) for number in range(12)])
    ports = tuple(replace(port, groups=(2 if port.id <= 8 else 3,)) for port in plain.ports)
    scene = load(world, replace(plain, groups=(web, db), ports=ports))
    found = matrix(scene, world, Service("tcp", 5432), list(scene.ports))
    assert found.traces < 40, "of 132 pairs"
    assert found.cells[1, 9].verdict == "delivered"
    assert found.cells[1, 2].verdict == "dropped"
    assert found.cells[9, 10].verdict == "dropped"
    assert "no ingress rule allows it" in found.cells[9, 10].reason
    assert found.cells[9, 10].suggestion.endswith("rule of one of vm-9's security groups.")
    assert_equals_tracing_each_pair(scene, world, found)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(snapshot=grouped_worlds(), data=st.data())
def test_an_edit_changes_no_pair_but_those_it_touches(world: ShadowWorld, snapshot: IntentSnapshot, data: st.DataObject) -> None:  # fmt: skip
    (rule,) = data.draw(rules(900, 1).filter(lambda made: len(made) == 1))
    edit = AddRule(2, rule)
    ids = [port.id for port in snapshot.ports]
    service = data.draw(st.sampled_from(SERVICES))
    scene = load(world, snapshot)
    before = matrix(scene, world, service, ids)
    scene = load(world, edited(snapshot, edit))
    after = matrix(scene, world, service, ids)
    touched = touched_pairs(snapshot, edit, ids)
    assert {(one.source, one.target) for one in changed_pairs(before, after)} <= set(touched)
    some = matrix(scene, world, service, ids, touched)
    assert all(after.cells[pair] == cell for pair, cell in some.cells.items())


def test_services_stand_for_every_range_that_rules_tell_apart() -> None:
    others = (RuleIntent(1, "ingress", 4, "tcp", (22, 22)), RuleIntent(2, "ingress", 4, "udp", (53, 53)))
    wide = RuleIntent(3, "ingress", 4, "tcp", (20, 60))
    assert [str(one) for one in touched_services(others, wide)] == ["tcp/20", "tcp/22", "tcp/23"]
    assert [str(one) for one in touched_services(others, RuleIntent(4, "ingress", 4, "icmp", (8, -1)))] == ["icmp"]
    every = touched_services(others, RuleIntent(5, "ingress", 4, "any"), [Service("tcp", 5432)])
    assert [str(one) for one in every] == [
        "tcp/5432", "icmp", "tcp/1", "tcp/22", "tcp/23", "udp/1", "udp/53", "udp/54", "sctp/1",
    ]  # fmt: skip


def test_a_router_joins_the_pairs_of_its_networks(world: ShadowWorld) -> None:
    """[vm-0 of net-0]--[br-int@hv1]==[br-int@hv2]--[vm-1 of net-1]"""
    apart = make_world(2, 2, [(0, 0), (1, 1)])
    both = [port.id for port in apart.ports]
    found = matrix(load(world, apart), world, Service("icmp"), both)
    assert {cell.verdict for cell in found.cells.values()} == {"dropped"}
    joined = load(world, routed(apart, has_way_out=True))
    found = matrix(joined, world, Service("icmp"), both)
    assert {cell.verdict for cell in found.cells.values()} == {"delivered"}, found.cells
    assert_equals_tracing_each_pair(joined, world, found)


def test_a_world_loaded_by_difference_has_the_flows_of_one_loaded_whole(shadow: Shadow, world: ShadowWorld) -> None:
    first = make_world(2, 2, [(0, 0), (0, 1), (1, 1)])
    load(world, first)
    second = make_world(2, 2, [(0, 1), (0, 1), (1, 0), (0, 0)])
    load(world, second)
    fresh = ShadowWorld(shadow, "z")
    load(fresh, second)
    for host in (1, 2):
        assert _flows(shadow, f"a{host}") == _flows(shadow, f"z{host}")
    fresh.close()


def _flows(shadow: Shadow, bridge: str) -> list[str]:
    return sorted(line.split(", ", 6)[-1] for line in shadow.dump_flows(bridge).splitlines())
