"""A trace as its live topic tells it: one form for events and snapshots."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q, QuerySet

from portal.traces.models import Diagnosis, TraceRequest

DIAGNOSES_SHOWN = 10


def trace_as_json(trace: TraceRequest) -> dict[str, Any]:
    """Its state, its verdict once there is one, and whether a real packet's answer is there."""
    verdict = (trace.result or {}).get("verdict", "")
    return {"state": trace.state, "verdict": verdict, "probed": trace.probe is not None}


def diagnosis_as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """How many traces it asks for, and how many have their answer."""
    return _counts(_counted(Diagnosis.objects.filter(pk=diagnosis.pk)).get())


def _counted(rows: QuerySet[Diagnosis]) -> QuerySet[Diagnosis]:
    answered = ~Q(traces__state=TraceRequest.State.RUNNING)
    return rows.annotate(asked=Count("traces"), answered=Count("traces", filter=answered))


def _counts(row: Any) -> dict[str, Any]:
    return {"asked": row.asked, "answered": row.answered, "mended": row.mended}


def team_state(slug: str) -> dict[str, Any]:
    """What the team's topic tells of diagnoses: the newest, which somebody may be looking at."""
    newest = _counted(Diagnosis.objects.filter(team__slug=slug))[:DIAGNOSES_SHOWN]
    return {f"diagnosis:{one.uuid}": _counts(one) for one in newest}
