"""Intent and a host's ofports become that host's flows: pure, deterministic, order-free.

Each module beside this one writes some tables of sdn.pipeline. Priorities: 110 exceptions, 100 the named case, 90 guards,
80 the wider case, 50 to 40 refusals with a reason of their own, 1 the default, 0 the miss.

It is done in pieces (pieces.py), so that a change costs what it touches. A piece sees its `inputs` and nothing else: what is
compiled for one port gets the network's overlay without the other ports (`Overlay.bare`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import Any, Generic

from sdn.compiler.build import drop, flow, goto, load, meter, reg
from sdn.compiler.drops import port_drop_flows, sample_flows
from sdn.compiler.external import Outside, external_flows, outsides
from sdn.compiler.index import IntentIndex, index_intent
from sdn.compiler.limits import wanted_meters
from sdn.compiler.mirrors import mirror_scopes
from sdn.compiler.nat import nat_flows
from sdn.compiler.neighbours import network_neighbours, port_neighbours, remote_neighbours, system_neighbours
from sdn.compiler.overlay import LocalPort, Overlay, local_ports, overlay_of
from sdn.compiler.pairs import pair_flows
from sdn.compiler.pieces import F, Item, Memo, Piece, PieceStore, Scope
from sdn.compiler.port_security import port_security_flows, system_security_flows
from sdn.compiler.provider import onto_segment, provider_flows
from sdn.compiler.responders import network_answers, port_answers, remote_answers
from sdn.compiler.routing import (
    Routed,
    next_hop_flows,
    next_hop_ports,
    own_network_flows,
    routed_here,
    router_flows,
    static_routes,
)
from sdn.compiler.rules import (
    fixed_rule_flows,
    gateway_flows,
    group_items,
    judged_flows,
    port_rule_flows,
    remote_items,
    shared_flow,
)
from sdn.compiler.system import system_flows
from sdn.compiler.tunnels import remote_flows, tunnel_flows
from sdn.model.addresses import IfaceId
from sdn.model.cookie import Cause, CauseKind
from sdn.model.flow import Flow
from sdn.model.intent import (
    HostIntent,
    HostView,
    IntentSnapshot,
    NetworkIntent,
    PortIntent,
    RouterIntent,
    SecurityGroupIntent,
)
from sdn.model.meter import Meter
from sdn.pipeline import Register


def compile_host(snapshot: IntentSnapshot, view: HostView) -> tuple[Flow, ...]:
    """The flows that br-int of `view.host` should have, sorted; a network that no port here can reach has none."""
    compiler = HostCompiler(lambda flow: flow)
    compiler.update(index_intent(snapshot), view)
    return tuple(sorted(compiler.flows.values()))


class HostCompiler(Generic[F]):
    """Keeps the flows of one host, each as `encode` makes it, and follows the intent for the price of what changed."""

    def __init__(self, encode: Callable[[Flow], F], memo: Memo[F] | None = None) -> None:
        self._encode, self._memo = encode, memo or Memo()
        self._local: dict[int, LocalPort] = {}
        self._here: dict[int, list[LocalPort]] = {}  # by network
        self._networks: set[int] = set()  # that this host's flows know of
        self._seen_by: tuple[object, HostView] | None = None
        self._store = PieceStore(encode, shared_flow, self._memo)
        self.meters: dict[int, Meter] = {}  # that the flows name, by id
        self.limited: tuple[LocalPort, ...] = ()

    @property
    def flows(self) -> Mapping[Any, F]:
        """Every flow by its key."""
        return self._store.flows

    def update(self, index: IntentIndex, view: HostView) -> dict[Any, F | None]:
        """Compile; the keys whose flow changed, with the flow that was there before. After an error nothing is kept."""
        before, self._seen_by = self._seen_by, (index.token, view)
        step = index.step
        is_near = before is not None and step is not None and before == (step.before, view)
        if step is not None and is_near and step.ifaces.isdisjoint(_ifaces(view)):
            return self._update_around(index, view, step.networks)
        return self._update_whole(index, view)

    def _update_whole(self, index: IntentIndex, view: HostView) -> dict[Any, F | None]:
        try:
            self._local = local_ports(index, view, self._local)
            self._here = {}
            for port in self._local.values():
                self._here.setdefault(port.intent.network_id, []).append(port)
            plugged = [port for port in self._local.values() if not port.stands_in]
            self.limited = tuple(port for port in plugged if port.intent.is_limited)
            self.meters = wanted_meters(self.limited, view.sampled)
            routers = _routers_here(index, view, self._here)
            self._networks = {leg.network_id for router in routers for leg in router.ports}.union(self._here)
            mirrors = mirror_scopes(index, view, self._local, are_all=True)
            return self._store.update(chain(_scopes(index, view, self._here, self._networks), mirrors))
        except Exception:
            self._clear()
            raise

    def _update_around(self, index: IntentIndex, view: HostView, changed: Set[int]) -> dict[Any, F | None]:
        """Other hosts' ports changed, on these networks: what is plugged here, and so which scopes there are, did not."""
        networks, has_mirrors = changed & self._networks, not changed.isdisjoint(index.mirrored)
        if not networks and not has_mirrors:
            return {}
        try:
            mirrors = mirror_scopes(index, view, self._local, are_all=False) if has_mirrors else ()
            around = _scopes_around(index, view, self._here, networks) if networks else ()
            return self._store.update(chain(around, mirrors), are_all=False)
        except Exception:
            self._clear()
            raise

    def _clear(self) -> None:
        self._local, self._here, self._networks, self._seen_by = {}, {}, set(), None
        self._store = PieceStore(self._encode, shared_flow, self._memo)


def _ifaces(view: HostView) -> Iterator[IfaceId]:
    """The interfaces whose ports' flows this host has."""
    yield from (iface for iface, _ in view.ofports)
    yield from view.stand_ins


Here = Mapping[int, Sequence[LocalPort]]  # network → its ports that are plugged on the host


def _scopes(index: IntentIndex, view: HostView, here: Here, networks: Set[int]) -> Iterator[Scope]:
    """Everything that the host has, which knows of these networks."""
    yield Scope("system", (view.tunnel_ofports,), lambda: _system(view))
    yield from _group_scopes(index, here)
    wanted = frozenset(view.sampled)
    sampled = tuple(port for ports in here.values() for port in ports if port.intent.id in wanted) if wanted else ()
    yield Scope("sampled", (sampled,), lambda: [Piece("all", (sampled,), _making(sample_flows, sampled))])
    yield from _scopes_around(index, view, here, networks)
    led = (index.routers[router_id] for router_id in sorted(index.led_by.get(view.host, ())))
    for outside in outsides(routed_here(index, view.host, router) for router in led if _leads(index, view, router)):
        yield _outside_scope(outside, view)


def _scopes_around(index: IntentIndex, view: HostView, here: Here, networks: Set[int]) -> Iterator[Scope]:
    """What depends on the ports that these networks have on any host."""
    for network_id in sorted(networks):
        if (network := index.networks.get(network_id)) is not None:
            local = tuple(here.get(network_id, ()))
            yield _network_scope(index, view, network, local)
            for group in _groups_of(index, local):
                yield _members_scope(index, group, network)
    for router in _routers_here(index, view, here):
        legs = {leg.network_id for leg in router.ports}
        is_here = _leads(index, view, router) or any(one in here and one in index.networks for one in legs)
        if is_here and (not legs or not legs.isdisjoint(networks)):
            yield _router_scope(index, view, router)


def _routers_here(index: IntentIndex, view: HostView, here: Here) -> list[RouterIntent]:
    """The routers of the networks that have ports here, and those that this host leads outside."""
    ids = set(index.led_by.get(view.host, ())).union(*(index.routers_of.get(one, ()) for one in here))
    return [index.routers[router_id] for router_id in sorted(ids)]


def _leads(index: IntentIndex, view: HostView, router: RouterIntent) -> bool:
    return router.external_id in index.externals and router.gateway_host == view.host


def _system(view: HostView) -> Iterator[Piece]:
    def make(_: str) -> Iterator[Flow]:
        yield from system_flows(view.tunnel_ofports)
        yield from fixed_rule_flows()
        yield from system_security_flows()
        yield from system_neighbours()

    yield Piece("all", (view.tunnel_ofports,), make)


def _network_scope(index: IntentIndex, view: HostView, network: NetworkIntent, here: tuple[LocalPort, ...]) -> Scope:
    ports = index.ports_of.get(network.id, ())
    inputs = (
        network,
        here,
        ports,
        index.hosts,
        view.host,
        view.tunnel_ofport,
        view.geneve_ofport,
        view.external_ofport,
    )
    local = {port.intent.id: port for port in here}
    return Scope(("network", network.id), inputs, lambda: _network(overlay_of(index, view, network, local)))


def _network(overlay: Overlay) -> Iterator[Piece]:
    """What a network comes to on a host; one without local ports, only reached by a router, is just the way to its ports."""
    bare = overlay.bare
    has_local = bool(overlay.local or overlay.stand_ins)
    for port, host in overlay.remote:
        yield _remote_piece(port, host, bare, has_local)
    for gone in overlay.absent:
        yield _absent_piece(gone, bare)
    if not has_local:
        return
    peers = overlay.peers
    yield Piece("network", (bare, overlay.local, peers), lambda _: _network_flows(overlay))
    if any(port.pairs for port in overlay.ports):
        yield Piece("pairs", (bare, overlay.local, overlay.remote), lambda _: pair_flows(overlay))
    for plugged in overlay.local:
        yield _local_piece(plugged, bare)
    for standing in overlay.stand_ins:
        yield _stand_in_piece(standing, bare)


def _network_flows(overlay: Overlay) -> Iterator[Flow]:
    """Depends on the network, its local ports and its other hosts, not on who is there."""
    yield from network_answers(overlay)
    yield from network_neighbours(overlay)
    yield from gateway_flows(overlay)
    yield from own_network_flows(overlay)
    yield from provider_flows(overlay) if overlay.network.is_provider else tunnel_flows(overlay)


def _remote_piece(port: PortIntent, host: HostIntent, bare: Overlay, has_local: bool) -> Piece:
    def make(_: str) -> Iterator[Flow]:
        yield from onto_segment(port, bare) if bare.network.is_provider else remote_flows(port, host, bare)
        if has_local:
            yield from remote_answers(port, bare)
            yield from remote_neighbours(port, bare)

    return Piece(
        ("remote", port.id, has_local, bare.tunnel_ofport, bare.external_ofport), (port, host, bare), make, common=True
    )


def _absent_piece(port: PortIntent, bare: Overlay) -> Piece:
    def make(_: str) -> Iterator[Flow]:
        to = {**bare.mark, "dl_dst": port.mac}
        yield flow("l2_lookup", 98, Cause(CauseKind.PORT, port.id), to, drop("l2_lookup", "port_down"))

    return Piece(("absent", port.id), (port, bare), make)


def _local_piece(port: LocalPort, bare: Overlay) -> Piece:
    def make(_: str) -> Iterator[Flow]:
        yield from _plugged(port, bare)
        yield from port_security_flows(port, bare)
        yield from port_answers(port, bare)
        yield from port_neighbours(port, bare)
        yield from port_rule_flows(port)
        yield from port_drop_flows(port)

    return Piece(("local", port.intent.id), (port, bare), make)


def _stand_in_piece(port: LocalPort, bare: Overlay) -> Piece:
    """The sender's side of a port that is not plugged, for packets of the controller with its number."""

    def make(_: str) -> Iterator[Flow]:
        given = {"in_port": str(port.ofport), **port.mark}
        yield flow("classify", 100, port.cause, given, (*_identify(port, bare), goto("classify", "port_security")))
        yield from port_security_flows(port, bare)
        yield from port_rule_flows(port)
        yield from port_drop_flows(port)

    return Piece(("stand-in", port.intent.id), (port, bare), make)


def _identify(port: LocalPort, overlay: Overlay) -> tuple[str, ...]:
    row_id, zone = port.intent.id & 0xFFFFFFFF, load(port.zone, Register.ZONE)
    return load(row_id, Register.SOURCE_PORT), load(overlay.network.vni, Register.VNI), zone


def _plugged(port: LocalPort, overlay: Overlay) -> Iterator[Flow]:
    """Whose packets come in at the port, and the way to it."""
    cause, intent = port.cause, port.intent
    row_id = intent.id & 0xFFFFFFFF
    zone = load(port.zone, Register.ZONE)
    sends, receives = port.meters
    come = (*meter(sends), *_identify(port, overlay), goto("classify", "port_security"))
    yield flow("classify", 100, cause, {"in_port": str(port.ofport)}, come)
    if receives:
        here = {reg(Register.OUT): f"{port.ofport:#x}"}
        yield flow("output", 80, cause, here, (*meter(receives), "output:NXM_NX_REG3[]"))
    deliver = (load(row_id, Register.TARGET_PORT), load(port.ofport, Register.OUT), zone)
    to = {**overlay.mark, "dl_dst": intent.mac}
    yield flow("l2_lookup", 100, cause, to, (*deliver, goto("l2_lookup", "conntrack_ingress")))


def _group_scopes(index: IntentIndex, here: Here) -> Iterator[Scope]:
    """The rules of every group that a secured port of this host is in, but for whom remote groups stand."""
    used: dict[int, SecurityGroupIntent] = {}
    for network_id, ports in here.items():
        groups = _groups_of(index, ports)
        if groups and network_id in index.networks:
            used |= {group.id: group for group in groups}
            secured = tuple(port for port in ports if port.intent.is_secured)
            yield Scope(("judged", network_id), (secured, groups), _making_pieces(_judged, secured, groups))
    for group_id, group in sorted(used.items()):
        yield Scope(("group", group_id), (group,), _making_pieces(_rules, group))


def _groups_of(index: IntentIndex, ports: Iterable[LocalPort]) -> tuple[SecurityGroupIntent, ...]:
    ids = {group_id for port in ports if port.intent.is_secured for group_id in port.intent.groups}
    return tuple(index.groups[group_id] for group_id in sorted(ids) if group_id in index.groups)


def _rules(group: SecurityGroupIntent) -> Iterator[Piece]:
    yield Piece("rules", (group,), _making(group_items, group), common=True)


def _making_pieces(pieces: Callable[..., Iterable[Piece]], *inputs: object) -> Callable[[], Iterable[Piece]]:
    return lambda: pieces(*inputs)


def _judged(ports: Iterable[LocalPort], groups: Iterable[SecurityGroupIntent]) -> Iterator[Piece]:
    known = {group.id: group for group in groups}
    for port in ports:
        mine = tuple(known[group_id] for group_id in port.intent.groups if group_id in known)
        yield Piece(port.intent.id, (port, mine), _making(judged_flows, port, mine))


def _members_scope(index: IntentIndex, group: SecurityGroupIntent, network: NetworkIntent) -> Scope:
    rules = tuple(rule for rule in group.rules if rule.group_id is not None)
    members = tuple(index.membership.remotes(rule, network.id) for rule in rules)
    bare = Overlay(network, (), (), (), None)

    def pieces() -> Iterator[Piece]:
        for rule, texts in zip(rules, members, strict=True):
            make = _making(remote_items, rule, group, bare, is_each=True)
            yield Piece(rule.id, (rule, group.id, network.vni), make, texts, common=True)

    return Scope(("members", group.id, network.id), (rules, members, network.vni), pieces)


def _making(
    items: Callable[..., Iterable[Item]], *inputs: object, is_each: bool = False
) -> Callable[[str], Iterable[Item]]:
    """What makes a piece's items of its inputs, and of each member where there are any."""
    return (lambda member: items(*inputs, member)) if is_each else (lambda _: items(*inputs))


def _router_scope(index: IntentIndex, view: HostView, router: RouterIntent) -> Scope:
    legs = tuple(
        (index.networks.get(leg.network_id), index.subnets.get(leg.subnet_id), index.ports_of.get(leg.network_id))
        for leg in router.ports
    )
    ends = index.externals.get(router.external_id or 0), index.hosts.get(router.gateway_host or view.host)
    inputs = (router, legs, ends, view.host, view.tunnel_ofport)
    return Scope(("router", router.id), inputs, lambda: _router(routed_here(index, view.host, router), view))


def _router(routed: Routed, view: HostView) -> Iterator[Piece]:
    bare, ofport = routed.bare, view.tunnel_ofport

    def make(_: str) -> Iterator[Flow]:
        yield from router_flows(bare)
        yield from nat_flows(bare, ofport)

    yield Piece("router", (bare, ofport), make)
    hops = routed.only(next_hop_ports(routed))
    yield Piece("routes", (hops,), _making(static_routes, hops))
    networks = {leg.network.id for leg in routed.legs}
    legs = {one: tuple(leg for leg in routed.legs if leg.network.id == one) for one in networks}
    for port in routed.ports:
        mine = legs[port.network_id]
        yield Piece(("next hop", port.id), (port, mine), _making(next_hop_flows, port, mine), common=True)


def _outside_scope(outside: Outside, view: HostView) -> Scope:
    known = tuple(one for one in view.neighbours if one[0] == outside.external.id)
    inputs = (outside, view.external_ofport, known)
    piece = Piece("all", inputs, _making(external_flows, outside, view))
    return Scope(("outside", outside.external.id), inputs, lambda: [piece])
