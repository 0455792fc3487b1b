"""A trace's question put to the network itself: one real packet, and what the switches say of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from sdn.model.addresses import HostName, IfaceId
from sdn.model.trace import Trace, to_json
from sdn.pipeline import TABLE_BY_NAME, Register
from sdn.probe import TOKEN_BYTES, ProbeOrder, build_frame
from sdn.trace import Question, TraceHost
from sdn.trace.fields import frame_bytes
from sdn.trace.lost import SMALL_BYTES
from sdn.trace.probed import (
    End,
    Sighting,
    ends_before_the_switch,
    first_divergence,
    is_lost,
    probed_trace,
    told_lost,
    told_narrow,
)
from sdn.trace.sizes import ip_bytes
from tasks.probe_desk import ProbeRefused, order_probe

WITHIN_S = 1.0
IN_PORT = 0xFFF8


def probe(question: Question, predicted: Trace, *, hand_over: bool = False) -> dict[str, Any]:
    """`{"trace": …, "divergence": … or None}`, or `{"refused": words}` when no packet could be sent.

    `hand_over`: the guest of the question's target is given it, where it gets there.
    """
    if not question.source.entry:
        return {"refused": f"{question.source.name} is not running: there is no switch port to send a packet from."}
    if ends_before_the_switch(predicted):
        bridge = predicted.hops[-1].object
        return {"refused": f"No real packet was sent: it would begin at the switch, past {bridge}, which drops it."}
    try:
        seen = sightings(question, WITHIN_S, hand_over=hand_over)
        size = ip_bytes(_fitting(question).packet)
        small = sightings(_of_size(question, SMALL_BYTES), WITHIN_S) if is_lost(seen) and size > SMALL_BYTES else ()
        is_narrow = not hand_over and _crossed(seen) and size < question.source.mtu and is_lost(_largest(question))
    except ProbeRefused as problem:
        return {"refused": f"No real packet was sent: {problem}"}
    probed = probed_trace(predicted, seen)
    if is_lost(seen) and predicted.verdict != "dropped":
        probed = told_lost(probed, predicted, seen[-1], size, small)
    elif is_narrow:
        probed = told_narrow(probed, predicted, seen[0], question.source.mtu, size)
    parted = first_divergence(predicted, probed)
    return {"trace": to_json(probed), "divergence": asdict(parted) if parted else None}


def sightings(question: Question, within_s: float, *, hand_over: bool = False) -> tuple[Sighting, ...]:
    """What the switches say of one real packet of the question, the source's first. Raises ProbeRefused."""
    source = question.source
    if not source.entry:
        raise ProbeRefused(f"{source.name} is not running")
    token = secrets.token_bytes(TOKEN_BYTES)
    stand_in = IfaceId(source.iface_id) if source.ofport is None else None
    target = question.target if hand_over else None
    place = (HostName(target.host), target.ofport) if target is not None and target.ofport is not None else None
    frame = build_frame(_fitting(question).packet, token)
    order = ProbeOrder(token, HostName(source.host), source.ofport, frame, stand_in, place)
    return read_reports(question, order_probe(order, within_s))


def _crossed(seen: Sequence[Sighting]) -> bool:
    """Did it get to a port by a tunnel?"""
    return [one.end for one in seen] == ["tunnel", "port"]


def _largest(question: Question) -> tuple[Sighting, ...]:
    """What is seen of the largest packet that the guest may send: one that is lost where small ones pass is nobody's word."""
    return sightings(_of_size(question, question.source.mtu), WITHIN_S)


def _fitting(question: Question) -> Question:
    """Asked of a packet that its guest's NIC would send: a larger one would leave it in pieces, or not at all."""
    mtu = question.source.mtu
    return _of_size(question, mtu) if mtu and ip_bytes(question.packet) > mtu else question


def _of_size(question: Question, size: int) -> Question:
    return replace(question, packet=replace(question.packet, size_bytes=frame_bytes(size)))


def read_reports(question: Question, reports: Iterable[Mapping[str, Any]]) -> tuple[Sighting, ...]:
    """The reports of the question's packet (ProbeReport's fields) as sights on its hosts, in their order."""
    hosts = {host.name: host for host in question.hosts}
    seen = tuple(_sighting(report, hosts[report["host"]]) for report in reports if report["host"] in hosts)
    back = tuple(one for one in seen if _is_sent_back(one, question))
    rest = tuple(one for one in seen if one not in back)
    ends = [one for one in rest if one.end != "tunnel"]
    return rest if ends or not back else (*rest, replace(back[0], end="back"))


def _sighting(report: Mapping[str, Any], host: TraceHost) -> Sighting:
    registers = {int(number): value for number, value in report["registers"].items()}
    out = registers.get(Register.OUT, 0)
    endpoint = host.ports.get(out)
    return Sighting(
        host=host.name,
        end=_end(report["table_id"], out, host),
        at_us=report["after_us"],
        error_us=report["error_us"],
        table_id=report["table_id"],
        ofport=out,
        port_name=endpoint.name if endpoint else f"port {out}",
        drop_reason=registers.get(Register.DROP_REASON, 0),
        drop_table=registers.get(Register.DROP_TABLE, 0),
        is_handed_over=report["is_handed_over"],
    )


def _is_sent_back(seen: Sighting, question: Question) -> bool:
    """A copy for the port that it came in by, as a flood has: a switch sends none there, but reports the marked one."""
    return seen.end == "port" and (seen.host, seen.ofport) == (question.source.host, question.source.ofport)


def _end(table_id: int, out: int, host: TraceHost) -> End:
    if table_id == TABLE_BY_NAME["drop"].table_id:
        return "drop"
    if table_id != TABLE_BY_NAME["output"].table_id:
        return "controller"
    if out == IN_PORT:
        return "answer"
    return "tunnel" if out in host.known_tunnels else "port"
