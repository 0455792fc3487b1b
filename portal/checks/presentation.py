"""Matrices, checks and what-ifs as pages show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from portal.accounts.models import Team
from portal.checks.models import FlowWhatIf, MatrixRun, PathCheck, WhatIf
from portal.config.told import told, told_value
from portal.networks.models import Generation
from portal.traces.presentation import VERDICT_WORDS, read_trace, verdict_words
from sdn.model.trace import Trace

ICONS = {"delivered": "delivered", "dropped": "dropped", "flooded": "flooded", "to_controller": "to_controller"}
MARKS = {"-": ("del", _("deleted")), "~": ("mod", _("replaced")), "+": ("add", _("added"))}


@dataclass(frozen=True, slots=True)
class CellShown:
    """One square; `url` asks the whole trace."""

    verdict: str
    words: str
    url: str


@dataclass(frozen=True, slots=True)
class RowShown:
    name: str
    cells: list[CellShown | None]


def current_generation() -> int:
    """The intent's generation as it is now."""
    return Generation.objects.filter(id=1).values_list("value", flat=True).first() or 0


def matrix_rows(run: MatrixRun) -> list[RowShown]:
    """The matrix's table; nothing without an answer."""
    result = run.result or {}
    ports, reasons = result.get("ports", []), result.get("reasons", [])
    form = reverse("trace_new")
    asked = f"&protocol={run.protocol}" + (f"&port_dst={run.port_dst}" if run.port_dst else "")
    shown = []
    for source, row in zip(ports, result.get("rows", []), strict=True):
        cells: list[CellShown | None] = []
        for target, at in zip(ports, row, strict=True):
            if at is None:
                cells.append(None)
                continue
            verdict, words = reasons[at]
            named = words.replace("{source}", source["name"]).replace("{target}", target["name"])
            cells.append(CellShown(verdict, named, f"{form}?source={source['uuid']}&target={target['uuid']}{asked}"))
        shown.append(RowShown(source["name"], cells))
    return shown


def verdict_counts(run: MatrixRun) -> list[tuple[str, int]]:
    """How many pairs of each verdict, the delivered first."""
    result = run.result or {}
    reasons = result.get("reasons", [])
    counts: dict[str, int] = {}
    for row in result.get("rows", []):
        for at in row:
            if at is not None:
                counts[reasons[at][0]] = counts.get(reasons[at][0], 0) + 1
    order = list(VERDICT_WORDS)
    return sorted(counts.items(), key=lambda one: order.index(one[0]) if one[0] in order else len(order))


def checks_of(team: Team) -> list[PathCheck]:
    """The team's checks, the failing ones first."""
    rows = list(team.checks.select_related("source", "target"))
    return sorted(rows, key=lambda check: (check.state != PathCheck.State.FAILING, check.pk))


def check_counts(checks: list[PathCheck]) -> dict[str, int]:
    """State → how many."""
    counts: dict[str, int] = {}
    for check in checks:
        counts[check.state] = counts.get(check.state, 0) + 1
    return counts


def _sides(result: Mapping[str, Any]) -> list[tuple[str, Trace, str]]:
    """The two traces that were asked along, before and after, each with its verdict in words."""
    found = [
        (words, read_trace(told_value(result.get(key))))
        for words, key in ((gettext("Now"), "before"), (gettext("With the change"), "after"))
    ]
    return [(words, trace, verdict_words(trace.verdict)) for words, trace in found if trace]


def what_if_data(run: WhatIf) -> dict[str, Any]:
    """The result in the page's words."""
    result = run.result or {}
    flows = [
        {"host": host, "lines": [(*MARKS[line[0]], line[2:]) for line in lines]}
        for host, lines in result.get("flows", {}).items()
    ]
    return {
        "flows": flows,
        "hidden_flows": result.get("flow_count", 0) - sum(len(one["lines"]) for one in flows),
        "sides": _sides(result),
        "changed": result.get("changed", []),
        "hidden_pairs": result.get("changed_count", 0) - len(result.get("changed", [])),
        "kept_pairs": result.get("pairs", 0) - result.get("changed_count", 0),
        "services": ", ".join(result.get("services", [])),
    }


def flow_what_if_data(run: FlowWhatIf) -> dict[str, Any]:
    """The result of a what-if about a flow in the page's words."""
    result = run.result or {}
    lines = result.get("lines", [])
    changed = result.get("changed", [])
    return {
        "lines": [(*MARKS[sign], line, ours) for sign, line, ours in lines],
        "hidden_lines": result.get("line_count", 0) - len(lines),
        "sides": _sides(result),
        "changed": changed, "hidden_pairs": result.get("changed_count", 0) - len(changed),
        "kept_pairs": result.get("pairs", 0) - result.get("changed_count", 0),
        "services": ", ".join(result.get("services", [])), "unasked": told(result.get("unasked", "")),
        "fate": told(result.get("fate", "")), "command": result.get("command", ""), "findings": [told(one) for one in result.get("findings", [])],
    }  # fmt: skip
