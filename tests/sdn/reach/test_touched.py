"""What was asked of a packet's way is asked again where a change could touch it, and nowhere else.

Random worlds with everything in them (tests/sdn/random_worlds.py) change at random; every pair's verdict is known before and
after from a shadow of the real classifier. What `Changes` leaves alone must be as it was.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdn.model.flow import Flow, FlowKey
from sdn.model.intent import HostView, IntentSnapshot, PortIntent, RuleIntent
from sdn.reach import Asked, Changes, Footprint, Scene, Service, SwitchState, Watched
from sdn.reach.touched import Place
from sdn.shadow import Shadow, ShadowWorld
from sdn.trace import predict
from tests.sdn.random_worlds import changed, random_view, random_world
from tests.sdn.worlds import make_world, view_of

SERVICES = (Service("tcp", 80), Service("icmp"))
Key = tuple[int, int, Service]
Answer = tuple[str, str, Asked, Footprint]


@pytest.fixture(scope="module")
def world() -> Iterator[ShadowWorld]:
    """One for the whole file: each test loads it by difference from the one before."""
    with Shadow() as shadow:
        made = ShadowWorld(shadow)
        yield made
        made.close()


def answered(world: ShadowWorld, scene: Scene, source: PortIntent, target: PortIntent, service: Service) -> Answer:
    question, watched = scene.question(source, target, service), Watched(world, world.states)
    trace = predict(question, watched, lambda causes: {})
    return trace.verdict, trace.reason, Asked.of(question, watched.footprint), watched.footprint


def answers(world: ShadowWorld, intent: IntentSnapshot, views: tuple[HostView, ...]) -> dict[Key, Answer]:
    world.load(intent, views)
    scene = Scene(intent, views, {})
    pairs = [(one, other) for one in intent.ports for other in intent.ports if one != other and scene.family_of(one, other)]  # fmt: skip
    return {
        (one.id, other.id, service): answered(world, scene, one, other, service)
        for one, other in pairs for service in SERVICES
    }  # fmt: skip


def asked_again(changes: Changes, before: Answer, scene: Scene, key: Key) -> bool:
    ports, (source, target, service) = scene.ports, key
    _, _, asked, footprint = before
    return changes.touch(footprint) or Asked.of(scene.question(ports[source], ports[target], service), footprint) != asked  # fmt: skip


def test_whose_verdict_changes_is_always_asked_again_and_most_others_are_not(world: ShadowWorld) -> None:
    seen: Counter[tuple[bool, bool]] = Counter()  # (its verdict changed, it is asked again) → how often

    @settings(max_examples=12)
    @given(st.randoms(use_true_random=False))
    def law(chance: random.Random) -> None:
        intent = random_world(chance, hosts=2, ports=5)
        views = tuple(random_view(chance, intent, host.name) for host in intent.hosts)
        before, states = answers(world, intent, views), world.states
        for step in range(3):
            intent = changed(chance, intent)
            if not step and chance.random() < 0.3:
                views = tuple(random_view(chance, intent, view.host) for view in views)
            after, scene = answers(world, intent, views), Scene(intent, views, {})
            changes = Changes(states, world.states)
            for key in before.keys() & after.keys():
                again = asked_again(changes, before[key], scene, key)
                seen[before[key][0] != after[key][0], again] += 1
                assert again or before[key][:2] == after[key][:2], (key, before[key][:2], after[key][:2])
            before, states = after, world.states

    law()
    assert not seen[True, False]
    assert seen[True, True] > 20, seen
    assert seen[False, False] > seen[True, True], seen


PLACE = Place("hv1", 65, {"tcp": "", "reg2": "0x5", "nw_src": "10.0.0.1", "tp_dst": "80", "nw_frag": "no", "ct_state": "new|trk"})  # fmt: skip
PORT, WEB, SSH = (("reg2", "0x5"),), (("tcp", ""), ("tp_dst", "80")), (("tcp", ""), ("tp_dst", "22"))


def state(*flows: tuple[tuple[tuple[str, str], ...], str]) -> dict[str, SwitchState]:
    """A switch whose table 65 has these flows: match and actions."""
    made = {(key := FlowKey(65, 60, match)): Flow(key, 1, tuple(actions.split())) for match, actions in flows}
    return {"hv1": SwitchState(made, frozenset((7,)), frozenset())}


@pytest.mark.parametrize(
    ("before", "after", "touches"),
    [
        ((), ((WEB, "drop"),), True),
        ((), ((SSH, "drop"),), False),
        ((), (((("dl_vlan", "7"),), "drop"),), True),  # in doubt
        (((WEB, "output:1"),), ((WEB, "output:2"),), True),
        (((WEB, "output:1"),), ((WEB, "output:1"),), False),
        (((PORT, "conjunction(3,1/2)"),), ((PORT, "conjunction(3,1/2)"), (WEB, "conjunction(4,2/2)")), False),
        (((PORT, "conjunction(3,1/2)"),), ((PORT, "conjunction(3,1/2)"), (SSH, "conjunction(3,2/2)")), False),
        (((PORT, "conjunction(3,1/2)"),), ((PORT, "conjunction(3,1/2)"), (WEB, "conjunction(3,2/2)")), True),
        (((PORT, "conjunction(3,1/2)"), (WEB, "conjunction(3,2/2)")), ((PORT, "conjunction(3,1/2)"),), True),
        (
            ((PORT, "conjunction(3,1/2)"), (WEB, "conjunction(3,2/2)")),
            ((PORT, "conjunction(3,1/3)"), (WEB, "conjunction(3,2/3)"), (SSH, "conjunction(3,3/3)")),
            True,
        ),  # one clause more
        ((), (((("conj_id", "3"),), "output:1"),), True),  # of clauses that nobody knows: in doubt
        (((PORT, "conjunction(3,1/2)"),), ((PORT, "conjunction(3,1/2)"), ((("conj_id", "3"),), "output:1")), False),
        (((WEB, "conjunction(3,2/2)"),), ((WEB, "output:1"),), True),
        ((), (((("tcp", ""), ("nw_frag", "later")), "drop"),), False),
        ((), (((("ct_state", "+est+trk"),), "drop"),), False),
    ],
)
def test_a_flow_counts_where_it_may_match_the_packet_with_all_of_its_rule(
    before: Sequence[Any], after: Sequence[Any], touches: bool
) -> None:
    changes = Changes(state(*before), state(*after))
    assert changes.touch(Footprint((PLACE,), frozenset(), frozenset(("hv1",)))) is touches
    elsewhere = (replace(PLACE, table=25), replace(PLACE, host="hv2"))
    assert not changes.touch(Footprint(elsewhere, frozenset(), frozenset(("hv1", "hv2"))))


def test_ports_and_hosts_of_the_way_count_too() -> None:
    same, way = state((WEB, "output:7")), Footprint((PLACE,), frozenset((("hv1", 7),)), frozenset(("hv1",)))
    assert not Changes(same, state((WEB, "output:7"))).touch(way)
    unplugged = {"hv1": replace(same["hv1"], ofports=frozenset())}
    tunnelled = {"hv1": replace(same["hv1"], own=frozenset((("vxlan0", 9),)))}
    for other in (unplugged, tunnelled, {}):
        assert Changes(same, other).touch(way)
        assert Changes(other, same).touch(way)
    assert not Changes(same, {**same, "hv2": same["hv1"]}).touch(way), "a host that it never met"


# [vm-0]--[br-int@hv1]==[br-int@hv2]--[vm-1]   on net-0      [vm-2]--[br-int@hv1]==[br-int@hv2]--[vm-3]   on net-1
TWO = make_world(2, 2, [(0, 0), (0, 1), (1, 0), (1, 1)])


def theirs_again(world: ShadowWorld, after: IntentSnapshot) -> tuple[bool, bool]:
    """Is vm-0 → vm-1 asked again, and vm-2 → vm-3, when TWO becomes `after`?"""

    def views(intent: IntentSnapshot) -> tuple[HostView, ...]:
        return tuple(view_of(intent, str(host.name)) for host in intent.hosts)

    before = answers(world, TWO, views(TWO))
    states = world.states
    world.load(after, views(after))
    changes, scene = Changes(states, world.states), Scene(after, views(after), {})
    ours, theirs = ((one, one + 1, Service("tcp", 80)) for one in (1, 3))
    return asked_again(changes, before[ours], scene, ours), asked_again(changes, before[theirs], scene, theirs)


def ruled(group: int, *rules: RuleIntent) -> IntentSnapshot:
    """TWO with net-1's ports in a group of their own instead."""
    own = replace(TWO.groups[0], id=group, rules=rules)
    ports = tuple(replace(port, groups=(group,)) if port.network_id == 2 else port for port in TWO.ports)
    return replace(TWO, generation=2, ports=ports, groups=(*TWO.groups, own))


def test_a_change_in_another_network_asks_none_of_ours(world: ShadowWorld) -> None:
    """Rules with the same ports share their flows with ours; a new VM is known on all hosts; neither is on our way."""
    same = tuple(replace(rule, id=900 + number) for number, rule in enumerate(TWO.groups[0].rules))
    ssh = RuleIntent(990, "ingress", 4, "tcp", (80, 80))
    assert theirs_again(world, ruled(9, *same)) == (False, True)
    assert theirs_again(world, ruled(9, *same, ssh)) == (False, True)
    more = replace(TWO.ports[3], id=77, iface_id=TWO.ports[3].iface_id + "x", name="vm-77", mac=TWO.ports[3].mac[:-2] + "77",
                   addresses=(TWO.ports[3].addresses[0] + 50,))  # type: ignore[arg-type]  # fmt: skip
    assert theirs_again(world, replace(TWO, generation=3, ports=(*TWO.ports, more)))[0] is False


def test_a_change_that_opens_a_way_or_moves_an_end_asks_again(world: ShadowWorld) -> None:
    group = TWO.groups[0]
    closed = replace(TWO, generation=5, groups=(replace(group, rules=group.rules[1:]),))
    assert theirs_again(world, closed) == (True, True)
    moved = tuple(replace(port, host=TWO.hosts[0].name) if port.id == 2 else port for port in TWO.ports)
    assert theirs_again(world, replace(TWO, generation=6, ports=moved)) == (True, False)
