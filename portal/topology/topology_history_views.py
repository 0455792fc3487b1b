"""Hosts' topology history: the page, and the difference between two instants as text. A team's people see what is their VMs'."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from portal.api.paging import PageQuery, page_of
from portal.api.problems import FieldProblem
from portal.hosts.models import Host
from portal.operations.whose import operations_seen
from portal.topology.flow_instants import InstantProblem
from portal.topology.topology_changes import Asked, changes_asked, diff_json, hosts_seen, instants, topology_diff
from portal.topology.topology_rows import KEPT
from portal.topology.topology_scope import Scope, scope_of

FILTERS = ("host", "operation", "vm", "q", "until")
COMPARED = ("from", "to")


@require_safe
def topology_history(request: HttpRequest) -> HttpResponse:
    """What changed on hosts' switches and why; ?from=&to= compares two instants, &as=text gives that plain."""
    scope = scope_of(request)
    given = {name: request.GET.get(name, "").strip() for name in (*FILTERS, *COMPARED)}
    errors: dict[str, list[str]] = {}
    diff = _diff(given, errors, scope)
    if diff is not None and request.GET.get("as") == "text":
        return HttpResponse(_as_text(diff), content_type="text/plain; charset=utf-8")
    page = {
        "diff": diff, "errors": errors, "given": given, "kept_h": int(KEPT.total_seconds() // 3600),
        "hosts": Host.objects.order_by("name").values_list("name", flat=True), **_changes(request, given, errors, scope),
        "is_all": scope.vms is None,
    }  # fmt: skip
    return render(request, "topology/topology_history.html", page, status=422 if errors else 200)


def _changes(request: HttpRequest, given: dict[str, str], errors: dict[str, list[str]], scope: Scope) -> dict[str, Any]:  # fmt: skip
    """The page of changes that is asked for, and what is known of the hosts."""
    asked = {name: given[name] for name in FILTERS}
    try:
        rows, after = page_of(scope.rows(changes_asked(Asked(**asked))), PageQuery(cursor=request.GET.get("cursor")), newest_first=True)  # fmt: skip
        seen = hosts_seen(given["host"]).defer("switch", "foreign_domains", "lldp", "namespaces")
    except InstantProblem as problem:
        errors.update(problem.errors)
        return {}
    except (FieldProblem, ValueError):
        errors["cursor"] = ["this page’s address is none that a link here has"]
        return {}
    named = {row.operation for row in rows if row.operation}
    kept = {name: value for name, value in given.items() if value}
    is_filtered = any(asked.values())
    return {
        "instants": instants(scope.told(rows)), "seen": list(seen), "is_filtered": is_filtered,
        "opened": set(operations_seen(request).filter(uuid__in=named).values_list("uuid", flat=True)) if named else (),
        "older": urlencode({**kept, "cursor": after}) if after else "",
    }  # fmt: skip


def _diff(given: dict[str, str], errors: dict[str, list[str]], scope: Scope) -> dict[str, Any] | None:
    if not any(given[name] for name in COMPARED):
        return None
    try:
        return diff_json(topology_diff(given["host"], given["from"], given["to"], scope))
    except InstantProblem as problem:
        errors.update(problem.errors)
        return None


def _as_text(diff: dict[str, Any]) -> str:
    notes = [f"# {gap['host']}: not known {gap['at'].isoformat()} to {gap['until'].isoformat()}: {gap['why']}" for gap in diff["gaps"]]  # fmt: skip
    notes += [f"# {words}" for words in diff["unknown"]]
    lines = [f"{line['text']}  # {line['host']}, {line['cause'] or 'no cause kept'}" for line in diff["lines"]]
    return "\n".join((f"--- topology {diff['from']}", f"+++ topology {diff['to']}", *notes, *lines)) + "\n"
