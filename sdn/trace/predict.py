"""A predicted trace: each host's own `ofproto/trace`, stitched over tunnels (field notes: the stitching recipe).

1. The packet is written as a whole flow, for a missing TTL makes a trace lie.
2. Conntrack is looked up for each ct() in its own zone, and given in order; asked again until what was assumed is true.
3. The look-ups are steps of a bridge's hop, and each place where a copy ends is an exit: the verdict is taken from all of
   them, never from the word "drop".
4. An exit into the tunnel leads to the host whose underlay address is tun_dst. The packet goes on there as it came out:
   rewritten MACs, TTL and addresses included.
5. Where a switch makes copies, each is followed; the hops are those of the copy that reaches the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sdn.model.cookie import Cause
from sdn.model.trace import Intent, Step, Trace
from sdn.trace import hops, sizes
from sdn.trace.branches import keep_true_branches
from sdn.trace.conntrack import ESTABLISHED, INVALID, NEW, REPLY, ct_state, first_state
from sdn.trace.exits import choose, follow, join, stopped_at_tap
from sdn.trace.fields import flow_text, packet_fields
from sdn.trace.into import out_of_namespace
from sdn.trace.journey import AnyHop, Enter, Journey, Leg, with_hops
from sdn.trace.parser import parse_trace
from sdn.trace.past import bypass_of_end, ends_at_nic, past_target
from sdn.trace.plugged import leave_guest, with_crossing
from sdn.trace.question import (
    FromRouter,
    HostUnreachable,
    Outside,
    Question,
    TraceHost,
    TraceWorld,
    cable_port,
    tunnel_ports,
)
from sdn.trace.walk import walk_passes
from sdn.trace.walked import Exit, Walk

MAX_HOSTS, MAX_STATES = 8, 5
ENTRY = ("in_port", "tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "metadata", "recirc_id", "pkt_mark")


def predict(question: Question, world: TraceWorld, explain: Callable[[Iterable[Cause]], dict[Cause, Intent]]) -> Trace:
    """The trace of the question's packet. A host that can't be asked makes the verdict unknown, never an exception."""
    journey = Journey(question, world, _on_host, sizes.ip_bytes(question.packet))
    packet = {**packet_fields(question.packet), **dict(question.overlay)}
    return _answer(journey, packet, past_target(question.target, _from_source(journey, packet)), explain)


def predict_flow(
    question: Question, world: TraceWorld, flow: dict[str, str],
    explain: Callable[[Iterable[Cause]], dict[Cause, Intent]],
) -> Trace:  # fmt: skip
    """The trace of a packet given as a flow, its in_port included, on the question's bridge of its source's host."""
    journey = Journey(question, world, _on_host)
    host = next(host for host in question.hosts if host.name == question.source.host)
    entry = {name: value for name, value in flow.items() if name in ENTRY}
    packet = {name: value for name, value in flow.items() if name not in ENTRY}
    start: list[AnyHop] = [
        *out_of_namespace(journey, host, packet),
        hops.port_hop(host, question.source, packet),
    ]
    leg = past_target(question.target, with_hops(start, _on_host(journey, host, entry, packet)))
    return _answer(journey, packet, leg, explain)


def leave_source(question: Question, world: TraceWorld, enter: Enter) -> Leg:
    """The way of the question's packet up to where it leaves its source's host, where `enter` says how it goes on."""
    journey = Journey(question, world, enter, sizes.ip_bytes(question.packet))
    return _from_source(journey, packet_fields(question.packet))


def come_to(question: Question, world: TraceWorld, enter: Enter, at: tuple[TraceHost, dict[str, str], dict[str, str]]) -> Leg:  # fmt: skip
    """The way from where the packet comes to a host (`at`: the host, how it comes in, the packet) to its end there."""
    return _on_host(Journey(question, world, enter, sizes.ip_bytes(question.packet)), *at)


def _answer(
    journey: Journey, packet: dict[str, str], leg: Leg, explain: Callable[[Iterable[Cause]], dict[Cause, Intent]]
) -> Trace:
    question = journey.question
    told = _explained(leg, explain)
    return Trace(
        id=question.id, kind="predicted", direction=question.direction, packet=packet,
        hops=tuple([hop.hop(told) if isinstance(hop, hops.BridgeDraft) else hop for hop in leg.hops]), verdict=leg.verdict,
        reason=leg.reason, started_at=question.started_at, generation=question.generation, branches=tuple(leg.branches),
        cause=leg.cause if leg.cause is None or isinstance(leg.cause, Step) else hops.step_of(*leg.cause, told),
        nearest=tuple(hops.near_flow(near, told) for near in leg.nearest), suggestion=leg.suggestion,
        findings=tuple(journey.findings),
    )  # fmt: skip


def _explained(leg: Leg, explain: Callable[[Iterable[Cause]], dict[Cause, Intent]]) -> dict[Cause, Intent]:
    """Every flow's cause in words, asked for at once."""
    seen = [one for hop in leg.hops if isinstance(hop, hops.BridgeDraft) for one in hop.seen]
    causes = hops.causes_of([*(one.lookup.cookie for one in seen), *(near.flow.cookie for near in leg.nearest)])
    return explain(causes) if causes else {}


def _from_outside(journey: Journey, outside: Outside, packet: dict[str, str]) -> Leg:
    """In by the host's NIC, `br-ex` and its cable, as the wire carries it."""
    question = journey.question
    host = next((host for host in question.hosts if host.name == question.source.host), None)
    if host is None:
        return Leg("unknown", f"No host is gateway to {outside.network} now, so nothing comes in from it.")
    tagged = packet if outside.vid is None else {**packet, "dl_vlan": str(outside.vid)}
    start: list[AnyHop] = [*hops.entering_hops(host, question.source.name, outside, tagged)]
    try:
        cable = cable_port(journey.world.ports(host.name), question.bridge)
    except HostUnreachable as problem:
        suggestion = f"Look after the Open vSwitch of {host.name}."
        return Leg("unknown", f"Unknown past here: {problem}.", start[:2], suggestion=suggestion)
    if cable is None:
        return Leg("unknown", f"br-int of {host.name} is not cabled to br-ex: nothing comes in there.", start[:2])
    return with_hops(start, _on_host(journey, host, {"in_port": str(cable.ofport)}, tagged))


def _from_router(journey: Journey, sender: FromRouter, packet: dict[str, str]) -> Leg:
    """Out of the tunnel of the host that it is for, as each host routes for itself."""
    question = journey.question
    start: list[AnyHop] = [hops.router_hop(sender.router, str(question.source.address), question.source.host, packet)]
    host = next((host for host in question.hosts if host.name == question.source.host), None)
    if host is None:
        return Leg("unknown", f"No host has what {question.target_name} is behind now: nothing can be asked.", start)
    try:
        tunnels = tunnel_ports(journey.world.ports(host.name), question.bridge)
    except HostUnreachable as problem:
        return Leg(
            "unknown",
            f"Unknown past here: {problem}.",
            start,
            suggestion=f"Look after the Open vSwitch of {host.name}.",
        )
    ofport = next((number for number, kind in tunnels.items() if kind == sender.kind), None)
    if ofport is None:
        return Leg("unknown", f"br-int of {host.name} has no {sender.kind} tunnel: nothing is routed there.", start)
    far = next((one for one in question.hosts if one.name != host.name), host)
    entry = {
        "in_port": str(ofport),
        "tun_id": f"{sender.vni:#x}",
        "tun_src": far.underlay_ip,
        "tun_dst": host.underlay_ip,
    }
    start.append(hops.out_of_tunnel(host, sender.kind, sender.vni, ofport, packet))
    return with_hops(start, _on_host(journey, host, entry, packet))


def _from_source(journey: Journey, packet: dict[str, str]) -> Leg:
    if journey.question.outside is not None:
        return _from_outside(journey, journey.question.outside, packet)
    if journey.question.router is not None:
        return _from_router(journey, journey.question.router, packet)
    source = journey.question.source
    hosts = {host.name: host for host in journey.question.hosts}
    if (bypass := bypass_of_end(source)) is not None:
        return ends_at_nic(source, bypass, [*hops.leaving_hops(source, packet)])
    way = leave_guest(journey, source, packet)
    if not source.entry or source.host not in hosts:
        reason = f"{source.name} is not running: its NIC is plugged into no switch now."
        return Leg("unknown", reason, [*way.hops], suggestion=f"Start {source.name}.")
    fit = sizes.fit_guest(source.name, source.mtu, journey.size)
    journey.find(fit.words)
    journey.size = fit.size_bytes
    if (stopped := stopped_at_tap(source, way.hops)) is not None:
        return stopped
    if source.ofport is None:
        journey.find(f"{source.name} is off: this is what would become of a packet that it sends once it runs")
    if way.is_stopped:
        return way.stopped()
    return with_crossing(way, _on_host(journey, hosts[source.host], source.entry, packet))


def _on_host(journey: Journey, host: TraceHost, entry: dict[str, str], packet: dict[str, str]) -> Leg:
    question = journey.question
    flow = flow_text({**entry, **packet})
    place = (host.name, flow)
    if place in journey.visited:
        return Leg("unknown", f"The packet comes back to {host.name} as it was there before: a loop.")
    if len({name for name, _ in journey.visited} | {host.name}) > MAX_HOSTS:
        return Leg("unknown", f"The packet went over {MAX_HOSTS} hosts: it is not followed further.")
    journey.visited.add(place)
    try:
        walk, text, states = _ask(journey, host, flow)
    except HostUnreachable as problem:
        return Leg(
            "unknown", f"Unknown past here: {problem}.", suggestion=f"Look after the Open vSwitch of {host.name}."
        )
    legs = follow(journey, host, walk)
    main = choose(journey, legs)
    exit_, leg = legs[main]
    before = _bridge_hops(host, walk, exit_, hops.trace_command(question.bridge, flow, states), text)
    return with_hops(before, join(journey, host, legs, main) if len(legs) > 1 else leg)


def _bridge_hops(host: TraceHost, walk: Walk, exit_: Exit, command: str, text: str) -> list[AnyHop]:
    """The bridges that the packet crossed on this host, patch ports between them."""
    order = list(dict.fromkeys(seen.lookup.bridge for seen in walk.seen)) or [walk.bridge]
    last = exit_.lookup.bridge if exit_.lookup.bridge in order else order[-1]
    found: list[AnyHop] = []
    before = ""
    for name in order[: order.index(last) + 1]:
        if before:
            found.append(hops.patch_hop(host, before, name, exit_.fields))
        before = name or walk.bridge
        found.append(hops.BridgeDraft(host, before, walk.steps_of(name), exit_.fields, command, text))
    return found


def _ask(journey: Journey, host: TraceHost, flow: str) -> tuple[Walk, str, tuple[str, ...]]:
    """The walk. A tunnel's far end may be yet unknown: the asking itself makes the switch send its ARP question."""
    walk, text, states = _settle(journey, host, flow)
    looks = 0
    while _lacks_neighbour(walk) and journey.world.wait_for_neighbour(host.name, looks):
        looks += 1
        text = journey.world.ofproto_trace(host.name, journey.question.bridge, flow, states)
        walk = _walk(journey, text)
    if looks and not _lacks_neighbour(walk):
        journey.find(
            f"{host.name} had to ask for the other host's MAC by ARP: a first packet would have been lost there"
        )
    return walk, text, states


def _walk(journey: Journey, text: str) -> Walk:
    passes = keep_true_branches(parse_trace(text), journey.size)
    return walk_passes(passes, journey.question.bridge)


def _lacks_neighbour(walk: Walk) -> bool:
    return any(exit_.why.startswith("neighbor cache miss") for exit_ in walk.ended)


def _settle(journey: Journey, host: TraceHost, flow: str) -> tuple[Walk, str, tuple[str, ...]]:
    """The walk, asked again until each ct() was given the state that its connection has in its zone."""
    question = journey.question
    states = (REPLY,) * MAX_STATES if question.direction == "return" else ()  # more than there are ct()s does no harm
    text = journey.world.ofproto_trace(host.name, question.bridge, flow, states)
    for _ in range(MAX_STATES):
        walk = _walk(journey, text)
        told = question.ct_next[: len(walk.zones)]
        looked_up = zip(walk.zones[len(told) :], walk.flows[len(told) :], strict=True)
        true = (*told, *(_state(journey, host, zone, at) for zone, at in looked_up))
        given = states[: len(true)] + (NEW,) * max(len(true) - len(states), 0)
        if true == given:
            return walk, text, true
        states = true
        text = journey.world.ofproto_trace(host.name, question.bridge, flow, states)
    return _walk(journey, text), text, states


def _state(journey: Journey, host: TraceHost, zone: int, packet: dict[str, str]) -> str:
    question = journey.question
    if question.direction == "return":  # the way back of a connection that the way there opened
        return REPLY
    if question.moment == "first":
        return first_state(packet)
    try:
        dump = journey.world.conntrack(host.name, zone)
    except HostUnreachable as problem:
        journey.find(f"The connections of zone {zone} could not be read, so the packet counts as the first: {problem}")
        dump = ""
    found = ct_state(dump, packet, zone, any_source_port=not question.is_exact)
    return ESTABLISHED if found in (NEW, INVALID) and question.moment == "established" else found
