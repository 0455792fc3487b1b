"""Who reaches whom, said plainly: what the compiled flows must come to, written without a thought of flows."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal

from sdn.model.addresses import IfaceId, Mac
from sdn.model.intent import Address, IntentSnapshot, PortIntent, RouterIntent, RuleDirection, RuleIntent

Connection = Literal["new", "established", "reply"]
Verdict = Literal["delivered", "egress_denied", "ingress_denied", "reply_denied", "port_down"]


@dataclass(frozen=True, slots=True)
class Sample:
    """A packet from one port's address to another's, of one network; `number` is the service's port, or an ICMP type.

    A reply goes from `source` to `target` in a connection that `target` opened: it comes from port `number`, and `number`
    is the ICMP type that was asked.
    """

    source: PortIntent
    target: PortIntent
    family: Literal[4, 6]
    protocol: Literal["tcp", "udp", "icmp"]
    number: int
    code: int = 0
    connection: Connection = "new"

    def address(self, port: PortIntent) -> Address:
        """The port's address of the packet's family."""
        return next(address for address in port.addresses if address.version == self.family)


def verdict(world: IntentSnapshot, sample: Sample) -> Verdict:
    """What becomes of the sample."""
    is_reply = sample.connection == "reply"
    if sample.source.is_secured and not allows(world, sample, "egress"):
        return "reply_denied" if is_reply else "egress_denied"
    if sample.target.host is None:
        return "port_down"
    if sample.target.is_secured and not allows(world, sample, "ingress"):
        return "reply_denied" if is_reply else "ingress_denied"
    return "delivered"


def allows(world: IntentSnapshot, sample: Sample, side: RuleDirection) -> bool:
    """Whether any rule of the groups of the port on that side allows the connection that the sample belongs to."""
    mine, other = (sample.source, sample.target) if side == "egress" else (sample.target, sample.source)
    opened_here = (side == "egress") == (sample.connection != "reply")
    direction: RuleDirection = "egress" if opened_here else "ingress"
    rules = (rule for group in world.groups if group.id in mine.groups for rule in group.rules)
    return any(_rule_allows(world, rule, direction, sample, mine, other) for rule in rules)


def _rule_allows(world: IntentSnapshot, rule: RuleIntent, direction: RuleDirection, sample: Sample, mine: PortIntent, other: PortIntent) -> bool:  # fmt: skip
    if rule.direction != direction or rule.family != sample.family:
        return False
    if rule.protocol not in ("any", sample.protocol) or not _numbers_fit(rule, sample):
        return False
    address = sample.address(other)
    if rule.group_id is not None:
        members = (port for port in world.ports if rule.group_id in port.groups and _joined(world, port, mine))
        own = (ip_network(one) for port in members for one in port.addresses)
        members = (port for port in world.ports if rule.group_id in port.groups and _joined(world, port, mine))
        extra = (pair.cidr for port in members for pair in port.pairs)
        return any(address in cidr for cidr in (*own, *extra))
    return rule.cidr is None or address in rule.cidr


def _numbers_fit(rule: RuleIntent, sample: Sample) -> bool:
    if rule.protocol == "any" or rule.ports is None:
        return True
    first, last = rule.ports
    if rule.protocol == "icmp":
        return first == sample.number and last in (-1, sample.code)
    return first <= sample.number <= last


def _joined(world: IntentSnapshot, one: PortIntent, other: PortIntent) -> bool:
    """Whether two ports' networks are the same, or joined by routers."""
    reached = {one.network_id}
    while True:
        legs = ({leg.network_id for leg in router.ports} for router in world.routers)
        more = {network for ids in legs if ids & reached for network in ids} - reached
        if not more:
            return other.network_id in reached
        reached |= more


def reaches(world: IntentSnapshot, plugged: frozenset[int], sample: Sample) -> bool:
    """Whether a new connection's first packet, from a port's guest to another port's address, is handed to that guest.

    On one network it goes straight; else by the router of the sender's network, if that has a subnet which holds the address.
    """
    source, target = sample.source, sample.target
    if not {source.id, target.id} <= plugged or verdict(world, sample) != "delivered":
        return False
    return source.network_id == target.network_id or _routes(world, source, target, sample.address(target))


def _routes(world: IntentSnapshot, source: PortIntent, target: PortIntent, address: Address) -> bool:
    subnets = {subnet.id: subnet for network in world.networks for subnet in network.subnets}
    return any(
        leg.network_id == target.network_id and address in subnets[leg.subnet_id].cidr
        for router in world.routers
        if any(leg.network_id == source.network_id for leg in router.ports)
        for leg in router.ports
    )


def outsider(address: Address) -> PortIntent:
    """A machine outside, as an end of a sample: in no group, on no network of ours."""
    return PortIntent(0, IfaceId("outside"), 0, None, Mac("02:00:00:00:00:01"), (address,), "outside")


def seen_outside_as(world: IntentSnapshot, sample: Sample) -> Address | None:
    """What a machine outside sees as the sender of a new connection's first packet; None where it gets none.

    A router with a leg in the sender's subnet leads outside; a floating address that stands for the sender's goes before
    the router's own.
    """
    own = sample.address(sample.source)
    router = next((one for one in world.routers if is_routed_in(world, one, sample.source, own)), None)
    if router is None or router.external_id is None:
        return None
    if sample.source.is_secured and not allows(world, sample, "egress"):
        return None
    floating = next((one.address for one in router.floating if one.fixed == own), None)
    if floating is not None or sample.family == 4:
        return floating or router.external_address
    external = next(one for one in world.externals if one.id == router.external_id)
    return external.address6_of(router.external_mac)


def is_routed_in(world: IntentSnapshot, router: RouterIntent, port: PortIntent, address: Address) -> bool:
    """Whether the router has a leg in the subnet of the port's that holds the address."""
    subnets = {subnet.id: subnet for network in world.networks for subnet in network.subnets}
    return any(leg.network_id == port.network_id and address in subnets[leg.subnet_id].cidr for leg in router.ports)


def gets_from_outside(world: IntentSnapshot, plugged: frozenset[int], router: RouterIntent, sample: Sample) -> bool:
    """Whether the first packet of a connection that a machine outside opens to a floating address gets to its port."""
    target = sample.target
    if target.id not in plugged or not is_routed_in(world, router, target, sample.address(target)):
        return False
    return not target.is_secured or allows(world, sample, "ingress")
