"""Checks, matrices and what-ifs as live topics and the API tell them."""

from __future__ import annotations

from typing import Any

from portal.checks.models import FlowWhatIf, MatrixRun, PathCheck, WhatIf
from portal.live.events import publish

RUNS_SHOWN = 20  # of a team's newest matrices and what-ifs in its topic: those that somebody may be waiting for


def check_as_json(check: PathCheck) -> dict[str, Any]:
    """The check with its sentence."""
    return {
        "uuid": str(check.uuid),
        "title": check.title,
        "service": check.service,
        "expected": check.expected,
        "state": check.state,
        "verdict": check.verdict,
        "reason": check.reason,
        "since": check.since.isoformat() if check.since else None,
        "checked_at": check.checked_at.isoformat() if check.checked_at else None,
        "generation": check.generation,
    }


def run_as_json(run: MatrixRun | WhatIf) -> dict[str, Any]:
    """Whether its answer is there."""
    return {"state": run.state, "generation": run.generation}


def live_check(check: PathCheck) -> dict[str, Any]:
    """What a reader is told of a check: its times, which every look changes, are left to the page."""
    told = check_as_json(check)
    return {name: value for name, value in told.items() if name not in ("checked_at", "generation")}


def team_state(slug: str) -> dict[str, Any]:
    """What the team's topic tells of them."""
    checks = PathCheck.objects.filter(team__slug=slug).select_related("source", "target")
    state = {f"check:{check.uuid}": live_check(check) for check in checks}
    state |= {f"matrix:{run.uuid}": run_as_json(run) for run in MatrixRun.objects.filter(team__slug=slug).defer("result")[:RUNS_SHOWN]}  # fmt: skip
    state |= {f"what_if:{run.uuid}": run_as_json(run) for run in WhatIf.objects.filter(team__slug=slug).defer("result")[:RUNS_SHOWN]}  # fmt: skip
    return state


def check_changed(check: PathCheck) -> None:
    """Tell the team what a check is now; in the transaction that changed it."""
    publish(f"team:{check.team.slug}", "check.changed", f"check:{check.uuid}", live_check(check))


def check_deleted(check: PathCheck) -> None:
    """Tell the team that a check is gone."""
    publish(f"team:{check.team.slug}", "check.deleted", f"check:{check.uuid}", {})


def run_changed(run: MatrixRun | WhatIf) -> None:
    """Tell the team that a matrix or a what-if has its answer."""
    kind = "matrix" if isinstance(run, MatrixRun) else "what_if"
    publish(f"team:{run.team.slug}", f"{kind}.changed", f"{kind}:{run.uuid}", run_as_json(run))


def flow_what_if_changed(run: FlowWhatIf) -> None:
    """Tell the operators that a what-if about a flow has its answer."""
    publish("hosts", "flow_what_if.changed", f"flow_what_if:{run.uuid}", _flow_run(run))


def flow_what_ifs_state() -> dict[str, Any]:
    """What the operators' topic tells of them."""
    rows = FlowWhatIf.objects.defer("result")[:RUNS_SHOWN]
    return {f"flow_what_if:{run.uuid}": _flow_run(run) for run in rows}


def _flow_run(run: FlowWhatIf) -> dict[str, Any]:
    return {"state": run.state, "generation": run.generation}
