"""An intent made ready to look things up in. The next intent's index is made of the one before: what did not change is the
same object in both, so that who compiled it before sees at a glance (`is`) that there is nothing to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sdn.compiler.groups import Membership, joined_networks
from sdn.model.addresses import HostName, IfaceId
from sdn.model.intent import (
    ExternalIntent,
    HostIntent,
    IntentSnapshot,
    MirrorIntent,
    NetworkIntent,
    PortIntent,
    RouterIntent,
    SecurityGroupIntent,
    SubnetIntent,
)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """How an index differs from the one `before` it, where nothing but ports does.

    `networks` are those that a changed port was or is on, with all that routers join to them; `ifaces` those ports'.
    """

    before: object
    networks: frozenset[int]
    ifaces: frozenset[IfaceId]


@dataclass(frozen=True, slots=True, eq=False)
class IntentIndex:
    """One snapshot by the keys that the compiler asks by. Never changed once it is made; `token` is its alone."""

    snapshot: IntentSnapshot
    hosts: Mapping[HostName, HostIntent]
    networks: Mapping[int, NetworkIntent]
    subnets: Mapping[int, SubnetIntent]
    externals: Mapping[int, ExternalIntent]
    groups: Mapping[int, SecurityGroupIntent]
    routers: Mapping[int, RouterIntent]
    ports: Mapping[int, PortIntent]
    by_iface: Mapping[IfaceId, PortIntent]
    ports_of: Mapping[int, tuple[PortIntent, ...]]  # by network, ascending ids
    routers_of: Mapping[int, frozenset[int]]  # network → the ids of its routers
    led_by: Mapping[HostName, frozenset[int]]  # gateway host → the ids of the routers that it leads outside
    router_zones: frozenset[int]
    membership: Membership
    mirrors: Mapping[int, MirrorIntent]
    mirrored: frozenset[int]  # the networks of both ends of every mirror
    token: object
    step: Step | None


def index_intent(snapshot: IntentSnapshot, before: IntentIndex | None = None) -> IntentIndex:
    """The snapshot's index; `before` makes it cheap and decides nothing."""
    old = before or _NOTHING
    hosts: Mapping[HostName, HostIntent]
    hosts = {host.name: host for host in _kept({host.id: host for host in old.hosts.values()}, snapshot.hosts).values()}
    networks = _kept(old.networks, snapshot.networks)
    routers = _kept(old.routers, snapshot.routers)
    externals, groups = _kept(old.externals, snapshot.externals), _kept(old.groups, snapshot.groups)
    mirrors = _kept(old.mirrors, snapshot.mirrors)
    ports, changed = _ports(old.ports, snapshot.ports)
    touched = frozenset(port.network_id for port in changed)
    ports_of = _by_network(old.ports_of, ports, touched)
    joined = joined_networks(routers.values())
    hosts = old.hosts if old.hosts == hosts else hosts
    is_small = (hosts, networks, routers, externals, groups, mirrors) == (
        old.hosts, old.networks, old.routers, old.externals, old.groups, old.mirrors
    )  # fmt: skip
    around = touched.union(*(joined.get(network_id, frozenset()) for network_id in touched))
    return IntentIndex(
        snapshot,
        hosts,
        networks,
        {subnet.id: subnet for network in networks.values() for subnet in network.subnets},
        externals,
        groups,
        routers,
        ports,
        {port.iface_id: port for port in ports.values()} if touched else old.by_iface,
        ports_of,
        _grouped((leg.network_id, router.id) for router in routers.values() for leg in router.ports),
        _grouped(
            (router.gateway_host, router.id)
            for router in routers.values()
            if router.gateway_host is not None and router.external_id is not None
        ),
        frozenset(router.zone for router in routers.values()),
        Membership(ports_of, joined, old.membership),
        mirrors,
        frozenset(
            ports[end].network_id for one in mirrors.values() for end in (one.source_id, one.target_id) if end in ports
        ),
        object(),
        Step(old.token, around, frozenset(port.iface_id for port in changed)) if is_small else None,
    )


class _HasId(Protocol):
    @property
    def id(self) -> int: ...


Row = TypeVar("Row", bound=_HasId)
Key = TypeVar("Key")


def _kept(old: Mapping[int, Row], rows: Iterable[Row]) -> dict[int, Row]:
    """By id, ascending; an object that was there and is equal stays the one it was."""
    found = {}
    for row in sorted(rows, key=lambda row: row.id):
        was = old.get(row.id)
        found[row.id] = was if was is row or (was is not None and was == row) else row
    return found


def _ports(
    known: Mapping[int, PortIntent], rows: tuple[PortIntent, ...]
) -> tuple[Mapping[int, PortIntent], list[PortIntent]]:
    """The ports by id, and those that changed, as they were and as they are."""
    found: dict[int, PortIntent] = {}
    changed: list[PortIntent] = []
    for port in rows:
        was = known.get(port.id)
        if was is port or (was is not None and was == port):
            found[port.id] = was
            continue
        found[port.id] = port
        changed += [port] if was is None else [was, port]
    changed += [known[gone] for gone in known.keys() - found.keys()]
    return found if changed else known, changed


def _by_network(
    old: Mapping[int, tuple[PortIntent, ...]], ports: Mapping[int, PortIntent], touched: frozenset[int]
) -> Mapping[int, tuple[PortIntent, ...]]:
    if not touched:
        return old
    fresh: dict[int, list[PortIntent]] = {network_id: [] for network_id in touched}
    for port in ports.values():
        if port.network_id in touched:
            fresh[port.network_id].append(port)
    return {**old, **{key: tuple(sorted(some, key=lambda port: port.id)) for key, some in fresh.items()}}


def _grouped(pairs: Iterable[tuple[Key, int]]) -> dict[Key, frozenset[int]]:
    found: dict[Key, set[int]] = {}
    for key, row_id in pairs:
        found.setdefault(key, set()).add(row_id)
    return {key: frozenset(ids) for key, ids in found.items()}


_NOTHING = IntentIndex(
    IntentSnapshot(0, (), (), ()),
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    {},
    frozenset(),
    Membership({}, {}),
    {},
    frozenset(),
    object(),
    None,
)
