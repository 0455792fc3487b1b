"""Traces that end at a NIC past Open vSwitch (sdn.model.bypass): what is known is told, and nothing is guessed beyond."""

from __future__ import annotations

from dataclasses import replace

from sdn.model.bypass import Bypass
from sdn.model.trace import Hop, Trace
from sdn.trace import hops
from sdn.trace.journey import AnyHop, Leg
from sdn.trace.question import Endpoint, Question


def bypass_of_end(end: Endpoint | None) -> Bypass | None:
    """What the end's NIC is, where it goes past Open vSwitch; one with a port there is no such, whatever was read once."""
    return end.chain.bypass if end is not None and end.ofport is None else None


def ends_at_nic(source: Endpoint, bypass: Bypass, start: list[AnyHop]) -> Leg:
    """The way of what such a NIC sends."""
    return Leg("unknown", bypass.words_from(source.name), start, where=source.name, host=source.host)


def past_target(target: Endpoint | None, leg: Leg) -> Leg:
    """The way with what is to be said of its target, where no port leads to that."""
    bypass = bypass_of_end(target)
    if target is None or bypass is None:
        return leg
    return replace(leg, reason=f"{leg.reason} {bypass.words_to(target.name)}", suggestion="")


def predict_past(question: Question, packet: dict[str, str], suggestion: str = "") -> Trace:
    """The trace of which nothing can be asked: it comes from a NIC past Open vSwitch, or goes to one that has no address here."""
    source, target = question.source, question.target
    bypass = bypass_of_end(source)
    end = source if bypass is not None or target is None else target
    past = bypass or bypass_of_end(target)
    assert past is not None
    reason = past.words_from(end.name) if end is source else past.words_to(end.name)
    way: tuple[Hop, ...] = tuple(hops.leaving_hops(end, packet))
    return Trace(
        id=question.id, kind="predicted", direction=question.direction, packet=packet,
        hops=way if end is source else way[::-1], verdict="unknown", reason=reason, started_at=question.started_at,
        generation=question.generation, suggestion=suggestion,
    )  # fmt: skip
