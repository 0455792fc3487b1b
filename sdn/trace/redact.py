"""A trace as one team may see it: what belongs to another team keeps its place and loses its content.

1. From the first look-up on whose flow exists for another team's row, the packet is in that team's hands: what happens to
   it there (rules, addresses it is translated to, commands, the raw text) is theirs.
2. A look-up of the team's own, or of nobody's (the pipeline's own), is shown all the same; any other one is opaque.
3. A header field after that place keeps its value only where the packet had that value when it was sent.

It is done where a trace is made, before it is stored: what is not in the row can be read by no page, export or socket.
"""

from __future__ import annotations

from dataclasses import replace

from sdn.model.trace import Hop, Intent, Step, Trace

HIDDEN = "another team's"
_INTENT = Intent("hidden", 0, "What another team has set up")


def redacted(trace: Trace, team: str) -> Trace:
    """The trace as members of the team may see it; the very same object where there is nothing to hide."""
    if not any(_is_others(step, team) for step in _all_steps(trace)):
        return trace
    known = set(trace.packet.values())
    hops: list[Hop] = []
    is_inside = False
    for hop in trace.hops:
        begins = any(_is_others(step, team) for step in hop.steps)
        hops.append(_hop(hop, team, known, is_inside) if begins or is_inside else hop)
        is_inside = is_inside or begins
    cause = trace.cause
    is_theirs = cause is not None and _is_others(cause, team)
    reason = trace.reason
    if cause is not None and is_theirs and cause.match in reason:
        reason = f"Dropped in table {cause.table}: what another team has set up says so."
    return replace(
        trace, hops=tuple(hops), cause=_opaque(cause) if cause is not None and is_theirs else cause, reason=reason,
        nearest=tuple(near for near in trace.nearest if not _is_others(near.step, team)),
    )  # fmt: skip


def _all_steps(trace: Trace) -> list[Step]:
    steps = [step for hop in trace.hops for step in hop.steps]
    return [*steps, *([trace.cause] if trace.cause else []), *(near.step for near in trace.nearest)]


def _is_others(step: Step, team: str) -> bool:
    return step.intent is not None and step.intent.team not in ("", team)


def _is_told(step: Step, team: str) -> bool:
    """Is it the team's own, or the pipeline's?"""
    return step.intent is not None and step.intent.team in ("", team)


def _hop(hop: Hop, team: str, known: set[str], is_inside: bool) -> Hop:
    steps: list[Step] = []
    for step in hop.steps:
        is_inside = is_inside or _is_others(step, team)
        steps.append(step if not is_inside else _shown(step, known) if _is_told(step, team) else _opaque(step))
    before = (
        hop.header_before if hop.steps and not _is_others(hop.steps[0], team) else _header(hop.header_before, known)
    )
    return replace(
        hop, steps=tuple(steps), header_before=before, header_after=_header(hop.header_after, known), commands=(), evidence="",
    )  # fmt: skip


def _shown(step: Step, known: set[str]) -> Step:
    """A look-up that may be told, without what it changed to values that are none of the packet's."""
    changed = {name: pair for name, pair in step.changed.items() if set(pair) <= known | {""}}
    return replace(step, changed=changed, evidence=None)


def _opaque(step: Step) -> Step:
    return Step(step.table, step.table_name, None, HIDDEN, HIDDEN, None, _INTENT, "")


def _header(header: dict[str, str], known: set[str]) -> dict[str, str]:
    return {name: value if value in known or not value else HIDDEN for name, value in header.items()}
