"""A trace as Markdown, for a ticket or a chat: the answer first, then every step as a table row."""

from __future__ import annotations

import re

from sdn.model.trace import Hop, Step, Trace

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")


def format_markdown(title: str, forward: Trace | None, back: Trace | None, asked: str = "") -> str:
    """The whole page's text; names are escaped, so that no name becomes a link or a table cell."""
    lines = [f"# {_plain(title)}", "", *([f"Asked: {_plain(asked)}", ""] if asked else [])]
    for words, trace in (("There", forward), ("Back", back)):
        if trace is not None:
            lines += [f"## {words}: {_plain(trace.reason)}", "", *_about(trace), *_table(trace), ""]
    if forward is None and back is None:
        lines.append("No answer yet.")
    return "\n".join(lines).rstrip() + "\n"


def _about(trace: Trace) -> list[str]:
    lines = [f"- Verdict: **{trace.verdict}** ({trace.kind}, {trace.started_at})"]
    lines += [f"- To do: {_plain(trace.suggestion)}"] if trace.suggestion else []
    if trace.cause is not None:
        lines.append(f"- Decided by: {_flow(trace.cause)}{_because(trace.cause)}")
    for near in trace.nearest:
        differs = ", ".join(f"{_code(f'{name}={wanted}')}, the packet has {_code(had)}" for name, wanted, had in near.differs)  # fmt: skip
        lines.append(f"- Almost matched: {_flow(near.step)}: wants {differs}")
    for branch in trace.branches:
        lines.append(f"- Copy on {_plain(branch.host)}: {_plain(branch.where)}, {branch.verdict}")
    lines += [f"- Note: {_plain(finding)}" for finding in trace.findings]
    return [*lines, ""]


def _table(trace: Trace) -> list[str]:
    lines = ["| # | where | what | match → actions |", "|---|---|---|---|"]
    for hop in trace.hops:
        for step in hop.steps or (None,):
            lines.append(f"| {len(lines) - 1} | {_plain(hop.host or 'the wire')} · {_plain(hop.object)} | {_what(hop, step)} | {_flow(step) if step else ''} |")  # fmt: skip
    return lines


def _what(hop: Hop, step: Step | None) -> str:
    if step is None:
        return _plain(hop.detail)
    why = step.intent.words if step.intent else step.note
    table = "" if step.table is None else f"table {step.table} "
    return f"{table}{_plain(step.table_name)}: {_plain(why)}".replace(" : ", ": ")


def _flow(step: Step) -> str:
    priority = f"priority={step.priority}," if step.priority is not None else ""
    table = f"{step.table_name}: " if step.table is None else f"table={step.table},"
    return _code(f"{table}{priority}{step.match} → {step.actions}")


def _because(step: Step) -> str:
    return f" ({_plain(step.intent.words)})" if step.intent else ""


def _code(text: str) -> str:
    return "`" + text.replace("`", "'").replace("|", "\\|").replace("\n", " ") + "`"


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
