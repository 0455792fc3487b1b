"""Asking for matrices, checks and what-ifs, and applying one: what pages and API share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.checks.models import Expected, MatrixRun, PathCheck, WhatIf
from portal.checks.serialize import check_changed, run_changed
from portal.networks.groups import GroupProblem, add_rule, remove_rule
from portal.networks.intent import lock_intent
from portal.networks.models import Network, Router, SecurityGroup, SecurityRule
from portal.networks.route_changes import apply_route, route_change
from portal.networks.rule_check import RuleSpec, check_rule
from portal.networks.rule_words import rule_words
from portal.operations.dispatch import enqueue_checks, enqueue_matrix, enqueue_what_if
from portal.traces.models import TraceRequest
from portal.traces.packets import WITH_PORTS
from portal.traces.requests import MAX_PORT, TraceSpec, check_trace

PROTOCOLS = ("tcp", "udp", "icmp")
MAX_CHECKS, KEPT_RUNS = 100, 30
SHOWN_CHARS = 40
ROUTE_WORDS: dict[str, str] = {
    WhatIf.Action.ADD: "Route to",
    WhatIf.Action.REPLACE: "Another route to",
    WhatIf.Action.REMOVE: "Remove the route to",
}
Errors = dict[str, list[str]]


class CheckProblem(Exception):
    """It cannot be asked for. `errors` holds field → sentences, all at once."""

    def __init__(self, errors: Errors) -> None:
        super().__init__("; ".join(line for lines in errors.values() for line in lines))
        self.errors = errors


def service_errors(protocol: str, port_dst: int) -> Errors:
    """What is wrong with a service; nothing when it can be asked for."""
    if protocol not in PROTOCOLS:
        return {
            "protocol": [
                gettext("protocol %(protocol)s was given; allowed are %(protocols)s")
                % {"protocol": f"{protocol[:SHOWN_CHARS]!r}", "protocols": ", ".join(PROTOCOLS)}
            ]
        }
    if protocol in WITH_PORTS and not 1 <= port_dst <= MAX_PORT:
        return {
            "port_dst": [
                gettext("port %(port_dst)s was given; %(protocol)s takes 1 to %(max_port)s")
                % {"port_dst": port_dst, "protocol": protocol, "max_port": MAX_PORT}
            ]
        }
    return {}


@transaction.atomic
def ask_matrix(team: Team, user: User, protocol: str, port_dst: int, network: Network | None = None) -> MatrixRun:
    """A matrix, sent to a worker on commit; the team's oldest ones go. Raises CheckProblem."""
    if errors := service_errors(protocol, port_dst):
        raise CheckProblem(errors)
    port = port_dst if protocol in WITH_PORTS else 0
    run = MatrixRun.objects.create(team=team, created_by=user, network=network, protocol=protocol, port_dst=port)
    old = list(MatrixRun.objects.filter(team=team).values_list("pk", flat=True)[KEPT_RUNS:])
    MatrixRun.objects.filter(pk__in=old).delete()
    run_changed(run)
    transaction.on_commit(lambda: enqueue_matrix(run.pk))
    return run


@transaction.atomic
def add_check(team: Team, user: User, spec: TraceSpec, expected: str) -> PathCheck:
    """A path that is looked at from now on. Raises CheckProblem with everything that is wrong."""
    errors = check_trace(team, spec)
    if spec.protocol not in PROTOCOLS:
        errors |= service_errors(spec.protocol, spec.port_dst)
    if expected not in Expected.values:
        errors["expected"] = [
            gettext("%(expected)s was given; allowed are %(values)s")
            % {"expected": f"{expected[:SHOWN_CHARS]!r}", "values": ", ".join(Expected.values)}
        ]
    locked = Team.objects.select_for_update(no_key=True).get(pk=team.pk)
    if locked.checks.count() >= MAX_CHECKS:
        errors.setdefault("source", []).append(
            gettext("%(team)s has %(max_checks)s checks, the most that a team may have")
            % {"team": team.name, "max_checks": MAX_CHECKS}
        )
    if errors or spec.source is None:
        raise CheckProblem(errors)
    port = spec.port_dst if spec.protocol in WITH_PORTS else 0
    columns = {"source": spec.source, "target": spec.target, "address": spec.address if spec.target is None else "", "protocol": spec.protocol, "port_dst": port}  # fmt: skip
    if locked.checks.filter(**columns).exists():
        raise CheckProblem({"target": [gettext("this path is checked already: remove that check first")]})
    check = PathCheck.objects.create(team=team, created_by=user, expected=expected, **columns)
    record("check.add", team, user, ("check", str(check.uuid), f"{check.title} {check.service}"), after={"expected": expected})  # fmt: skip
    check_changed(check)
    transaction.on_commit(lambda: enqueue_checks(check.pk))
    return check


@transaction.atomic
def remove_check(check: PathCheck, user: User) -> None:
    """The path is looked at no more; its history goes with it."""
    record("check.remove", check.team, user, ("check", str(check.uuid), f"{check.title} {check.service}"))
    check.delete()


@dataclass(frozen=True, slots=True)
class WhatIfSpec:
    """A rule to add to `group`, or one of its rules to remove (then `rule` counts for nothing)."""

    group: SecurityGroup
    rule: RuleSpec
    removed: SecurityRule | None = None
    trace: TraceRequest | None = None


@transaction.atomic
def ask_what_if(team: Team, user: User, spec: WhatIfSpec) -> WhatIf:
    """A what-if, sent to a worker on commit. Nothing of the network changes. Raises GroupProblem."""
    if spec.removed is not None:
        words, fields, action = f"Remove {rule_words(spec.removed)}", {}, WhatIf.Action.REMOVE
    else:
        columns, errors = check_rule(spec.rule)
        if not errors and spec.group.rules.filter(**columns).exists():
            errors["protocol"] = [gettext("%(group)s has this rule already") % {"group": spec.group.name}]
        if errors:
            raise GroupProblem(errors)
        words = f"Allow {rule_words(SecurityRule(group=spec.group, **columns))}"
        fields, action = rule_fields(spec.rule), WhatIf.Action.ADD
    run = WhatIf.objects.create(
        team=team, group=spec.group, trace=spec.trace, removed=spec.removed, created_by=user, action=action, rule=fields,
        title=f"{words}, group {spec.group.name}"[:200],
    )  # fmt: skip
    return _sent(run)


def _sent(run: WhatIf) -> WhatIf:
    """The what-if, told to the team and sent to a worker on commit; the team's oldest ones go."""
    team = run.team
    old = list(WhatIf.objects.filter(team=team).values_list("pk", flat=True)[KEPT_RUNS:])
    WhatIf.objects.filter(pk__in=old).delete()
    run_changed(run)
    transaction.on_commit(lambda: enqueue_what_if(run.pk))
    return run


@dataclass(frozen=True, slots=True)
class RouteWhatIf:
    """A static route of `router` to add, to put in place of the one to the same destination, or (no next hop) to remove."""

    router: Router
    destination: str
    next_hop: str = ""
    trace: TraceRequest | None = None


@transaction.atomic
def ask_route_what_if(team: Team, user: User, spec: RouteWhatIf) -> WhatIf:
    """A what-if about a route, sent to a worker on commit. Nothing of the network changes. Raises NetworkProblem."""
    action, to, via = route_change(spec.router, spec.destination, spec.next_hop)
    words = f"{ROUTE_WORDS[action]} {to}{f' by {via}' if via else ''}, router {spec.router.name}"
    run = WhatIf.objects.create(
        team=team, router=spec.router, trace=spec.trace, created_by=user, action=action, title=words[:200],
        rule={"destination": to, "next_hop": via},
    )  # fmt: skip
    return _sent(run)


def rule_fields(rule: RuleSpec) -> dict[str, Any]:
    """A rule's form fields as JSON; the group by its id."""
    remote = rule.remote_group.pk if rule.remote_group else None
    return {
        "direction": rule.direction, "family": rule.family, "protocol": rule.protocol, "ports": rule.ports,
        "cidr": rule.cidr, "remote_group": remote,
    }  # fmt: skip


def rule_of(run: WhatIf) -> RuleSpec:
    """The rule that a what-if would add. Raises GroupProblem when the group it names is gone."""
    fields = dict(run.rule)
    remote_id = fields.pop("remote_group", None)
    remote = SecurityGroup.objects.filter(team=run.team, pk=remote_id).first() if remote_id else None
    if remote_id and remote is None:
        raise GroupProblem({"remote_group": [gettext("the group that the rule names is gone")]})
    return replace(RuleSpec(**fields), remote_group=remote)


@transaction.atomic
def apply_what_if(run: WhatIf, user: User) -> WhatIf:
    """Exactly that change, by the group's or router's page's own functions. Raises GroupProblem or NetworkProblem when it
    cannot be made any more."""
    lock_intent()
    locked = (
        WhatIf.objects.select_for_update(of=("self",))
        .select_related("group__team", "router__team", "team")
        .get(pk=run.pk)
    )
    if locked.applied_at is not None:
        return locked
    if locked.router is not None:
        apply_route(locked.router, locked.action, locked.rule)
    elif locked.group is None:
        raise GroupProblem({"group": [gettext("the group is gone: somebody removed it")]})
    elif locked.action == WhatIf.Action.ADD:
        add_rule(locked.group, rule_of(locked), user)
    elif locked.removed is None:
        raise GroupProblem({"rule": [gettext("the rule is gone already: somebody removed it")]})
    else:
        remove_rule(locked.removed, user)
    WhatIf.objects.filter(pk=run.pk).update(applied_at=timezone.now(), applied_by=user)
    return WhatIf.objects.get(pk=run.pk)
