"""Rows become the network core's values, and a change of them is told to the controller."""

from __future__ import annotations

import logging
import re
from ipaddress import IPv4Address, ip_address, ip_network

import redis
from django.db import transaction
from django.db.models import F

from portal.hosts.models import Host
from portal.live.events import connection
from portal.networks.models import (
    AllowedAddressPair,
    FixedAddress,
    Generation,
    Network,
    Port,
    SecurityGroup,
    SecurityRule,
    Subnet,
)
from portal.networks.router_intent import read_externals, read_routers
from sdn.model.addresses import HostName, IfaceId, Mac, Vni
from sdn.model.intent import (
    Address,
    AddressPair,
    HostIntent,
    IntentSnapshot,
    NetworkIntent,
    PortIntent,
    RouteIntent,
    RuleIntent,
    SecurityGroupIntent,
    SubnetIntent,
)

log = logging.getLogger("hopsight.networks")
POKE_CHANNEL = "hopsight:poke:controller"


def bump_generation() -> None:
    """Say that the network's intent changes; the first act of the transaction that changes it.

    It is the intent's lock too: the row stays locked until the transaction ends. Whoever takes it after another row
    (a team's, a topic's) would wait for somebody who holds this one and waits for that (tests/lock_order.py).
    """
    if not Generation.objects.filter(id=1).update(value=F("value") + 1):
        Generation.objects.get_or_create(id=1, defaults={"value": 1})
    transaction.on_commit(_poke)


def load_snapshot() -> IntentSnapshot:
    """The whole intent, each tuple sorted by id.

    Read without a transaction, for SQLite's would take the write lock (transaction_mode=IMMEDIATE) and hold up every
    request; a generation that changed meanwhile has it read again.
    """
    snapshot = _read(_generation())
    while (now := _generation()) != snapshot.generation:
        snapshot = _read(now)
    return snapshot


def _generation() -> int:
    return Generation.objects.filter(id=1).values_list("value", flat=True).first() or 0


def _read(generation: int) -> IntentSnapshot:
    hosts = tuple(
        HostIntent(row.id, HostName(row.name), IPv4Address(row.underlay_ip)) for row in Host.objects.order_by("id")
    )
    subnets: dict[int, list[SubnetIntent]] = {}
    for subnet in Subnet.objects.order_by("id"):
        subnets.setdefault(subnet.network_id, []).append(_subnet(subnet))
    addresses: dict[int, list[Address]] = {}
    for address in FixedAddress.objects.order_by("id"):
        addresses.setdefault(address.port_id, []).append(ip_address(address.address))
    rows = Network.objects.select_related("team").order_by("id")
    networks = tuple(_network(row, tuple(subnets.get(row.id, ()))) for row in rows)
    groups_of, pairs = _port_groups(), _pairs()
    ports = tuple(
        _port(row, tuple(addresses.get(row.id, ())), groups_of.get(row.id, ()), pairs.get(row.id, ()))
        for row in Port.objects.select_related("host").order_by("id")
    )
    return IntentSnapshot(generation, hosts, networks, ports, _groups(), read_routers(), read_externals())


def _groups() -> tuple[SecurityGroupIntent, ...]:
    rules: dict[int, list[RuleIntent]] = {}
    for row in SecurityRule.objects.order_by("id"):
        rules.setdefault(row.group_id, []).append(rule_intent(row))
    rows = SecurityGroup.objects.order_by("id")
    return tuple(SecurityGroupIntent(row.id, row.name, tuple(rules.get(row.id, ()))) for row in rows)


def rule_intent(row: SecurityRule) -> RuleIntent:
    """A rule's row as the compiler's value."""
    numbers = None
    if row.number_first is not None:
        every = -1 if row.protocol == "icmp" else row.number_first
        numbers = row.number_first, row.number_last if row.number_last is not None else every
    cidr = ip_network(row.cidr) if row.cidr else None
    return RuleIntent(row.id, row.direction, row.family, row.protocol, numbers, cidr, row.remote_group_id)  # type: ignore[arg-type]


def _port_groups() -> dict[int, tuple[int, ...]]:
    found: dict[int, tuple[int, ...]] = {}
    pairs = Port.groups.through.objects.order_by("port_id", "securitygroup_id")
    for port_id, group_id in pairs.values_list("port_id", "securitygroup_id"):
        found[port_id] = (*found.get(port_id, ()), group_id)
    return found


def _pairs() -> dict[int, tuple[AddressPair, ...]]:
    found: dict[int, tuple[AddressPair, ...]] = {}
    for row in AllowedAddressPair.objects.order_by("id"):
        pair = AddressPair(ip_network(row.cidr), Mac(row.mac) if row.mac else None)
        found[row.port_id] = (*found.get(row.port_id, ()), pair)
    return found


def _subnet(row: Subnet) -> SubnetIntent:
    dns = tuple(ip_address(server) for server in row.dns)
    routes = tuple(RouteIntent(ip_network(to), ip_address(via)) for to, via in row.routes)
    return SubnetIntent(row.id, ip_network(row.cidr), ip_address(row.gateway), dns, routes, row.is_slaac)


def _network(row: Network, subnets: tuple[SubnetIntent, ...]) -> NetworkIntent:
    mac = Mac(row.router_mac)
    return NetworkIntent(row.id, row.name, Vni(row.vni), row.zone, row.mtu, mac, subnets, domain_of(row))


def domain_of(network: Network) -> str:
    """The domain of the network's VM names: "<network>.<team>.internal" (.internal is kept for private use by ICANN)."""
    return f"{_label(network.name)}.{_label(network.team.slug)}.internal"


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:63] or "net"


def _port(
    row: Port, addresses: tuple[Address, ...], groups: tuple[int, ...], pairs: tuple[AddressPair, ...]
) -> PortIntent:
    host = HostName(row.host.name) if row.host else None
    return PortIntent(
        row.id, IfaceId(str(row.uuid)), row.network_id, host, Mac(row.mac), addresses, row.name, groups, row.is_secured,
        pairs,
    )  # fmt: skip


def _poke() -> None:
    try:
        connection().publish(POKE_CHANNEL, "changed")
    except redis.RedisError as problem:
        log.warning("controller not poked, it will look by itself: problem=%s", problem)
