"""What becomes of each copy of a packet where it leaves a bridge: a NIC, a tunnel, the controller, a stranger, a drop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sdn.model.cookie import parse_cookie
from sdn.model.trace import Branch, Hop
from sdn.trace import hops, sizes, words
from sdn.trace.fields import carried
from sdn.trace.into import into_namespace, told_of
from sdn.trace.journey import Journey, Leg, with_hops
from sdn.trace.near import Near, TableFlow, nearest, parse_flows
from sdn.trace.parser import Lookup
from sdn.trace.plugged import come_to_guest
from sdn.trace.question import STOOD_IN, Endpoint, HostUnreachable, PortFacts, TraceHost, cable_port, tunnel_ports
from sdn.trace.walked import DROP_TABLE, Exit, Seen, Walk

MAX_BRANCHES = 16
IDENTITY_FIELDS = frozenset(("reg0", "reg1", "reg2", "in_port", "tun_id"))  # whose packet it is, and for whom


def stopped_at_tap(endpoint: Endpoint, way: Sequence[Hop]) -> Leg | None:
    """The end of a packet at a tap whose link is down, as its switch last told; None where it passes."""
    if endpoint.ofport is None or not endpoint.chain.is_link_down:
        return None
    why = f"the link of {endpoint.name}'s tap is {endpoint.chain.tap_link}, and no frame passes it"
    reason = f"Dropped at {endpoint.tap} of {endpoint.host}: {why}."
    suggestion = f"Have an operator of {endpoint.host} set it up: ip link set {endpoint.tap} up."
    return Leg("dropped", reason, list(way), suggestion=suggestion, where=endpoint.name, host=endpoint.host)


def follow(journey: Journey, host: TraceHost, walk: Walk) -> list[tuple[Exit, Leg]]:
    """Every exit with what becomes of the copy there; at least one. Mirrors' copies are told as findings."""
    for aside in walk.asides[:MAX_BRANCHES]:
        _tell_copy(journey, host, walk, aside)
    leaving, ended = [exit_ for exit_ in walk.leaving if not _is_told(exit_)][:MAX_BRANCHES], walk.ended
    if leaving:
        on = [(exit_, _leave(journey, host, walk, exit_)) for exit_ in leaving]
        side = [exit_ for exit_ in ended if "skipping output to input port" not in exit_.why]
        return on + [(exit_, _drop(journey, host, walk, exit_, explain=False)) for exit_ in side]
    if ended:
        exit_ = next((one for one in reversed(ended) if one.lookup.table == DROP_TABLE), ended[-1])
        return [(exit_, _drop(journey, host, walk, exit_))]
    if not walk.seen:
        return [_nothing(walk, f"The switch of {host.name} gave no trace that can be read: see the raw evidence.")]
    exit_ = Exit("drop", -1, walk.seen[-1].lookup, walk.fields)
    return [(exit_, _drop(journey, host, walk, exit_))]


def _tell_copy(journey: Journey, host: TraceHost, walk: Walk, exit_: Exit) -> None:
    """Where a mirror's copy goes, and whether it gets there. It is cut to what the tunnel carries, so any size fits."""
    size, journey.size = journey.size, 0
    try:
        leg = _out(journey, host, walk, exit_) if exit_.kind in ("output", "in_port") else _drop(journey, host, walk, exit_, explain=False)  # fmt: skip
    finally:
        journey.size = size
    journey.find(words.copy_words(host.name, leg.verdict, leg.where, leg.host, leg.reason))


def _is_told(exit_: Exit) -> bool:
    """A copy of a dropped packet for the controller, which tells the sender: the drop is what becomes of it."""
    return exit_.kind == "controller" and exit_.fields.get("reg4", "0") not in ("0", "0x0")


def _nothing(walk: Walk, reason: str) -> tuple[Exit, Leg]:
    return Exit("drop", -1, Lookup(0, "", None, None, 0, bridge=walk.bridge), walk.fields), Leg("unknown", reason)


def choose(journey: Journey, legs: list[tuple[Exit, Leg]]) -> int:
    """Which copy the hops follow: the one that reaches the target, else one that is delivered, else the first."""
    target = journey.question.target
    for at, (_, leg) in enumerate(legs):
        if target is not None and leg.reached is not None and leg.reached.mac == target.mac:
            return at
    return next((at for at, (_, leg) in enumerate(legs) if leg.verdict == "delivered"), 0)


def join(journey: Journey, host: TraceHost, legs: list[tuple[Exit, Leg]], main: int) -> Leg:
    """The copies of one packet as one answer."""
    leg = legs[main][1]
    branches: list[Branch] = []
    for at, (_, one) in enumerate(legs):
        own = Branch(one.host or host.name, one.where, one.verdict, one.reason, at == main)
        inner = [replace(branch, is_main=branch.is_main and at == main) for branch in one.branches]
        branches += inner or [own]
    arrived = [branch.where for branch in branches if branch.verdict in ("delivered", "flooded") and branch.where]
    copies = sum(exit_.kind not in ("drop", "refused") for exit_, _ in legs)
    if copies == 1:
        return replace(leg, branches=branches)
    names = ", ".join(dict.fromkeys(arrived)) or "none of them arrives"
    reason = f"{host.name} copies the packet to {copies} ports. It reaches {names}."
    target = journey.question.target
    if target is not None and leg.reached is not None and leg.reached.mac == target.mac:
        reason = f"{host.name} copies the packet to {copies} ports, {target.name} among them. It reaches {names}."
    return replace(leg, verdict="flooded", reason=reason, branches=branches)


def _leave(journey: Journey, host: TraceHost, walk: Walk, exit_: Exit) -> Leg:
    if exit_.kind == "controller":
        return Leg("to_controller", words.controller_words(host, exit_), where="the controller", host=host.name)
    if exit_.kind == "normal":
        return _learned(journey, host, walk, exit_)
    return _out(journey, host, walk, exit_)


def _out(journey: Journey, host: TraceHost, walk: Walk, exit_: Exit) -> Leg:
    question = journey.question
    on_main = exit_.lookup.bridge in ("", question.bridge)
    if exit_.kind == "output" and exit_.tun_dst and on_main and exit_.ofport in _tunnels_of(journey, host):
        return _through_tunnel(journey, host, walk, exit_)
    endpoint = host.ports.get(exit_.ofport) if on_main else None
    if exit_.kind == "in_port" and exit_.ofport == STOOD_IN and on_main:
        endpoint = question.source  # no port of the switch is its own, and the answer is for it
    if endpoint is None:
        return _to_stranger(journey, host, exit_)
    if exit_.kind == "in_port":
        back = come_to_guest(journey, endpoint, exit_.fields)
        if back.is_stopped:
            return back.stopped()
        reason = words.answer_words(host, exit_, question)
        return back.doubted(
            Leg("delivered", reason, [*back.hops], endpoint, where=f"back to {endpoint.name}", host=host.name)
        )
    return _arrive(journey, host, endpoint, exit_)


def _arrive(journey: Journey, host: TraceHost, endpoint: Endpoint, exit_: Exit) -> Leg:
    question = journey.question
    way = come_to_guest(journey, endpoint, exit_.fields)
    fit = sizes.fit_receiver(endpoint.name, endpoint.chain.tap_mtu or endpoint.mtu, journey.size)
    if not fit.fits:
        return Leg("dropped", f"Dropped at {endpoint.tap} of {host.name}: {fit.words}.", [*way.hops[:1]], suggestion=fit.suggestion, where=endpoint.name, host=host.name)  # fmt: skip
    if (stopped := stopped_at_tap(endpoint, way.hops[:1])) is not None:
        return stopped
    if way.is_stopped:
        return way.stopped()
    reason = f"{question.source.name} reaches {endpoint.name}."
    if question.target is not None and endpoint.mac != question.target.mac and not _is_group(exit_.fields):
        reason = f"Delivered, but to {endpoint.name} instead of {question.target.name}."
    return way.doubted(Leg("delivered", reason, [*way.hops], endpoint, where=endpoint.name, host=host.name))


def _is_group(fields: dict[str, str]) -> bool:
    """Is it broadcast or multicast?"""
    try:
        return bool(int(fields.get("dl_dst", "00")[:2], 16) & 1)
    except ValueError:
        return False


def _through_tunnel(journey: Journey, host: TraceHost, walk: Walk, exit_: Exit) -> Leg:
    question = journey.question
    there = next((other for other in question.hosts if other.underlay_ip == exit_.tun_dst), None)
    kind = _tunnels_of(journey, host)[exit_.ofport]
    mouth = hops.encap_hops(host, exit_, journey.size, kind)
    fit = sizes.fit_tunnel(host.name, host.underlay_mtu, journey.size, hops.KIND_WORDS.get(kind, kind))
    journey.find(sizes.tight_path(question.source.mtu, host.underlay_mtu, host.name))
    if not fit.fits:
        return Leg("dropped", f"Dropped on {host.name}: {fit.words}.", [*mouth], suggestion=fit.suggestion, where=f"tunnel to {exit_.tun_dst}", host=host.name)  # fmt: skip
    if there is None and question.is_one_host:
        reason = f"It leaves {host.name} through the tunnel to {exit_.tun_dst}, VNI {int(exit_.tun_id, 0)}."
        return Leg("delivered", reason, [*mouth], where=f"tunnel to {exit_.tun_dst}", host=host.name)
    if there is None:
        reason = f"It leaves {host.name} for {exit_.tun_dst or 'an unknown tunnel'}, a host that we do not know."
        return Leg("unknown", reason, [*mouth], where=f"tunnel to {exit_.tun_dst}", host=host.name)
    try:
        ofport = next((number for number, of in _tunnels_of(journey, there).items() if of == kind), None)
    except HostUnreachable as problem:
        return Leg("unknown", f"Unknown past here: {problem}.", [*mouth], where=there.name, host=there.name, suggestion=f"Look after the Open vSwitch of {there.name}.")  # fmt: skip
    if ofport is None:
        return Leg("unknown", f"Unknown past here: {there.name} has no {hops.KIND_WORDS.get(kind, kind)} port.", [*mouth], where=there.name, host=there.name)  # fmt: skip
    entry = {"in_port": str(ofport), "tun_id": exit_.tun_id, "tun_src": host.underlay_ip, "tun_dst": there.underlay_ip}
    over = [*mouth, *hops.decap_hops(host, there, exit_, ofport, kind)]
    return with_hops(over, journey.enter(journey, there, entry, carried(exit_.fields)))


def _tunnels_of(journey: Journey, host: TraceHost) -> dict[int, str]:
    """The kinds of the host's tunnels by ofport: given, or as its switch tells. Raises HostUnreachable."""
    if known := host.known_tunnels:
        return known
    if host.name not in journey.tunnels:
        journey.tunnels[host.name] = tunnel_ports(journey.world.ports(host.name), journey.question.bridge)
    return journey.tunnels[host.name]


def _over_wire(journey: Journey, host: TraceHost, exit_: Exit) -> Leg | None:
    """On to the target's host by the wire that a provider network lies on; None where that is not the way."""
    question = journey.question
    target, segment = question.target, question.segment
    if segment is None or target is None or target.host == host.name:
        return None
    there = next((other for other in question.hosts if other.name == target.host), None)
    if there is None:
        return None
    out = hops.wire_hops(host, there, exit_.fields, segment, journey.size)
    try:
        cable = cable_port(journey.world.ports(there.name), question.bridge)
    except HostUnreachable as problem:
        return Leg("unknown", f"Unknown past here: {problem}.", [*out[:2]], where=there.name, host=there.name, suggestion=f"Look after the Open vSwitch of {there.name}.")  # fmt: skip
    if cable is None:
        return Leg("unknown", f"Unknown past here: br-int of {there.name} is not cabled to br-ex.", [*out], where=there.name, host=there.name)  # fmt: skip
    packet = carried(exit_.fields)
    packet.pop("dl_vlan", None)
    if segment.vid is not None:
        packet["dl_vlan"] = str(segment.vid)
    return with_hops(out, journey.enter(journey, there, {"in_port": str(cable.ofport)}, packet))


def _learned(journey: Journey, host: TraceHost, walk: Walk, exit_: Exit) -> Leg:
    """NORMAL: the switch's own MAC table chose; the ports are those of the datapath's actions."""
    if exit_.lookup.bridge not in ("", journey.question.bridge) and (over := _over_wire(journey, host, exit_)):
        return over
    try:
        ports = {port.datapath_port: port for port in journey.world.ports(host.name)}
    except HostUnreachable:
        ports = {}
    numbers = [ports[word] for word in exit_.datapath.split(",") if word in ports]
    bridge = exit_.lookup.bridge or journey.question.bridge
    chosen = [port for port in numbers if port.bridge == bridge] or numbers
    how = next((note for note in exit_.notes if note), "the bridge's MAC table decides")
    if len(chosen) == 1:
        port = chosen[0]
        leg = _out(journey, host, walk, replace(exit_, kind="output", ofport=port.ofport))
        return replace(leg, reason=f"{leg.reason} ({bridge}: {how})" if leg.verdict != "delivered" else leg.reason)
    if not chosen:
        return Leg("unknown", f"{bridge} of {host.name} switches it by its MAC table ({how}): see the raw evidence.", host=host.name)  # fmt: skip
    names = ", ".join(_name_of(host, port) for port in chosen)
    return Leg("flooded", f"{bridge} of {host.name} does not know the MAC and copies the packet to {names}.", where=names, host=host.name)  # fmt: skip


def _name_of(host: TraceHost, port: PortFacts) -> str:
    endpoint = host.ports.get(port.ofport) if port.bridge == "br-int" else None
    return endpoint.name if endpoint else port.name


def _to_stranger(journey: Journey, host: TraceHost, exit_: Exit) -> Leg:
    """An output that no port of ours is behind: named as the switch names it."""
    if (over := _over_wire(journey, host, exit_)) is not None:
        return over
    bridge = exit_.lookup.bridge or journey.question.bridge
    try:
        ports = journey.world.ports(host.name)
    except HostUnreachable:
        ports = ()
    port = next((one for one in ports if (one.bridge, one.ofport) == (bridge, exit_.ofport)), None)
    if port is None:
        return Leg("unknown", f"It leaves {host.name} at port {exit_.ofport} of {bridge}, which is none of ours.", host=host.name, where=f"port {exit_.ofport}")  # fmt: skip
    external = hops.external_hop(host, port, exit_.fields)
    if (far := journey.world.behind(host.name, port)) is not None:
        if (leg := into_namespace(journey, host, port, far, exit_.fields)) is not None:
            return leg
        external = told_of(external, far)
    out = [external]
    if journey.question.target is None:
        return Leg("delivered", f"It leaves {host.name} by {port.name} of {bridge}, towards {journey.question.target_name}.", [*out], where=port.name, host=host.name)  # fmt: skip
    return Leg("unknown", f"It leaves {host.name} by {port.name} (port {port.ofport} of {bridge}), which is none of ours.", [*out], where=port.name, host=host.name)  # fmt: skip


def _drop(journey: Journey, host: TraceHost, walk: Walk, exit_: Exit, *, explain: bool = True) -> Leg:
    """The drop in words, the look-up that decided it, and what almost let the packet through."""
    decided = _decided(walk, exit_)
    ours = exit_.lookup.table == DROP_TABLE and hops.is_ours(exit_.lookup)
    sentence, reason = words.drop_words(host, exit_, decided, journey.question.target, is_ours=ours)
    suggestion = words.suggestion_for(reason, journey.question)
    near = _nearest(journey, host, decided) if explain and exit_.kind == "drop" else ()
    return Leg(
        "dropped",
        sentence,
        [],
        cause=(decided, host),
        nearest=near,
        suggestion=suggestion,
        where="dropped",
        host=host.name,
    )


def _decided(walk: Walk, exit_: Exit) -> Seen:
    """The look-up that decided the drop: the last one before the drop table."""
    at = next((index for index, seen in enumerate(walk.seen) if seen.lookup is exit_.lookup), len(walk.seen) - 1)
    if walk.seen[at].lookup.table == DROP_TABLE and at and hops.is_ours(walk.seen[at].lookup):
        at -= 1
    return walk.seen[at]


def _nearest(journey: Journey, host: TraceHost, decided: Seen) -> tuple[Near, ...]:
    lookup = decided.lookup
    try:
        text = journey.world.flows(host.name, lookup.bridge or journey.question.bridge, lookup.table)
    except HostUnreachable as problem:
        journey.find(f"The flows that almost matched could not be read: {problem}")
        return ()
    return nearest(parse_flows(text), decided.before, _lets_on, _may_be_told)


def _lets_on(flow: TableFlow) -> bool:
    """Does the flow do anything but drop?"""
    return flow.actions not in ("drop", "") and f"goto_table:{DROP_TABLE}" not in flow.actions


def _may_be_told(near: Near) -> bool:
    """A flow of ours for another port or network is no near miss, and may be another team's: it is never shown."""
    is_foreign = parse_cookie(near.flow.cookie) is None
    return is_foreign or not any(name in IDENTITY_FIELDS for name, _, _ in near.differs)
