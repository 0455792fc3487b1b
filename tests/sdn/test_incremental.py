"""Laws of the compiler's pieces: what follows the changes is what a compile from nothing makes of the last world."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdn.compiler import HostCompiler, Memo, compile_host, index_intent
from sdn.model.cookie import Cause, CauseKind, format_cookie
from sdn.model.flow import Flow
from sdn.model.intent import AddressPair, IntentSnapshot, PortIntent
from tests.sdn.random_worlds import changed, random_view, random_world
from tests.sdn.worlds import make_world, view_of


@settings(max_examples=60)
@given(st.randoms(use_true_random=False), st.integers(1, 8))
def test_following_any_changes_gives_what_a_compile_from_nothing_gives(chance: random.Random, steps: int) -> None:
    world, memo = random_world(chance), Memo[Flow]()
    compilers = {host.name: HostCompiler[Flow](lambda flow: flow, memo) for host in world.hosts}
    views = {host.name: random_view(chance, world, host.name) for host in world.hosts}
    index = index_intent(world)
    for _ in range(steps):
        for name, compiler in compilers.items():
            if chance.random() < 0.2:
                continue  # a host that was away for a generation
            if chance.random() < 0.3:
                views[name] = random_view(chance, world, name)
            observed = dict(compiler.flows)
            for key, before in compiler.update(index, views[name]).items():
                assert observed.get(key) == before
                observed |= {key: compiler.flows[key]} if key in compiler.flows else {}
                if key not in compiler.flows:
                    del observed[key]
            assert observed == compiler.flows, "what was told of as changed is not all that changed"
            assert tuple(sorted(compiler.flows.values())) == compile_host(world, views[name])
        world = changed(chance, world)
        index = index_intent(world, index)


@given(st.randoms(use_true_random=False))
def test_an_empty_intent_takes_back_every_flow_that_is_not_the_systems(chance: random.Random) -> None:
    world = random_world(chance)
    view = random_view(chance, world, world.hosts[0].name)
    nothing = IntentSnapshot(world.generation + 1, world.hosts, (), ())
    compiler = HostCompiler[Flow](lambda flow: flow)
    before = index_intent(world)
    compiler.update(before, view)
    compiler.update(index_intent(nothing, before), view)
    assert tuple(sorted(compiler.flows.values())) == compile_host(nothing, view)


def test_a_world_that_is_read_anew_and_equal_changes_nothing() -> None:
    world = make_world(2, 2, [(0, 0), (0, 1), (1, 0)])
    again = make_world(2, 2, [(0, 0), (0, 1), (1, 0)])
    index, compiler = index_intent(world), HostCompiler[Flow](lambda flow: flow)
    compiler.update(index, view_of(world, "hv1"))
    assert compiler.update(index_intent(replace(again, generation=9), index), view_of(again, "hv1")) == {}


def test_hosts_hold_what_they_have_in_common_once() -> None:
    world, memo = make_world(3, 1, [(0, 0), (0, 1), (0, 2)]), Memo[Flow]()
    one, two = (HostCompiler[Flow](lambda flow: flow, memo) for _ in range(2))
    for compiler, name in ((one, "hv1"), (two, "hv2")):
        compiler.update(index_intent(world), view_of(world, name))
    there = format_cookie(Cause(CauseKind.PORT, world.ports[2].id))
    of_both = [key for key, flow in one.flows.items() if flow.cookie == there and two.flows.get(key) == flow]
    assert len(of_both) > 1 and all(one.flows[key] is two.flows[key] for key in of_both)


def test_one_ports_change_touches_that_ports_flows_alone() -> None:
    world = make_world(2, 3, [(number % 3, number % 2) for number in range(60)])
    index, compiler, view = index_intent(world), HostCompiler[Flow](lambda flow: flow), view_of(world, "hv1")
    compiler.update(index, view)
    moved = replace(world.ports[0], addresses=(IPv4Address("10.20.0.200"),))
    after = index_intent(replace(world, ports=(moved, *world.ports[1:])), index)
    told = compiler.update(after, view)
    assert told
    texts = [str(key) + str(compiler.flows.get(key)) + str(before) for key, before in told.items()]
    assert all("10.20.0.200" in text or "10.20.0.10'" in text for text in texts), texts


def test_a_bad_row_leaves_nothing_half_done_and_the_next_compile_is_whole() -> None:
    world = make_world(1, 1, [(0, 0), (0, 0)])
    index, compiler, view = index_intent(world), HostCompiler[Flow](lambda flow: flow), view_of(world, "hv1")
    compiler.update(index, view)
    bad = replace(world.ports[0], pairs=(AddressPair(IPv4Network("10.9.0.0/24")), None))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        compiler.update(index_intent(replace(world, ports=(bad, world.ports[1])), index), view)
    compiler.update(index_intent(world, index), view)
    assert tuple(sorted(compiler.flows.values())) == compile_host(world, view)


def test_a_ports_change_costs_a_small_part_of_a_whole_compile() -> None:
    """A ratio within one run, so that a busy machine slows both."""
    world = make_world(2, 20, [(number % 20, number // 20 % 2) for number in range(240)])
    view = view_of(world, "hv1")
    index, compiler = index_intent(world), HostCompiler[Flow](lambda flow: flow)
    began = time.process_time()
    compiler.update(index_intent(world), view)
    whole_s = time.process_time() - began
    compiler.update(index, view)
    ones = []
    for number in range(5):
        world = replace(world, ports=_renamed(world.ports, number))
        began = time.process_time()
        index = index_intent(world, index)
        compiler.update(index, view)
        ones.append(time.process_time() - began)
    assert sorted(ones)[2] < whole_s / 20


def _renamed(ports: tuple[PortIntent, ...], number: int) -> tuple[PortIntent, ...]:
    moved = replace(ports[number], addresses=(IPv4Address(f"10.20.1.{number}"),))
    return (*ports[:number], moved, *ports[number + 1 :])
