"""A trace as a picture for terminals: the answer, the way host by host, and what almost matched."""

from __future__ import annotations

from sdn.model.trace import Hop, NearFlow, Step, Trace, Verdict
from sdn.trace.asked import question_words

_MARK: dict[Verdict, str] = {"delivered": "✔", "dropped": "✘", "flooded": "▲", "to_controller": "■", "unknown": "?"}
_COLOR: dict[Verdict, str] = {
    "delivered": "32",
    "dropped": "31",
    "flooded": "33",
    "to_controller": "36",
    "unknown": "35",
}
ACTIONS_CHARS = 90


def format_trace(trace: Trace, *, color: bool = False) -> str:
    """A line per hop and per step, the verdict first, what to do after it; ends with a newline."""
    head = f"{_MARK[trace.verdict]} {trace.reason}"
    lines = [f"\x1b[1;{_COLOR[trace.verdict]}m{head}\x1b[0m" if color else head]
    asked = question_words(trace)
    lines += [f"  ? {asked}"] if asked else []
    lines += [f"  → {trace.suggestion}"] if trace.suggestion else []
    lines += [f"  ! {finding}" for finding in trace.findings]
    lines.append("")
    host: str | None = None
    for number, hop in enumerate(trace.hops):
        if hop.host != host:
            host = hop.host
            lines.append(_rule(host))
        lines += _hop(hop, is_last=number == len(trace.hops) - 1, trace=trace)
    lines += _decided(trace)
    lines += _copies(trace)
    return "\n".join(lines).rstrip() + "\n"


def _rule(host: str) -> str:
    return f"── {host or 'the wire'} " + "─" * max(2, 58 - len(host or "the wire"))


def _hop(hop: Hop, *, is_last: bool, trace: Trace) -> list[str]:
    joint = "┊" if not hop.measured else "│"
    stack = " / ".join(hop.header_stack)
    lines = [f"  {joint} {hop.object:<22} {hop.detail:<42} {stack}".rstrip()]
    lines += [f"  {joint}   {_step(step)}" for step in hop.steps]
    if is_last and trace.verdict in ("dropped", "unknown"):
        lines.append(f"  {_MARK[trace.verdict]}")
    return lines


def _step(step: Step) -> str:
    actions = step.actions if len(step.actions) <= ACTIONS_CHARS else f"{step.actions[:ACTIONS_CHARS]}…"
    changed = "  ".join(f"{name} {before} → {after}" for name, (before, after) in _headers(step).items())
    tail = f"   [{changed}]" if changed else ""
    return f"{step.table if step.table is not None else '':>3} {step.table_name:<18} {step.match} → {actions}{tail}"


def _headers(step: Step) -> dict[str, tuple[str, str]]:
    """The header fields that the step changed; registers are in the actions."""
    return {name: pair for name, pair in step.changed.items() if not name.startswith(("reg", "xreg", "xxreg"))}


def _decided(trace: Trace) -> list[str]:
    if trace.cause is None:
        return []
    because = f" ({trace.cause.intent.words})" if trace.cause.intent else ""
    lines = ["", f"decided by: {_flow(trace.cause)}{because}"]
    if trace.nearest:
        lines.append("almost matched:")
        lines += [f"  {_near(near)}" for near in trace.nearest]
    return lines


def _near(near: NearFlow) -> str:
    differs = "; ".join(f"{name} is {had}, not {wanted}" for name, wanted, had in near.differs)
    because = f" ({near.step.intent.words})" if near.step.intent else ""
    return f"{_flow(near.step)}{because}: {differs}"


def _flow(step: Step) -> str:
    name = f" ({step.table_name})" if step.table_name else ""
    where = step.table_name if step.table is None else f"table {step.table}{name}"
    priority = "" if step.table is None and step.priority is None else f", priority {step.priority}"
    return f"{where}{priority}, {step.match}"


def _copies(trace: Trace) -> list[str]:
    if not trace.branches:
        return []
    lines = ["", "copies:"]
    for branch in trace.branches:
        lines.append(
            f"  {_MARK[branch.verdict]} {branch.host}: {branch.where}{'  (shown above)' if branch.is_main else ''}"
        )
    return lines
