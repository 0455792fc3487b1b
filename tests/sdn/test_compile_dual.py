"""The compiler's laws where networks have both families, pairs and unsecured ports, in random small worlds."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv6Address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from sdn.compiler import compile_host
from sdn.model.addresses import Mac
from sdn.model.cookie import parse_cookie
from sdn.model.intent import AddressPair, IntentSnapshot, PortIntent
from sdn.pipeline import TABLE_BY_ID
from sdn.transport.codec import encode_flow
from tests.sdn.dual_world import SUBNET6
from tests.sdn.worlds import view_of, worlds

SOME = settings(max_examples=30)
PAIRS = (
    (),
    (AddressPair(ip_network("fd20::200/128")), AddressPair(ip_network("10.20.0.200/32"))),
    (AddressPair(ip_network("fd20::/64"), Mac("00:00:5e:00:01:01")), AddressPair(ip_network("10.20.0.128/25"), Mac("00:00:5e:00:01:01"))),
)  # fmt: skip


@st.composite
def dual_worlds(draw: st.DrawFn) -> IntentSnapshot:
    """A random world whose networks may have IPv6 and whose ports may have pairs or no security."""
    world: IntentSnapshot = draw(worlds())
    six = {network.id for network in world.networks if draw(st.booleans())}

    def port(one: PortIntent) -> PortIntent:
        more = (IPv6Address("fd20::") + one.id + 16,) if one.network_id in six else ()
        secured, pairs = draw(st.sampled_from((True, True, False))), draw(st.sampled_from(PAIRS))
        return replace(one, addresses=(*one.addresses, *more), is_secured=secured, pairs=pairs)

    networks = tuple(
        replace(network, subnets=(*network.subnets, replace(SUBNET6, id=90 + network.id)))
        if network.id in six
        else network
        for network in world.networks
    )
    return replace(world, networks=networks, ports=tuple(map(port, world.ports)))


@SOME
@given(dual_worlds(), st.randoms())
def test_the_order_of_the_intent_does_not_matter(world: IntentSnapshot, chance: random.Random) -> None:
    shuffled = replace(
        world,
        ports=tuple(chance.sample(world.ports, len(world.ports))),
        networks=tuple(chance.sample(world.networks, len(world.networks))),
    )
    assert compile_host(shuffled, view_of(world, "hv1")) == compile_host(world, view_of(world, "hv1"))


@SOME
@given(dual_worlds())
def test_every_flow_has_one_key_one_cause_known_next_tables_and_bytes(world: IntentSnapshot) -> None:
    keys = set()
    for flow in compile_host(world, view_of(world, "hv1")):
        assert parse_cookie(flow.cookie) is not None
        assert flow.key not in keys, flow
        keys.add(flow.key)
        jumps = [int(action.partition(":")[2]) for action in flow.actions if action.startswith("goto_table:")]
        assert {TABLE_BY_ID[number].name for number in jumps} <= set(TABLE_BY_ID[flow.key.table_id].next)
        assert encode_flow(flow).key


@SOME
@given(dual_worlds())
def test_what_a_host_has_without_ports_it_has_with_them(world: IntentSnapshot) -> None:
    empty = replace(world, ports=())
    without = set(compile_host(empty, view_of(empty, "hv1")))
    assert without <= set(compile_host(world, view_of(world, "hv1")))
