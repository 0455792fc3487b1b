"""A predicted trace: each host's own `ofproto/trace`, stitched over tunnels (field notes: the stitching recipe).

1. The packet is written as a whole flow, for a missing TTL makes a trace lie.
2. Its conntrack state is looked up and given once per pass.
3. The passes' look-ups are steps of one br-int hop; registers are followed, so the verdict comes from where the packet
   really ended (the drop table, an output), never from the word "drop".
4. An output to the tunnel port leads to the host whose underlay address is tun_dst, and the packet goes on there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sdn.model.cookie import Cause, parse_cookie
from sdn.model.packet import Packet
from sdn.model.trace import Hop, Intent, Trace, Verdict
from sdn.pipeline import DROP_REASON_BY_CODE, TABLE_BY_ID
from sdn.trace import hops
from sdn.trace.conntrack import ct_state
from sdn.trace.parser import Lookup, Pass, parse_trace
from sdn.trace.question import HostUnreachable, Question, TraceHost, TraceWorld
from sdn.trace.walk import Walk, walk_passes

MAX_HOSTS = 8


@dataclass(slots=True)
class Outcome:
    """How the packet's way ended."""

    verdict: Verdict
    reason: str


@dataclass(slots=True)
class Journey:
    """The hops so far, and the look-ups whose cookies are still to be put into words."""

    question: Question
    world: TraceWorld
    hops: list[Hop] = field(default_factory=list)
    visited: set[str] = field(default_factory=set)


def predict(question: Question, world: TraceWorld, explain: Callable[[Iterable[Cause]], dict[Cause, Intent]]) -> Trace:
    """The trace of the question's packet. A host that can't be asked makes the verdict unknown, never an exception."""
    journey = Journey(question, world)
    outcome = _from_source(journey)
    causes = {cause for hop in journey.hops for step in hop.steps if (cause := parse_cookie(step.cookie or 0))}
    words = explain(causes) if causes else {}
    explained = tuple(hops.with_intents(hop, words) for hop in journey.hops)
    return Trace(
        id=question.id, kind="predicted", direction=question.direction, packet=packet_fields(question.packet), hops=explained,
        verdict=outcome.verdict, reason=outcome.reason, started_at=question.started_at, generation=question.generation,
    )  # fmt: skip


def packet_fields(packet: Packet) -> dict[str, str]:
    """The packet as ovs-ofctl's fields, complete for its protocol."""
    ip = {
        "dl_src": packet.eth_src,
        "dl_dst": packet.eth_dst,
        "nw_src": str(packet.ip_src),
        "nw_dst": str(packet.ip_dst),
    }
    if packet.protocol == "arp":
        arp = {"arp_op": "1", "arp_spa": str(packet.ip_src), "arp_tpa": str(packet.ip_dst), "arp_sha": packet.eth_src}
        return {"arp": "", "dl_src": packet.eth_src, "dl_dst": packet.eth_dst, **arp, "arp_tha": "00:00:00:00:00:00"}
    fields = {packet.protocol: "", **ip, "nw_ttl": str(packet.ttl), "nw_tos": "0"}
    if packet.protocol == "icmp":
        return {**fields, "icmp_type": str(packet.port_dst), "icmp_code": "0"}
    ports = {"tp_src": str(packet.port_src), "tp_dst": str(packet.port_dst)}
    return {**fields, **ports, **({"tcp_flags": "syn"} if packet.protocol == "tcp" else {})}


def _from_source(journey: Journey) -> Outcome:
    source = journey.question.source
    hosts = {host.name: host for host in journey.question.hosts}
    journey.hops.append(hops.guest_hop(source, packet_fields(journey.question.packet)))
    if source.ofport is None or source.host not in hosts:
        return Outcome("unknown", f"{source.name} is not running: its NIC is plugged into no switch now.")
    journey.hops += hops.plug_hops(source, packet_fields(journey.question.packet))
    return _on_host(journey, hosts[source.host], {"in_port": str(source.ofport)})


def _on_host(journey: Journey, host: TraceHost, entry: dict[str, str]) -> Outcome:
    question = journey.question
    if host.name in journey.visited or len(journey.visited) >= MAX_HOSTS:
        return Outcome("unknown", f"The packet comes back to {host.name}: a loop.")
    journey.visited.add(host.name)
    flow = hops.flow_text({**entry, **packet_fields(question.packet)})
    try:
        text, states = _ask(journey, host, flow)
    except HostUnreachable as problem:
        return Outcome("unknown", f"Unknown past here: the switch of {host.name} could not be asked ({problem}).")
    passes = parse_trace(text)
    walk = walk_passes(passes, question.bridge, host.tunnel_ofport)
    journey.hops.append(hops.bridge_hop(question, host, walk, text, flow, states))
    return _after(journey, host, walk, passes)


def _ask(journey: Journey, host: TraceHost, flow: str) -> tuple[str, tuple[str, ...]]:
    """The trace's text, asked again with the connection's true state where the packet meets conntrack."""
    question, world = journey.question, journey.world
    text = world.ofproto_trace(host.name, question.bridge, flow, ())
    count = text.count("\nrecirc(")
    if not count:
        return text, ()
    answered = question.direction == "return"  # the way back of a connection that the way there opened
    state = "trk,est,rpl" if answered else ct_state(world.conntrack(host.name), question.packet)
    if state == "trk,new":
        return text, (state,) * count
    states = (state,) * count
    return world.ofproto_trace(host.name, question.bridge, flow, states), states


def _after(journey: Journey, host: TraceHost, walk: Walk, passes: list[Pass]) -> Outcome:
    question = journey.question
    if walk.drop is not None:
        return Outcome("dropped", _drop_words(journey, host, walk.drop, walk))
    outputs = walk.outputs
    if walk.to_controller:
        return Outcome("to_controller", f"The packet goes up to the controller of {host.name}, which answers it.")
    if len(outputs) > 1:
        names = ", ".join(_port_name(host, ofport) for ofport in outputs)
        return Outcome("flooded", f"The packet is copied to {len(outputs)} ports on {host.name}: {names}.")
    if not outputs:
        return Outcome("unknown", f"The switch of {host.name} does nothing more with it: see the raw evidence.")
    ofport = outputs[0]
    if ofport == host.tunnel_ofport:
        return _through_tunnel(journey, host, walk, passes)
    endpoint = host.ports.get(ofport)
    if ofport == walk.in_port:
        return Outcome("delivered", f"The switch of {host.name} answers it itself, back to {question.source.name}.")
    if endpoint is None:
        return Outcome("unknown", f"It leaves {host.name} at port {ofport}, which is none of ours.")
    journey.hops += reversed(hops.plug_hops(endpoint, hops.inner_header(walk)))
    journey.hops.append(hops.guest_hop(endpoint, hops.inner_header(walk)))
    if endpoint.mac != question.target.mac:
        return Outcome("delivered", f"Delivered, but to {endpoint.name} instead of {question.target.name}.")
    return Outcome("delivered", f"{question.source.name} reaches {question.target.name}.")


def _through_tunnel(journey: Journey, host: TraceHost, walk: Walk, passes: list[Pass]) -> Outcome:
    there = next((other for other in journey.question.hosts if other.underlay_ip == walk.tun_dst), None)
    journey.hops += hops.encap_hops(host, walk, passes)
    if there is None or there.tunnel_ofport is None:
        return Outcome(
            "unknown", f"It leaves {host.name} for {walk.tun_dst or 'an unknown tunnel'}, a host that we do not know."
        )
    journey.hops += hops.decap_hops(host, there, walk)
    entry = {
        "in_port": str(there.tunnel_ofport),
        "tun_id": walk.tun_id,
        "tun_src": host.underlay_ip,
        "tun_dst": there.underlay_ip,
    }
    return _on_host(journey, there, entry)


def _drop_words(journey: Journey, host: TraceHost, lookup: Lookup, walk: Walk) -> str:
    reason = DROP_REASON_BY_CODE.get(walk.registers.get(4, 0))
    table = TABLE_BY_ID.get(walk.registers.get(5, -1))
    where = f"in table {table.table_id} ({table.name}) of {host.name}" if table else f"on {host.name}"
    why = reason.words if reason else f"a foreign flow of table {lookup.table} says so"
    return f"Dropped {where}: {why}."


def _port_name(host: TraceHost, ofport: int) -> str:
    if ofport == host.tunnel_ofport:
        return "the tunnel"
    endpoint = host.ports.get(ofport)
    return endpoint.name if endpoint else f"port {ofport}"
