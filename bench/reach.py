"""A matrix of 100 VMs against one trace per pair on the same shadow, and a what-if among 50."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from ipaddress import IPv4Network

from sdn.model.intent import IntentSnapshot, RuleIntent, SecurityGroupIntent
from sdn.reach import (
    AddRule,
    Scene,
    Service,
    changed_pairs,
    edited,
    flow_diff,
    matrix,
    touched_pairs,
    touched_services,
    trace_pair,
)
from sdn.shadow import Shadow, ShadowWorld
from tests.sdn.worlds import make_world, view_of

VMS, FEW_VMS, HOSTS, SAMPLE = 100, 50, 4, 300
SERVICES = (Service("tcp", 22), Service("tcp", 5432))
DEFAULT, WEB, APP, DB = 2, 3, 4, 5


def _groups() -> tuple[SecurityGroupIntent, ...]:
    """The groups that a team has: everything out and in from the same group; web from anywhere, app from web, db from app."""
    out = [RuleIntent(number, "egress", family, "any") for number, family in ((20, 4), (21, 6))]
    return (
        SecurityGroupIntent(DEFAULT, "default", (*out, RuleIntent(22, "ingress", 4, "any", group_id=DEFAULT))),
        SecurityGroupIntent(WEB, "web", (*(replace(one, id=one.id + 10) for one in out), RuleIntent(32, "ingress", 4, "tcp", (443, 443)), RuleIntent(33, "ingress", 4, "tcp", (22, 22), IPv4Network("10.20.0.0/26")))),
        SecurityGroupIntent(APP, "app", (*(replace(one, id=one.id + 20) for one in out), RuleIntent(42, "ingress", 4, "tcp", (8000, 8080), group_id=WEB), RuleIntent(43, "ingress", 4, "tcp", (22, 22)))),
        SecurityGroupIntent(DB, "db", (RuleIntent(52, "ingress", 4, "tcp", (5432, 5432), group_id=APP),)),
    )  # fmt: skip


def _world(vms: int) -> IntentSnapshot:
    plain = make_world(HOSTS, 2, [(number % 5 == 4, number % HOSTS) for number in range(vms)])
    ports = tuple(
        replace(port, groups=((DEFAULT,), (WEB,), (APP,), (DB,))[port.id * 7 // 4 % 4]) for port in plain.ports
    )
    return replace(plain, groups=_groups(), ports=ports)


def _scene(world: ShadowWorld, snapshot: IntentSnapshot) -> Scene:
    views = tuple(view_of(snapshot, str(host.name)) for host in snapshot.hosts)
    world.load(snapshot, views)
    return Scene(snapshot, views, world.compiled)


def matrix_100_vms() -> dict[str, object]:
    """Both services of all pairs, the shadow warm; the reference is a sample of the pairs, traced each, as many times over."""
    snapshot = _world(VMS)
    ids = [port.id for port in snapshot.ports]
    pairs = [(source, target) for source in ids for target in ids if source != target]
    with Shadow() as shadow:
        world = ShadowWorld(shadow)
        scene = _scene(world, snapshot)
        began = time.perf_counter()
        found = [matrix(scene, world, service, ids) for service in SERVICES]
        mine = time.perf_counter() - began
        sample = random.Random(7).sample(pairs, SAMPLE)
        began = time.perf_counter()
        for source, target in sample:
            for one in found:
                cell = trace_pair(scene, world, one.service, scene.ports[source], scene.ports[target])
                assert cell == one.cells[source, target], (source, target, cell)
        each = (time.perf_counter() - began) / SAMPLE
        world.close()
    how = (
        f"{len(pairs)} pairs of {VMS} VMs on {HOSTS} hosts, 2 networks, 4 groups, × {len(SERVICES)} services, by "
        f"{sum(one.traces for one in found)} traces on a warm shadow; reference: one trace per pair, {SAMPLE} pairs measured "
        "(each compared with its cell), times the number of pairs"
    )
    reference = each * len(pairs)
    return {
        "ours": round(mine, 3),
        "reference": round(reference, 2),
        "ratio": round(mine / reference, 4),
        "unit": "s",
        "how": how,
    }


def what_if_50_vms_s() -> dict[str, object]:
    """A rule added to a group of 50 VMs: flow diff, and every pair whose verdict changes, for every class of ports."""
    snapshot = _world(FEW_VMS)
    edit = AddRule(DB, RuleIntent(99, "ingress", 4, "tcp", (5000, 6000), group_id=WEB))
    rules = [rule for group in snapshot.groups for rule in group.rules]
    services = touched_services(rules, edit.rule)
    with Shadow() as shadow:
        now, then = ShadowWorld(shadow), ShadowWorld(shadow, "b")
        before = _scene(now, snapshot)
        _scene(then, snapshot)
        began = time.perf_counter()
        after = _scene(then, edited(snapshot, edit))
        diff = flow_diff(before.flows, after.flows)
        ids = list(before.ports)
        pairs = touched_pairs(snapshot, edit, ids)
        changed = [
            pair
            for service in services
            for pair in changed_pairs(
                matrix(before, now, service, ids, pairs), matrix(after, then, service, ids, pairs)
            )
        ]
        mine = time.perf_counter() - began
        assert diff and changed
        for world in (now, then):
            world.close()
    how = (
        f"one rule more: recompiled for {HOSTS} hosts, {sum(map(len, diff.values()))} flows changed, two matrices × "
        f"{len(services)} services ({', '.join(map(str, services))}), {len(changed)} of {len(pairs)} touched pairs changed; reference: the bar"
    )
    return {"ours": round(mine, 3), "reference": 3.0, "ratio": round(mine / 3.0, 3), "unit": "s", "how": how}
