"""A bridge's history: the page, and the difference between two instants as text. For operators."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.accounts.access import require_operator
from portal.topology.flow_instants import InstantProblem, diff_between, diff_json, instants_of, record_of
from portal.topology.flow_rows import KEPT
from portal.topology.views import bridge_or_404


@require_safe
def flows_history(request: HttpRequest, host: str, bridge: str) -> HttpResponse:
    """When the flows changed and why; ?from=&to= compares two instants, &as=text gives that as a plain diff."""
    require_operator(request)
    row, here = bridge_or_404(host, bridge)
    record = record_of(row.name, bridge)
    given = {"since": request.GET.get("from", ""), "until": request.GET.get("to", "")}
    diff: dict[str, Any] | None = None
    errors: dict[str, list[str]] = {}
    if record is not None and any(given.values()):
        try:
            diff = diff_json(*diff_between(record, **given))
        except InstantProblem as problem:
            errors = problem.errors
    if diff is not None and request.GET.get("as") == "text":
        text = f"--- {bridge} on {row.name} {diff['from']}\n+++ {bridge} on {row.name} {diff['to']}\n"
        return HttpResponse(text + "".join(f"{line['sign']}{line['flow']}\n" for line in diff["lines"]), content_type="text/plain; charset=utf-8")  # fmt: skip
    page = {
        "host": row, "bridge": here, "record": record, "instants": instants_of(record) if record else [], "diff": diff,
        "errors": errors, "given": given, "kept_h": int(KEPT.total_seconds() // 3600),
    }  # fmt: skip
    return render(request, "topology/flows_history.html", page, status=422 if errors else 200)
