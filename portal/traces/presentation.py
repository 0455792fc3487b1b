"""A stored trace as its page shows it: numbered steps for the list, JSON for the island."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from portal.hosts.models import Host
from portal.traces.models import TraceRequest
from sdn.model.trace import Hop, Step, Trace, from_json

VERDICT_WORDS = {
    "delivered": "Delivered",
    "dropped": "Dropped",
    "flooded": "Flooded",
    "to_controller": "Sent to the controller",
    "unknown": "Unknown",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One numbered line of the list: a hop without look-ups, or one step of a hop."""

    number: int
    hop: Hop
    step: Step | None
    counter: str

    @property
    def cookie(self) -> str:
        return f"{self.step.cookie:#018x}" if self.step and self.step.cookie is not None else ""


def read_trace(value: dict[str, Any] | None) -> Trace | None:
    """The trace of a stored result; None where there is none, or it was written by another version."""
    if not value:
        return None
    try:
        return from_json(value)
    except (KeyError, TypeError, ValueError):
        return None


def rows_of(trace: Trace) -> list[Row]:
    """The numbered places in the order the packet meets them; the page's island numbers them alike."""
    rows: list[Row] = []
    for hop in trace.hops:
        for step in hop.steps or (None,):
            counter = f"{hop.host}|{step.flow_key}" if step and step.flow_key else ""
            rows.append(Row(len(rows) + 1, hop, step, counter))
    return rows


def _with_cookie_text(value: dict[str, Any]) -> dict[str, Any]:
    """JavaScript's numbers hold 53 bits of a cookie's 64: the page gets it as text too."""
    hops = [{**hop, "steps": [_step_with_text(step) for step in hop["steps"]]} for hop in value["hops"]]
    return {**value, "hops": hops}


def _step_with_text(step: dict[str, Any]) -> dict[str, Any]:
    cookie = step.get("cookie")
    return {**step, "cookie": None, "cookie_text": "" if cookie is None else f"{cookie:#018x}"}


def island_data(request_row: TraceRequest, value: dict[str, Any] | None, direction: str) -> dict[str, Any]:
    """All that the island needs: the trace of one direction, the hosts' underlay addresses, the end points."""
    ends = (request_row.source, request_row.target)
    source, target = ends if direction == "forward" else ends[::-1]
    return {
        "uuid": str(request_row.uuid),
        "state": request_row.state,
        "trace": _with_cookie_text(value) if value and read_trace(value) else None,
        "hosts": {host.name: host.underlay_ip for host in Host.objects.only("name", "underlay_ip")},
        "source": _end(source),
        "target": _end(target),
        "probing": direction == "forward",
        "probe": probe_data(request_row) if direction == "forward" else None,
    }


def probe_data(request_row: TraceRequest) -> dict[str, Any] | None:
    """What a real packet did, as the page reads it; None while nothing is known."""
    probe: dict[str, Any] | None = request_row.probe
    if not probe or "refused" in probe:
        return probe
    if read_trace(probe["trace"]) is None:
        return None
    return {**probe, "trace": _with_cookie_text(probe["trace"])}


def _end(port: Any) -> dict[str, str]:
    if port is None:
        return {"name": "a VM that is gone", "host": ""}
    return {"name": port.name, "host": port.host.name if port.host else ""}
