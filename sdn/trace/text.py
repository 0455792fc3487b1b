"""A trace as a picture for terminals."""

from __future__ import annotations

from sdn.model.trace import Hop, Trace

_MARK = {"delivered": "✔", "dropped": "✘", "flooded": "▲", "to_controller": "■", "unknown": "?"}


def format_trace(trace: Trace) -> str:
    """A line per hop and per step, the verdict first."""
    lines = [f"{_MARK[trace.verdict]} {trace.reason}", ""]
    host = None
    for hop in trace.hops:
        if hop.host != host:
            host = hop.host
            lines.append(host or "the wire")
        lines += _hop(hop)
    return "\n".join(lines) + "\n"


def _hop(hop: Hop) -> list[str]:
    joint = "┊" if not hop.measured else "│"
    lines = [f"  {joint} {hop.object:<24} {hop.detail}"]
    for step in hop.steps:
        lines.append(f"  {joint}   {step.table:>3} {step.table_name:<18} {step.match} → {step.actions}")
    return lines
