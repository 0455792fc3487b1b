"""A trace as its live topic tells it: one form for events and snapshots."""

from __future__ import annotations

from typing import Any

from portal.traces.models import TraceRequest


def trace_as_json(trace: TraceRequest) -> dict[str, Any]:
    """Its state, its verdict once there is one, and whether a real packet's answer is there."""
    verdict = (trace.result or {}).get("verdict", "")
    return {"state": trace.state, "verdict": verdict, "probed": trace.probe is not None}
