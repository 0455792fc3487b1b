"""Laws of the compiler and of the diff."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sdn.compiler import compile_host
from sdn.model.cookie import CauseKind, parse_cookie
from sdn.model.flow import Flow
from sdn.pipeline import TABLE_BY_ID, TABLES
from sdn.reconcile import WireFlow, WireKey, diff_flows, is_ours, wire_flow
from sdn.transport.codec import encode_flow
from tests.sdn.worlds import make_world, view_of, worlds


@given(worlds(), st.randoms())
def test_the_order_of_the_intent_does_not_matter(world, chance: random.Random) -> None:
    shuffled = replace(
        world,
        ports=tuple(chance.sample(world.ports, len(world.ports))),
        networks=tuple(chance.sample(world.networks, len(world.networks))),
    )
    assert compile_host(shuffled, view_of(world, "hv1")) == compile_host(world, view_of(world, "hv1"))


@given(worlds())
def test_every_flow_has_one_cause_goes_along_the_pipeline_and_can_be_encoded(world) -> None:
    keys = set()
    for flow in compile_host(world, view_of(world, "hv1")):
        assert parse_cookie(flow.cookie) is not None
        assert flow.key not in keys, "two flows with one key"
        keys.add(flow.key)
        assert {TABLE_BY_ID[number].name for number in _jumps(flow)} <= set(TABLE_BY_ID[flow.key.table_id].next)
        assert encode_flow(flow).key


def test_without_ports_there_are_only_the_systems_own_flows() -> None:
    world = make_world(2, 2, [])
    causes = {parse_cookie(flow.cookie) for flow in compile_host(world, view_of(world, "hv1"))}
    assert {cause.kind for cause in causes if cause} == {CauseKind.SYSTEM}


def test_every_table_has_a_miss_flow() -> None:
    world = make_world(1, 1, [(0, 0)])
    misses = {flow.key.table_id for flow in compile_host(world, view_of(world, "hv1")) if flow.key.priority == 0}
    assert misses == {table.table_id for table in TABLES}


def test_a_network_is_flooded_only_to_hosts_that_have_ports_on_it() -> None:
    world = make_world(3, 1, [(0, 0), (0, 1)])
    text = " ".join(action for flow in compile_host(world, view_of(world, "hv1")) for action in flow.actions)
    assert "192.0.2.12->tun_dst" in text
    assert "192.0.2.13->tun_dst" not in text


def _jumps(flow: Flow) -> list[int]:
    return [int(action.partition(":")[2]) for action in flow.actions if action.startswith("goto_table:")]


wire_flows = st.builds(
    wire_flow,
    table_id=st.integers(0, 3),
    priority=st.integers(0, 3),
    match=st.binary(max_size=2),
    cookie=st.sampled_from([0, 5, 0x4853 << 48 | 1, 0x4853 << 48 | 2]),
    instructions=st.binary(max_size=2),
)


def _by_key(flows: list[WireFlow]) -> dict[WireKey, WireFlow]:
    return {flow.key: flow for flow in flows}


@given(st.lists(wire_flows), st.lists(wire_flows))
def test_applying_the_diff_gives_what_is_desired_and_a_second_diff_is_empty(before, after) -> None:
    observed = _by_key(before)
    desired = {key: flow._replace(cookie=flow.cookie | 0x4853 << 48) for key, flow in _by_key(after).items()}
    plan = diff_flows(observed, desired.values())
    result = {key: flow for key, flow in observed.items() if flow not in plan.delete}
    result |= _by_key([*plan.add, *plan.replace])
    assert {key: flow for key, flow in result.items() if is_ours(flow.cookie)} == desired
    assert diff_flows(result, desired.values()).is_empty
    foreign = {key for key, flow in observed.items() if not is_ours(flow.cookie)}
    assert foreign <= set(result), "a foreign flow was deleted"
