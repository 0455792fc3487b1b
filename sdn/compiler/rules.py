"""Connection tracking on both sides of a packet's way, and what security groups allow there.

Each side looks the connection up in the port's own zone, and judges in two tables: one for what opens a connection and goes
on with it, one for the replies. A rule is a conjunction (ovs-fields(7), conj_id): (one of the ports it is for) × (one of the
addresses at the other end) × (protocol and port), so that the flows are a sum of ports, addresses and rules, not their
product. Rules only allow; what none allows is dropped by the port's own flow.

Every packet is judged, those of established connections too: a reply by the rules for the other direction, read backwards
(from port 22 instead of to port 22). So a change of rules acts at once, both ways, on connections that are there, and a
connection goes on when a rule allows it again. Replies have a table of their own so that no megaflow has to tell both of a
connection's ports.

Not judged at all: DHCP, neighbour discovery and multicast listeners' reports (port_security.py), and what the network's
gateway answers on the spot: its ping, its DNS, and the probe that asks whether a guest's SSH is up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sdn.compiler.build import SYSTEM, drop, flow, goto, reg
from sdn.compiler.groups import text_of
from sdn.compiler.masks import FULL, mask_blocks
from sdn.compiler.overlay import LocalPort, Overlay
from sdn.compiler.pieces import Item, Share, Shared
from sdn.compiler.port_security import LISTENER_REPORTS
from sdn.compiler.responders import DNS_PORT, SSH_PROBE_PORT
from sdn.model.addresses import LINK_LOCAL, eui64
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow, canonical_match
from sdn.model.intent import Address, RuleDirection, RuleIntent, SecurityGroupIntent
from sdn.pipeline import TABLE_BY_NAME, Register

ZONE_FIELD = f"NXM_NX_REG{int(Register.ZONE)}[0..15]"
COMMIT = f"ct(commit,zone={ZONE_FIELD})"
IP_FAMILIES = ("ip", "ipv6")
PROTOCOL_NAMES = {4: {"any": "ip", "icmp": "icmp"}, 6: {"any": "ipv6", "icmp": "icmp6"}}
ICMP_REPLIES = {4: {8: 0, 13: 14, 15: 16, 17: 18}, 6: {128: 129}}  # type → type of its answer; conntrack knows these


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two places where a packet is judged: `port` holds whose rules count."""

    direction: RuleDirection
    conntrack: str
    rules: str
    replies: str
    then: str
    port: Register


@dataclass(frozen=True, slots=True)
class Bench:
    """A table that judges by the rules of a direction. `remote` and `service` are the ends, "src" or "dst", that a rule's
    addresses and its ports are looked for at."""

    table: str
    direction: RuleDirection
    then: str
    port: Register
    remote: str
    service: str

    @property
    def is_of_replies(self) -> bool:
        return self.service == "src"


SIDES = (
    Side("egress", "conntrack_egress", "egress_rules", "egress_replies", "responders", Register.SOURCE_PORT),
    Side("ingress", "conntrack_ingress", "ingress_rules", "ingress_replies", "output", Register.TARGET_PORT),
)
BENCHES = (
    Bench("egress_rules", "egress", "responders", Register.SOURCE_PORT, "dst", "dst"),
    Bench("egress_replies", "ingress", "responders", Register.SOURCE_PORT, "dst", "src"),
    Bench("ingress_rules", "ingress", "output", Register.TARGET_PORT, "src", "dst"),
    Bench("ingress_replies", "egress", "output", Register.TARGET_PORT, "src", "src"),
)


def fixed_rule_flows() -> Iterator[Flow]:
    """What both sides do whatever the rules are."""
    for side in SIDES:
        for family in IP_FAMILIES:
            look_up = f"ct(table={TABLE_BY_NAME[side.rules].table_id},zone={ZONE_FIELD})"
            yield flow(side.conntrack, 100, SYSTEM, {family: ""}, (look_up,))
        yield flow(side.rules, 110, SYSTEM, {"ct_state": "+inv+trk"}, drop(side.rules, "invalid_state"))
        yield flow(side.rules, 105, SYSTEM, {"ct_state": "+rel+trk"}, (goto(side.rules, side.then),))  # an ICMP error
        yield flow(side.rules, 100, SYSTEM, {"ct_state": "+est+rpl+trk"}, (goto(side.rules, side.replies),))
    for kind in LISTENER_REPORTS:  # conntrack calls them invalid; on their way out port security passed them by
        report = {"icmp6": "", "icmp_type": kind}
        yield flow("conntrack_ingress", 110, SYSTEM, report, (goto("conntrack_ingress", "output"),))
    for protocol, client, server in (("udp", "68", "67"), ("udp6", "546", "547")):
        dhcp = {protocol: "", "tp_src": client, "tp_dst": server}
        yield flow("conntrack_egress", 110, SYSTEM, dhcp, (goto("conntrack_egress", "responders"),))


def gateway_flows(overlay: Overlay) -> Iterator[Flow]:
    """What a guest may always ask of its gateway, and answer it, on one network."""
    onward = (goto("conntrack_egress", "responders"),)
    is_provider = overlay.network.is_provider  # then the gateway is a machine outside, and like any other
    gateways: set[Address] = {subnet.gateway for subnet in overlay.network.subnets}
    if any(gateway.version == 6 for gateway in gateways):
        gateways.add(eui64(LINK_LOCAL, overlay.network.router_mac))
    for gateway in gateways:
        six = "6" if gateway.version == 6 else ""
        target = {**overlay.mark, "ipv6_dst" if six else "nw_dst": str(gateway)}
        services = (
            {f"icmp{six}": "", "icmp_type": "128" if six else "8"},
            {f"udp{six}": "", "tp_dst": str(DNS_PORT)},
            {f"tcp{six}": "", "tp_dst": str(SSH_PROBE_PORT)},
        )
        for service in services[2:] if is_provider else services:
            yield flow("conntrack_egress", 110, overlay.cause, {**target, **service}, onward)


def port_rule_flows(port: LocalPort) -> Iterator[Flow]:
    """A port's own flows: nothing is allowed that no rule allows, unless its security is switched off."""
    for side in SIDES:
        mark = {reg(side.port): f"{port.intent.id & 0xFFFFFFFF:#x}"}
        if port.intent.is_secured:
            yield flow(side.rules, 50, port.cause, mark, drop(side.rules, f"{side.direction}_denied"))
        else:
            yield flow(side.conntrack, 120, port.cause, mark, (goto(side.conntrack, side.then),))
    if port.intent.is_secured:
        # Its own copy of a flood, which the output leaves out: looked up here it would be taken for a connection to itself.
        own = {reg(side_.port): f"{port.intent.id & 0xFFFFFFFF:#x}" for side_ in SIDES}
        yield flow("conntrack_ingress", 120, port.cause, own, (goto("conntrack_ingress", "output"),))


def judged_flows(port: LocalPort, groups: Iterable[SecurityGroupIntent]) -> Iterator[Flow]:
    """Which rules a secured port is one of the ports of."""
    mark = f"{port.intent.id & 0xFFFFFFFF:#x}"
    rules = [rule for group in groups for rule in group.rules]
    for bench in BENCHES:
        mine = {rule.id: _conjunction(rule, 1) for rule in rules if rule.direction == bench.direction}
        if mine:
            actions = tuple(mine[rule_id] for rule_id in sorted(mine))
            yield flow(bench.table, 60, port.cause, {reg(bench.port): mark}, actions)


def group_items(group: SecurityGroupIntent) -> Iterator[Item]:
    """What the group's rules come to on any network: all but who the members of remote groups are."""
    for bench in BENCHES:
        for rule in group.rules:
            if rule.direction == bench.direction:
                yield from _hits(rule, bench)
                causes = _causes(rule, group)
                for match in protocol_matches(rule, bench):
                    yield _share(bench, match, _conjunction(rule, 2), causes)
                if rule.cidr is not None and rule.cidr.version == rule.family and _has_remote(rule):
                    yield _remote(bench, rule, group, text_of(rule.cidr), {})


def remote_items(rule: RuleIntent, group: SecurityGroupIntent, overlay: Overlay, text: str) -> Iterator[Item]:
    """An address of a member of the group that the rule names, as the network sees it."""
    for bench in BENCHES:
        if rule.direction == bench.direction:
            yield _remote(bench, rule, group, text, overlay.mark)


def _hits(rule: RuleIntent, bench: Bench) -> Iterator[Flow]:
    cause = Cause(CauseKind.SECURITY_RULE, rule.id)
    hit = {"conj_id": str(conj_id(rule))}
    onward = goto(bench.table, bench.then)
    if bench.is_of_replies:
        yield flow(bench.table, 90, cause, hit, (onward,))
    else:
        yield flow(bench.table, 95, cause, {**hit, "ct_state": "+est+trk"}, (onward,))
        yield flow(bench.table, 90, cause, {**hit, PROTOCOL_NAMES[rule.family]["any"]: ""}, (COMMIT, onward))


def _remote(bench: Bench, rule: RuleIntent, group: SecurityGroupIntent, text: str, mark: Mapping[str, str]) -> Share:
    field = f"{'nw' if rule.family == 4 else 'ipv6'}_{bench.remote}"
    match = {PROTOCOL_NAMES[rule.family]["any"]: "", field: text, **mark}
    return _share(bench, match, _conjunction(rule, 3), _causes(rule, group))


def _share(bench: Bench, match: Mapping[str, str], conjunction: str, causes: tuple[Cause, Cause]) -> Share:
    return Share((bench.table, canonical_match(match.items())), conjunction, causes)


def _causes(rule: RuleIntent, group: SecurityGroupIntent) -> tuple[Cause, Cause]:
    return Cause(CauseKind.SECURITY_RULE, rule.id), Cause(CauseKind.SECURITY_GROUP, group.id)


def _conjunction(rule: RuleIntent, clause: int) -> str:
    return f"conjunction({conj_id(rule)},{clause}/{3 if _has_remote(rule) else 2})"


def shared_flow(table: str, shared: Shared) -> Flow:
    """The one flow of a match that several rules share; they may all hold."""
    actions = tuple(sorted({share.clause for share in shared.shares}, key=_by_number))
    return flow(table, 60, _common(shared.causes()), dict(shared.match), actions)


def conj_id(rule: RuleIntent) -> int:
    """The number by which flows say that a rule's clauses all hold."""
    return rule.id & 0xFFFFFFFF


def protocol_matches(rule: RuleIntent, bench: Bench) -> Iterator[dict[str, str]]:
    """What a rule says of the protocol, as matches; later fragments, which have no ports, go by the protocol alone."""
    suffix = "6" if rule.family == 6 else ""
    name = PROTOCOL_NAMES[rule.family].get(rule.protocol, rule.protocol + suffix)
    if rule.protocol == "any" or rule.ports is None:
        yield {name: ""}
        return
    first, last = rule.ports
    if rule.protocol == "icmp":
        yield from _icmp_matches(rule.family, name, first, last, bench)
    else:
        for value, mask in mask_blocks(first, last):
            text = str(value) if mask == FULL else f"{value:#x}/{mask:#x}"
            yield {name: "", **({f"tp_{bench.service}": text} if mask else {})}
    yield {name: "", "nw_frag": "later"}


def _icmp_matches(family: int, name: str, kind: int, code: int, bench: Bench) -> Iterator[dict[str, str]]:
    if not bench.is_of_replies:
        yield {name: "", "icmp_type": str(kind), **({"icmp_code": str(code)} if code >= 0 else {})}
    elif kind in ICMP_REPLIES[family]:
        yield {name: "", "icmp_type": str(ICMP_REPLIES[family][kind])}


def _has_remote(rule: RuleIntent) -> bool:
    anywhere = rule.cidr is None or (rule.cidr.prefixlen == 0 and rule.cidr.version == rule.family)
    return rule.group_id is not None or not anywhere


def _common(causes: Iterable[tuple[Cause, Cause]]) -> Cause:
    """The one rule that a shared flow is for, else the one group, else nobody's in particular."""
    pairs = set(causes)
    rules, groups = {rule for rule, _ in pairs}, {group for _, group in pairs}
    return next((next(iter(level)) for level in (rules, groups) if len(level) == 1), SYSTEM)


def _by_number(conjunction: str) -> tuple[int, str]:
    return int(conjunction[12:].partition(",")[0]), conjunction
