"""Hosts' topology history over REST: for operators all of it, for a team's people what is their VMs'."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router, Schema

from portal.api.paging import Page, PageQuery, page_of
from portal.api.problems import FieldProblem
from portal.topology.flow_instants import InstantProblem
from portal.topology.topology_changes import (
    Asked,
    change_json,
    changes_asked,
    diff_json,
    hosts_seen,
    seen_json,
    topology_diff,
)
from portal.topology.topology_scope import scope_of

router = Router()


class TopologyChangeOut(Schema):
    """One object's change (`sign` is +, - or ~, and then `before` and `after` are the fields that differ), or a gap."""

    host: str
    at: datetime
    until: datetime | None
    kind: str
    why: str
    generation: int
    object: str
    sign: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    by: str
    cause: str
    operation: UUID | None
    vm: UUID | None
    guest: str


class TopologyKnownOut(Schema):
    """Since when a host's topology is kept, until when it is known, and why not until now."""

    host: str
    known_from: datetime
    seen_at: datetime | None
    away: str


class TopologyHistoryOut(Page[TopologyChangeOut]):
    hosts: list[TopologyKnownOut]


@router.get("/topology/history", response=TopologyHistoryOut, summary="What changed on hosts’ switches, and why, newest first")  # fmt: skip
def topology_history(
    request: HttpRequest, paging: Query[PageQuery],
    host: Annotated[str, Query(max_length=64, description="of one host alone")] = "",
    operation: Annotated[str, Query(max_length=40, description="what one operation did")] = "",
    vm: Annotated[str, Query(max_length=40, description="what one VM is plugged into")] = "",
    q: Annotated[str, Query(max_length=100, description="words of the object, the guest or the cause")] = "",
    until: Annotated[str, Query(max_length=40, description="an ISO time; now when empty")] = "",
) -> Any:  # fmt: skip
    scope = scope_of(request)
    try:
        rows = scope.rows(changes_asked(Asked(host, operation, vm, q, until)))
        known = [seen_json(seen) for seen in hosts_seen(host).defer("switch", "foreign_domains", "lldp", "namespaces")]
    except InstantProblem as problem:
        raise _field_problem(problem) from None
    found, after = page_of(rows, paging, newest_first=True)
    return {"items": [change_json(row) for row in scope.told(found)], "next": after, "hosts": known}


@router.get("/topology/diff", summary="What is other on hosts’ switches between two instants")
def topology_diff_between(
    request: HttpRequest,
    host: Annotated[str, Query(max_length=64, description="of one host alone")] = "",
    since: Annotated[str, Query(alias="from", max_length=40, description="an ISO time; the oldest kept when empty")] = "",
    until: Annotated[str, Query(alias="to", max_length=40, description="an ISO time; now when empty")] = "",
) -> dict[str, Any]:  # fmt: skip
    scope = scope_of(request)
    try:
        return diff_json(topology_diff(host, since, until, scope))
    except InstantProblem as problem:
        raise _field_problem(problem) from None


def _field_problem(problem: InstantProblem) -> FieldProblem:
    field, lines = next(iter(problem.errors.items()))
    return FieldProblem(field, lines[0])
