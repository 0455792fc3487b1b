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

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sdn.compiler.build import SYSTEM, drop, flow, goto, reg
from sdn.compiler.groups import Membership
from sdn.compiler.masks import FULL, mask_blocks
from sdn.compiler.overlay import LocalPort, Overlay
from sdn.compiler.port_security import LISTENER_REPORTS
from sdn.compiler.responders import DNS_PORT, SSH_PROBE_PORT
from sdn.model.addresses import LINK_LOCAL, eui64
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow
from sdn.model.intent import Address, IntentSnapshot, RuleDirection, RuleIntent
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
        for service in services:
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


def group_flows(snapshot: IntentSnapshot, overlays: Iterable[Overlay]) -> Iterator[Flow]:
    """The rules of every group that a secured port of this host is in."""
    membership = Membership(snapshot)
    ports = [(port, overlay) for overlay in overlays for port in overlay.local if port.intent.is_secured]
    for bench in BENCHES:
        yield from _Judge(bench, membership).flows(ports)


Clause = dict[tuple[tuple[str, str], ...], dict[str, tuple[Cause, Cause]]]  # match → conjunction → its rule and group


class _Judge:
    """Collects one table's conjunctions, for several rules may share a match, then gives the flows."""

    def __init__(self, bench: Bench, membership: Membership) -> None:
        self._bench, self._membership = bench, membership
        self._shared: Clause = {}

    def flows(self, ports: list[tuple[LocalPort, Overlay]]) -> Iterator[Flow]:
        rules: dict[int, tuple[RuleIntent, int]] = {}  # rule id → the rule and its group's id
        networks: dict[int, dict[int, Overlay]] = {}  # rule id → the networks of the ports it is for
        for port, overlay in ports:
            mine = [(rule, group_id) for group_id in port.intent.groups for rule in self._rules(group_id)]
            for rule, group_id in mine:
                rules[rule.id] = rule, group_id
                networks.setdefault(rule.id, {})[overlay.network.id] = overlay
            if mine:
                actions = sorted({(rule.id, self._conjunction(rule, 1)) for rule, _ in mine})
                mark = {reg(self._bench.port): f"{port.intent.id & 0xFFFFFFFF:#x}"}
                yield flow(self._bench.table, 60, port.cause, mark, tuple(action for _, action in actions))
        for rule_id, (rule, group_id) in sorted(rules.items()):
            yield from self._rule(rule, group_id, networks[rule_id].values())
        for match, conjunctions in self._shared.items():
            actions_ = tuple(sorted(conjunctions, key=_by_number))
            yield flow(self._bench.table, 60, _common(conjunctions.values()), dict(match), actions_)

    def _rules(self, group_id: int) -> Iterator[RuleIntent]:
        group = self._membership.groups.get(group_id)
        return (rule for rule in (group.rules if group else ()) if rule.direction == self._bench.direction)

    def _rule(self, rule: RuleIntent, group_id: int, overlays: Iterable[Overlay]) -> Iterator[Flow]:
        cause = Cause(CauseKind.SECURITY_RULE, rule.id)
        hit = {"conj_id": str(conj_id(rule))}
        onward = goto(self._bench.table, self._bench.then)
        family = PROTOCOL_NAMES[rule.family]["any"]
        if self._bench.is_of_replies:
            yield flow(self._bench.table, 90, cause, hit, (onward,))
        else:
            yield flow(self._bench.table, 95, cause, {**hit, "ct_state": "+est+trk"}, (onward,))
            yield flow(self._bench.table, 90, cause, {**hit, family: ""}, (COMMIT, onward))
        causes = cause, Cause(CauseKind.SECURITY_GROUP, group_id)
        for match in protocol_matches(rule, self._bench):
            self._share(match, self._conjunction(rule, 2), causes)
        field = f"{'nw' if rule.family == 4 else 'ipv6'}_{self._bench.remote}"
        for overlay in overlays if _has_remote(rule) else ():
            for cidr in self._membership.remotes(rule, overlay.network.id) or ():
                whole = cidr.prefixlen == cidr.max_prefixlen
                match = {family: "", field: str(cidr.network_address if whole else cidr)}
                if rule.group_id is not None:
                    match |= overlay.mark
                self._share(match, self._conjunction(rule, 3), causes)

    def _share(self, match: dict[str, str], conjunction: str, causes: tuple[Cause, Cause]) -> None:
        self._shared.setdefault(tuple(sorted(match.items())), {})[conjunction] = causes

    def _conjunction(self, rule: RuleIntent, clause: int) -> str:
        return f"conjunction({conj_id(rule)},{clause}/{3 if _has_remote(rule) else 2})"


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
