"""An intent with rules or routes added or removed, which services that can matter to, and what it comes to in flows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sdn.model.flow import Flow, format_flow
from sdn.model.intent import Address, Cidr, IntentSnapshot, RouteIntent, RuleIntent, SecurityGroupIntent
from sdn.reach.pairs import Service, ServiceProtocol

MAX_SERVICES = 12
PORT_PROTOCOLS: tuple[ServiceProtocol, ...] = ("tcp", "udp", "sctp")


@dataclass(frozen=True, slots=True)
class AddRule:
    """One more rule in a group; its id is the one that the row would get."""

    group_id: int
    rule: RuleIntent


@dataclass(frozen=True, slots=True)
class RemoveRule:
    """A group without one of its rules."""

    group_id: int
    rule_id: int


@dataclass(frozen=True, slots=True)
class SetRoute:
    """A router whose packets to `destination` go to `next_hop`, in place of where they went; None: without that route."""

    router_id: int
    destination: Cidr
    next_hop: Address | None


RuleEdit = AddRule | RemoveRule
Edit = RuleEdit | SetRoute


def edited(snapshot: IntentSnapshot, edit: Edit) -> IntentSnapshot:
    """The intent as it would be. Raises KeyError where the group or router, or what is to be removed, is not in it."""
    if isinstance(edit, SetRoute):
        return _rerouted(snapshot, edit)
    if edit.group_id not in {group.id for group in snapshot.groups}:
        raise KeyError(edit.group_id)
    groups = tuple(_edited(group, edit) if group.id == edit.group_id else group for group in snapshot.groups)
    return replace(snapshot, groups=groups)


def _rerouted(snapshot: IntentSnapshot, edit: SetRoute) -> IntentSnapshot:
    router = next((router for router in snapshot.routers if router.id == edit.router_id), None)
    if router is None:
        raise KeyError(edit.router_id)
    left = tuple(route for route in router.routes if route.destination != edit.destination)
    if edit.next_hop is None and len(left) == len(router.routes):
        raise KeyError(str(edit.destination))
    more = (RouteIntent(edit.destination, edit.next_hop),) if edit.next_hop is not None else ()
    changed = replace(router, routes=(*left, *more))
    return replace(snapshot, routers=tuple(changed if one.id == router.id else one for one in snapshot.routers))


def _edited(group: SecurityGroupIntent, edit: RuleEdit) -> SecurityGroupIntent:
    if isinstance(edit, AddRule):
        return replace(group, rules=(*group.rules, edit.rule))
    left = tuple(rule for rule in group.rules if rule.id != edit.rule_id)
    if len(left) == len(group.rules):
        raise KeyError(edit.rule_id)
    return replace(group, rules=left)


def rule_of(snapshot: IntentSnapshot, edit: RuleEdit) -> RuleIntent:
    """The rule that the edit is about. Raises KeyError."""
    if isinstance(edit, AddRule):
        return edit.rule
    rules = {rule.id: rule for group in snapshot.groups for rule in group.rules}
    return rules[edit.rule_id]


def touched_services(
    rules: Iterable[RuleIntent], rule: RuleIntent, also: Iterable[Service] = ()
) -> tuple[Service, ...]:
    """One service for each class that the rule can make a difference to, given all the rules there are.

    Rules divide the ports of a protocol in ranges, within which no rule tells one port from another: the first port of each
    range inside the rule's own stands for it. At most MAX_SERVICES, those of `also` first.
    """
    protocols: tuple[ServiceProtocol, ...] = ("icmp", *PORT_PROTOCOLS) if rule.protocol == "any" else (rule.protocol,)
    found = dict.fromkeys(service for service in also if service.protocol in protocols and _is_in(rule, service))
    theirs = tuple(rules)
    for protocol in protocols:
        found.update(dict.fromkeys(_ranges(theirs, rule, protocol)))
    return tuple(found)[:MAX_SERVICES]


def _ranges(rules: tuple[RuleIntent, ...], rule: RuleIntent, protocol: ServiceProtocol) -> Iterator[Service]:
    if protocol == "icmp":
        yield Service("icmp")
        return
    first, last = rule.ports if rule.ports and rule.protocol != "any" else (1, 65535)
    starts = {first}
    for other in rules:
        if other.protocol == protocol and other.ports is not None:
            starts.update((other.ports[0], other.ports[1] + 1))
    yield from (Service(protocol, start) for start in sorted(starts) if first <= start <= last)


def _is_in(rule: RuleIntent, service: Service) -> bool:
    return rule.ports is None or service.protocol == "icmp" or rule.ports[0] <= service.port <= rule.ports[1]


def touched_pairs(snapshot: IntentSnapshot, edit: Edit, port_ids: Sequence[int]) -> list[tuple[int, int]]:
    """The ordered pairs of those ports that the edit can matter to: those whose judged end is in the group.

    A rule is compiled for its group's members alone: an ingress rule judges what they receive, an egress rule what they send.
    A route decides on what is sent from the networks of its router.
    """
    if isinstance(edit, SetRoute):
        return _routed_pairs(snapshot, edit.router_id, port_ids)
    members = {port.id for port in snapshot.ports if edit.group_id in port.groups}
    judged = 0 if rule_of(snapshot, edit).direction == "egress" else 1
    every = ((one, other) for one in port_ids for other in port_ids if one != other)
    return [pair for pair in every if pair[judged] in members]


def _routed_pairs(snapshot: IntentSnapshot, router_id: int, port_ids: Sequence[int]) -> list[tuple[int, int]]:
    router = next(router for router in snapshot.routers if router.id == router_id)
    attached = {leg.network_id for leg in router.ports}
    senders = {port.id for port in snapshot.ports if port.network_id in attached}
    return [(one, other) for one in port_ids for other in port_ids if one != other and one in senders]


def flow_diff(before: Mapping[str, tuple[Flow, ...]], after: Mapping[str, tuple[Flow, ...]]) -> dict[str, tuple[str, ...]]:  # fmt: skip
    """Host → what changes, a line a flow: `-` deleted, `~` replaced, `+` added; hosts without a change are left out."""
    return {host: lines for host in sorted(after) if (lines := tuple(_lines(before.get(host, ()), after[host])))}


def _lines(before: tuple[Flow, ...], after: tuple[Flow, ...]) -> Iterator[str]:
    old, new = {flow.key: flow for flow in before}, {flow.key: flow for flow in after}
    yield from (f"- {format_flow(flow)}" for key, flow in sorted(old.items()) if key not in new)
    yield from (f"~ {format_flow(flow)}" for key, flow in sorted(new.items()) if key in old and old[key] != flow)
    yield from (f"+ {format_flow(flow)}" for key, flow in sorted(new.items()) if key not in old)
