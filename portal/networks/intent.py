"""Rows become the network core's values, and a change of them is told to the controller."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network

import redis
from django.db import transaction
from django.db.models import F

from portal.hosts.models import Host
from portal.live.events import say
from portal.networks.models import (
    AllowedAddressPair,
    FixedAddress,
    Generation,
    Mirror,
    Network,
    Port,
    SecurityGroup,
    SecurityRule,
    Subnet,
)
from portal.networks.mtu import UNDERLAY_MTU
from portal.networks.router_intent import read_externals, read_routers
from sdn.model.addresses import HostName, IfaceId, Mac, Vni
from sdn.model.intent import (
    Address,
    AddressPair,
    HostIntent,
    IntentSnapshot,
    MirrorIntent,
    NetworkIntent,
    PortIntent,
    RateLimit,
    RouteIntent,
    RuleIntent,
    SecurityGroupIntent,
    SubnetIntent,
)
from sdn.model.mtu import INNER_ETHERNET, Encapsulation, inner_mtu

log = logging.getLogger("hopsight.networks")
POKE_CHANNEL = "hopsight:poke:controller"


@dataclass(frozen=True, slots=True)
class Touched:
    """What a change was of: which ports (None: nobody knows), and whether anything but ports."""

    ports: frozenset[int] | None = None
    rest: bool = True


EVERYTHING = Touched()
NO_PORT = Touched(frozenset())  # anything but ports' own rows


def only_ports(ids: Iterable[int]) -> Touched:
    """A change of these ports' own rows, addresses, pairs and groups, and of nothing else."""
    return Touched(frozenset(ids), rest=False)


def lock_intent() -> None:
    """Take the intent's row, until the transaction ends, before any other: whoever takes it after another (a team's, a
    topic's) would wait for somebody who holds this one and waits for that (tests/lock_order.py)."""
    if not Generation.objects.filter(id=1).update(value=F("value")):
        Generation.objects.get_or_create(id=1, defaults={"value": 0})


def bump_generation(touched: Touched = EVERYTHING) -> None:
    """Say that the network's intent changes; inside the transaction that changes it, first in it or after `lock_intent`.

    `touched` is told to the controller, so that it need not read everything: saying too little delays what was left out
    by some seconds.
    """
    if not Generation.objects.filter(id=1).update(value=F("value") + 1):
        Generation.objects.get_or_create(id=1, defaults={"value": 1})
    if touched == EVERYTHING:
        transaction.on_commit(_poke)
        return
    known = sorted(touched.ports) if touched.ports is not None else None
    word = json.dumps({"generation": generation(), "ports": known, "rest": touched.rest})
    transaction.on_commit(lambda: _poke(word))


def parse_poke(word: bytes) -> tuple[int, Touched] | None:
    """The generation that a poke told of and what changed in it; None for one that says no more than that something did."""
    try:
        said = json.loads(word)
        ports = frozenset(map(int, said["ports"])) if said["ports"] is not None else None
        return int(said["generation"]), Touched(ports, bool(said["rest"]))
    except (ValueError, KeyError, TypeError):
        return None


def load_snapshot() -> IntentSnapshot:
    """The whole intent, each tuple sorted by id.

    Read without a transaction, for SQLite's would take the write lock (transaction_mode=IMMEDIATE) and hold up every
    request; a generation that changed meanwhile has it read again.
    """
    snapshot = read_whole(generation())
    while (now := generation()) != snapshot.generation:
        snapshot = read_whole(now)
    return snapshot


def generation() -> int:
    """How many changes there were."""
    return Generation.objects.filter(id=1).values_list("value", flat=True).first() or 0


def read_whole(now: int) -> IntentSnapshot:
    """All rows as they are, said to be of generation `now`."""
    return read_rest(now, read_ports())


LIMIT_COLUMNS = ("sends_kbps", "sends_burst_kbit", "receives_kbps", "receives_burst_kbit")


def _limit(kbps: int | None, burst_kbit: int | None) -> RateLimit | None:
    return RateLimit(kbps, burst_kbit or kbps) if kbps else None


def read_ports(ids: frozenset[int] | None = None) -> tuple[PortIntent, ...]:
    """All ports, or those, by id."""
    which = {} if ids is None else {"port_id__in": ids}
    addresses: dict[int, list[Address]] = {}
    for port_id, address in FixedAddress.objects.filter(**which).order_by("id").values_list("port_id", "address"):
        addresses.setdefault(port_id, []).append(ip_address(address))
    groups_of, pairs = _port_groups(which), _pairs(which)
    rows = Port.objects.order_by("id") if ids is None else Port.objects.filter(id__in=ids).order_by("id")
    columns = rows.values_list("id", "uuid", "network_id", "host__name", "mac", "name", "is_secured", *LIMIT_COLUMNS)
    return tuple(
        PortIntent(
            row_id, IfaceId(str(uuid)), network_id, HostName(host) if host else None, Mac(mac),
            tuple(addresses.get(row_id, ())), name, groups_of.get(row_id, ()), is_secured, pairs.get(row_id, ()),
            _limit(*limits[:2]), _limit(*limits[2:]),
        )
        for row_id, uuid, network_id, host, mac, name, is_secured, *limits in columns
    )  # fmt: skip


def read_rest(now: int, ports: tuple[PortIntent, ...]) -> IntentSnapshot:
    """All but the ports, which are given."""
    host_rows = list(Host.objects.order_by("id"))
    hosts = tuple(HostIntent(row.id, HostName(row.name), IPv4Address(row.underlay_ip)) for row in host_rows)
    subnets: dict[int, list[SubnetIntent]] = {}
    for subnet in Subnet.objects.order_by("id"):
        subnets.setdefault(subnet.network_id, []).append(_subnet(subnet))
    rows = Network.objects.select_related("team").order_by("id")
    networks = tuple(_network(row, tuple(subnets.get(row.id, ()))) for row in rows)
    mirrors = _mirrors(min((row.underlay_mtu for row in host_rows), default=UNDERLAY_MTU))
    return IntentSnapshot(now, hosts, networks, ports, _groups(), read_routers(), read_externals(), mirrors)


def _mirrors(underlay_mtu: int) -> tuple[MirrorIntent, ...]:
    most = inner_mtu(underlay_mtu, "vxlan") + INNER_ETHERNET
    columns = ("id", "source_id", "target_id", "vni", "sends", "receives")
    rows = Mirror.objects.order_by("id").values_list(*columns)
    return tuple(
        MirrorIntent(row_id, source, target, Vni(vni), sends, receives, most)
        for row_id, source, target, vni, sends, receives in rows
    )


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


def _port_groups(which: dict[str, frozenset[int]]) -> dict[int, tuple[int, ...]]:
    found: dict[int, tuple[int, ...]] = {}
    pairs = Port.groups.through.objects.filter(**which).order_by("port_id", "securitygroup_id")
    for port_id, group_id in pairs.values_list("port_id", "securitygroup_id"):
        found[port_id] = (*found.get(port_id, ()), group_id)
    return found


def _pairs(which: dict[str, frozenset[int]]) -> dict[int, tuple[AddressPair, ...]]:
    found: dict[int, tuple[AddressPair, ...]] = {}
    for row in AllowedAddressPair.objects.filter(**which).order_by("id"):
        pair = AddressPair(ip_network(row.cidr), Mac(row.mac) if row.mac else None)
        found[row.port_id] = (*found.get(row.port_id, ()), pair)
    return found


def _subnet(row: Subnet) -> SubnetIntent:
    dns = tuple(ip_address(server) for server in row.dns)
    routes = tuple(RouteIntent(ip_network(to), ip_address(via)) for to, via in row.routes)
    return SubnetIntent(row.id, ip_network(row.cidr), ip_address(row.gateway), dns, routes, row.is_slaac)


def _network(row: Network, subnets: tuple[SubnetIntent, ...]) -> NetworkIntent:
    mac = Mac(row.router_mac)
    domain = "" if row.is_provider else domain_of(row)  # guests of a provider network ask others for names
    kind: Encapsulation = row.kind  # type: ignore[assignment]
    return NetworkIntent(row.id, row.name, Vni(row.vni), row.mtu, mac, subnets, domain, kind, row.vid)


def domain_of(network: Network) -> str:
    """The domain of the network's VM names: "<network>.<team>.internal" (.internal is kept for private use by ICANN)."""
    return f"{_label(network.name)}.{_label(network.team.slug)}.internal"


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:63] or "net"


def _poke(word: str = "changed") -> None:
    try:
        say(POKE_CHANNEL, word)
    except redis.RedisError as problem:
        log.warning("controller not poked, it will look by itself: problem=%s", problem)
