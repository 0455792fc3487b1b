"""What real packets did as a trace, laid over the predicted one place by place; and where the three kinds first part.

An entry of the datapath says where its packets went, and how many; the look-ups behind it are told by the switch itself
(`ofproto/trace` of the entry's own key). What no entry says (the guest's side, the wire) is inferred from its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sdn.model.cookie import Cause
from sdn.model.trace import Counters, Hop, Intent, Step, Trace, Verdict
from sdn.observe.datapath import DatapathFlow
from sdn.observe.follow import Passage, Stage
from sdn.pipeline import DROP_REASON_BY_CODE, TABLE_BY_ID
from sdn.trace.hops import causes_of, step_of
from sdn.trace.parser import Lookup
from sdn.trace.probed import Divergence
from sdn.trace.question import TraceHost
from sdn.trace.walked import Seen

CLASS_FIELDS = {"its source": ("nw_src", "ipv6_src"), "its target": ("nw_dst", "ipv6_dst"), "its port": ("tp_dst",)}
Explain = Callable[[Iterable[Cause]], dict[Cause, Intent]]


@dataclass(frozen=True, slots=True)
class Explained:
    """The OpenFlow look-ups behind one entry, in order, and the fields at their end."""

    lookups: tuple[Lookup, ...] = ()
    final: Mapping[str, str] = field(default_factory=dict)
    detrace: str = ""  # what `ofproto/detrace` says, where the switch has it (OVS 3.4)


@dataclass(frozen=True, slots=True)
class Rate:
    """Of one entry, since the look before."""

    pps: float = 0.0
    bps: float = 0.0


@dataclass(frozen=True, slots=True)
class Seeing:
    """All that was seen at one moment: keys of `explained` and `rates` are (host, ufid)."""

    passages: tuple[Passage, ...]
    hosts: Mapping[str, TraceHost]
    at_s: float
    explained: Mapping[tuple[str, str], Explained] = field(default_factory=dict)
    rates: Mapping[tuple[str, str], Rate] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def rate(self, host: str, stage: Stage) -> Rate:
        """Of a stage: its entries together."""
        found = [self.rates.get((host, flow.ufid), Rate()) for flow in (stage.flow, *stage.others)]
        return Rate(sum(one.pps for one in found), sum(one.bps for one in found))


def observed_trace(predicted: Trace, seeing: Seeing, explain: Explain) -> Trace:
    """The trace of real traffic; hops are the predicted ones as far as the datapaths bear them out."""
    by_host = {passage.host: passage for passage in seeing.passages}
    cookies = [lookup.cookie for one in seeing.explained.values() for lookup in one.lookups]
    words = explain(causes_of(cookies))
    hops: list[Hop] = []
    is_over = not seeing.passages
    for number, hop in enumerate(predicted.hops):
        passage = by_host.get(hop.host)
        if is_over or (hop.host and passage is None and hop.kind not in ("underlay", "underlay_nic", "tunnel_decap")):
            break
        hops.append(_seen(hop, passage, seeing, words))
        is_over = hop.kind == "bridge" and passage is not None and not _agrees(predicted.hops[number + 1 :], passage)
    verdict, reason = _verdict(predicted, seeing)
    hops = hops[: _length(hops, seeing.passages)]
    findings = (*_classes(seeing), *seeing.problems)
    return replace(
        predicted, kind="observed", hops=tuple(hops), verdict=verdict, reason=reason, findings=findings, branches=(),
        cause=None, nearest=(), suggestion="",
    )  # fmt: skip


def part(predicted: Trace, observed: Trace) -> Divergence | None:
    """None where real traffic does what was predicted, or there is none to compare."""
    if observed.verdict == "unknown":
        return None
    if predicted.verdict == observed.verdict and len(predicted.hops) == len(observed.hops):
        return None
    place = observed.hops[-1] if observed.hops else None
    where = f" at {place.object} on {place.host}" if place else ""
    return Divergence(
        max(len(observed.hops) - 1, 0), f"Predicted: {predicted.reason} Real traffic{where}: {observed.reason}"
    )


def three_way(predicted: Trace, probed: Trace | None, observed: Trace) -> str:
    """One sentence: do the three agree, and if not, which parts from which, and where first."""
    if observed.verdict == "unknown":
        return observed.reason
    probe_agrees = probed is None or _same(predicted, probed)
    real_agrees = _same(predicted, observed)
    if probe_agrees and real_agrees:
        names = "The prediction" if probed is None else "The prediction, the probe"
        return f"{names} and real traffic agree. {observed.reason}"
    place = _place(predicted, probed if not probe_agrees and probed and real_agrees else observed)
    if probe_agrees:
        says = "The prediction says" if probed is None else "The prediction and the probe say"
        return f"{says} {predicted.verdict}, and real traffic parts from that at {place}: {observed.reason}"
    if real_agrees:
        return f"Real traffic does what was predicted; the probe alone parts from it at {place}."
    if probed is not None and _same(probed, observed):
        return f"The probe and real traffic agree, and both part from the prediction at {place}: {observed.reason}"
    return f"All three differ; real traffic parts from the prediction at {place}: {observed.reason}"


def rate_words(rate: Rate) -> str:
    """`5.0 packets/s, 3.9 kbit/s`."""
    unit, size = next(((unit, size) for unit, size in (("Mbit/s", 1e6), ("kbit/s", 1e3)) if rate.bps >= size), ("bit/s", 1.0))  # fmt: skip
    return f"{rate.pps:.1f} packets/s, {rate.bps / size:.1f} {unit}"


def _same(one: Trace, other: Trace) -> bool:
    return one.verdict == other.verdict and len(one.hops) == len(other.hops)


def _place(predicted: Trace, other: Trace) -> str:
    hop = other.hops[-1] if other.hops else predicted.hops[0]
    return f"{hop.object} on {hop.host}" if hop.host else hop.object


def _length(hops: Sequence[Hop], passages: Sequence[Passage]) -> int:
    """How many of the hops hold: behind the last bridge that was seen, nothing is known but where it let packets out."""
    if not passages or passages[-1].end == "port":
        return len(hops)
    bridges = [number for number, hop in enumerate(hops) if hop.kind == "bridge" and hop.host == passages[-1].host]
    if not bridges:
        return len(hops)
    wired = passages[-1].end == "tunnel"
    return next((n for n, hop in enumerate(hops) if hop.kind == "underlay" and n > bridges[-1]), len(hops)) if wired else bridges[-1] + 1  # fmt: skip


def _seen(hop: Hop, passage: Passage | None, seeing: Seeing, words: Mapping[Cause, Intent]) -> Hop:
    if passage is None:
        return replace(hop, measured=False, latency_us=None, counters=None)
    if hop.kind == "bridge":
        return _bridge(hop, passage, seeing, words)
    if hop.kind == "tunnel_decap" and passage.arrival is not None:
        outer = passage.arrival
        rate = seeing.rates.get((hop.host, outer.ufid), Rate())
        detail = f"{hop.detail}; outer packets: {rate_words(rate)}"
        return replace(hop, detail=detail, measured=True, counters=Counters(outer.packets, outer.bytes, seeing.at_s), evidence=outer.text)  # fmt: skip
    return replace(hop, measured=hop.kind not in ("guest_nic", "backend"), latency_us=None, counters=None)


def _bridge(hop: Hop, passage: Passage, seeing: Seeing, words: Mapping[Cause, Intent]) -> Hop:
    known = {step.flow_key: step for step in hop.steps if step.flow_key}
    steps: list[Step] = []
    evidence: list[str] = []
    for stage in passage.stages:
        told = seeing.explained.get((passage.host, stage.flow.ufid), Explained())
        steps += [
            _step(lookup, told, seeing.hosts[passage.host], words, known)
            for lookup in told.lookups if lookup.bridge == hop.object
        ]  # fmt: skip
        evidence += [_entry_text(flow) for flow in (stage.flow, *stage.others)]
        evidence += [told.detrace] if told.detrace else []
    last = passage.stages[-1]
    count = sum(1 + len(stage.others) for stage in passage.stages)
    detail = f"{rate_words(seeing.rate(passage.host, last))}, {last.packets} packets, {count} datapath entr{'y' if count == 1 else 'ies'}"  # fmt: skip
    commands = ("ovs-appctl dpctl/dump-flows -m", "ovs-appctl dpctl/dump-conntrack -s")
    return replace(
        hop, steps=tuple(steps), detail=detail, counters=Counters(last.packets, last.bytes, seeing.at_s), measured=True,
        latency_us=None, commands=commands, evidence="\n".join(evidence),
    )  # fmt: skip


def _entry_text(flow: DatapathFlow) -> str:
    used = "never" if flow.used_s is None else f"{flow.used_s:.1f} s ago"
    return f"{flow.packets} packets, {flow.bytes} bytes, used {used}: {flow.text}"


def _step(lookup: Lookup, told: Explained, host: TraceHost, words: Mapping[Cause, Intent], known: Mapping[str, Step]) -> Step:  # fmt: skip
    step = step_of(Seen(lookup, dict(told.final)), host, words)
    return replace(known.get(step.flow_key, step), evidence=None)


def _agrees(after: Sequence[Hop], passage: Passage) -> bool:
    """Whether packets left the host's switch as predicted, so that the hops after it hold."""
    if not after:
        return passage.end in ("drop", "controller")
    if after[0].kind == "tunnel_encap":
        return passage.end == "tunnel"
    if after[0].kind in ("tap", "veth"):
        return passage.end == "port" and passage.port == after[0].object
    return passage.end == "port"


def _classes(seeing: Seeing) -> tuple[str, ...]:
    """What the counts may hold beside the connection: no entry of the way looks at all of these."""
    if not seeing.passages:
        return ()
    flows = [stage.flow for passage in seeing.passages for stage in passage.stages]
    has_ports = any("tp_dst" in flow.fields for flow in flows)
    loose = [
        words for words, names in CLASS_FIELDS.items()
        if (words != "its port" or has_ports) and not any(flow.looks_at(name) for flow in flows for name in names)
    ]  # fmt: skip
    if not loose:
        return ()
    return (f"No datapath entry of this way looks at all of {' and '.join(loose)}: its counts may hold other packets that take the same way.",)  # fmt: skip


def _verdict(predicted: Trace, seeing: Seeing) -> tuple[Verdict, str]:
    if not seeing.passages:
        return "unknown", "No real packet of this kind came in the last ten seconds: the source's switch has no datapath entry for one."  # fmt: skip
    last = seeing.passages[-1]
    rate = seeing.rate(last.host, last.stages[-1])
    many = f"{rate_words(rate)}, {last.stages[-1].packets} packets so far"
    if last.end == "port":
        return "delivered", f"Real packets get to {_port_words(last, predicted)} on {last.host}: {many}."
    if last.end == "drop":
        return "dropped", f"Real packets are dropped {_drop_words(last, seeing)}: {many}."
    if last.end == "controller":
        if "slow_path" in "".join(last.stages[-1].flow.actions):
            return "unknown", f"The switch of {last.host} handles real packets of this kind itself, outside of its datapath, so their end is not in an entry: {many}."  # fmt: skip
        return "to_controller", f"The switch of {last.host} hands real packets to the controller: {many}."
    if last.end == "tunnel":
        return "unknown", f"Real packets leave {last.host} through the tunnel to {last.tun_dst}, and no datapath entry there takes them: lost on the underlay, or not yet seen."  # fmt: skip
    return "unknown", f"Real packets come to {last.host}, and the entry for their next pass is gone: they have stopped."


def _port_words(last: Passage, predicted: Trace) -> str:
    ends = [hop for hop in predicted.hops if hop.host == last.host and hop.object == last.port]
    guests = [hop.object.rpartition(" ")[0] for hop in predicted.hops if hop.host == last.host and hop.kind == "guest_nic"]  # fmt: skip
    return guests[-1] if ends and guests else f"port {last.port}"


def _drop_words(last: Passage, seeing: Seeing) -> str:
    told = seeing.explained.get((last.host, last.stages[-1].flow.ufid), Explained())
    reason, table = (DROP_REASON_BY_CODE.get(_number(told.final, "reg4")), TABLE_BY_ID.get(_number(told.final, "reg5")))
    where = f"in table {table.table_id} ({table.name}) of {last.host}" if table else f"on {last.host}"
    return f"{where}, {reason.words}" if reason else where


def _number(fields: Mapping[str, str], name: str) -> int:
    try:
        return int(fields.get(name, "-1"), 0)
    except ValueError:
        return -1
