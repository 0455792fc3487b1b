"""Matrices, path checks and what-ifs over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router as Routes
from ninja import Schema, Status
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.views import person
from portal.api.names import Given
from portal.checks.models import MatrixRun, WhatIf
from portal.checks.requests import (
    CheckProblem,
    RouteWhatIf,
    WhatIfSpec,
    add_check,
    apply_what_if,
    ask_matrix,
    ask_route_what_if,
    ask_what_if,
    remove_check,
)
from portal.checks.serialize import check_as_json
from portal.networks.groups import GroupProblem
from portal.networks.models import Network, Router, SecurityGroup, SecurityRule
from portal.networks.rule_check import RuleSpec
from portal.traces.models import TraceRequest
from portal.traces.requests import TraceSpec, find_target, is_uuid, ports_of

router = Routes()


class MatrixIn(Given):
    protocol: str = "tcp"
    port_dst: int = Field(0, ge=0, le=65535)
    network: UUID | None = None


class MatrixOut(Schema):
    """`result.rows` holds for each sender, in the order of `result.ports`, indexes into `result.reasons`."""

    uuid: UUID
    state: str
    protocol: str
    port_dst: int
    generation: int | None
    result: dict[str, Any] | None
    error: str


class CheckIn(Given):
    source: UUID
    target: str = Field(description="a port's uuid, a VM's name, an IPv4 or IPv6 address")
    protocol: str = "tcp"
    port_dst: int = Field(0, ge=0, le=65535)
    expected: str = "delivered"


class CheckOut(Schema):
    uuid: UUID
    title: str
    service: str
    expected: str
    state: str
    verdict: str
    reason: str
    since: datetime | None
    checked_at: datetime | None
    generation: int | None


class WhatIfIn(Given):
    """A rule to add to `group`, as the rules of a group are given; or `remove`, the id of one of the group's rules.

    With `router` a static route: `destination` by `next_hop`, or without a next hop the end of the one to there.
    """

    group: UUID | None = None
    router: UUID | None = None
    destination: str = ""
    next_hop: str = ""
    direction: str = "ingress"
    family: int = 4
    protocol: str = "tcp"
    ports: str = ""
    cidr: str = ""
    remote_group: UUID | None = None
    remove: int | None = Field(None, ge=1, le=2**53 - 1)
    trace: UUID | None = None


class WhatIfOut(Schema):
    uuid: UUID
    title: str
    state: str
    generation: int | None
    result: dict[str, Any] | None
    error: str
    applied_at: datetime | None


@router.post("/matrices", response={202: MatrixOut}, summary="Ask who reaches whom with a protocol and port")
def post_matrix(request: HttpRequest, asked: MatrixIn) -> Any:
    team = team_for(request, "matrix.ask")
    network = get_object_or_404(Network, team=team, uuid=asked.network) if asked.network else None
    return Status(202, ask_matrix(team, person(request), asked.protocol, asked.port_dst, network))


@router.get("/matrices/{uuid}", response=MatrixOut, summary="A matrix with its answer")
def get_matrix(request: HttpRequest, uuid: UUID) -> Any:
    return get_object_or_404(MatrixRun, team=team_for(request, "matrix.see"), uuid=uuid)


@router.get("/checks", response=list[CheckOut], summary="The team's path checks")
def list_checks(request: HttpRequest) -> Any:
    rows = team_for(request, "check.see").checks.select_related("source", "target")
    return [check_as_json(check) for check in rows]


@router.post("/checks", response={201: CheckOut}, summary="Pin a path that must stay as it is")
def post_check(request: HttpRequest, asked: CheckIn) -> Any:
    team = team_for(request, "check.change")
    source = get_object_or_404(ports_of(team), uuid=asked.source)
    target, address, unknown = find_target(team, source, asked.target.replace("\0", ""))
    if unknown and is_uuid(asked.target):
        raise Http404
    if unknown:
        raise CheckProblem({"target": [unknown]})
    spec = TraceSpec(source, target, asked.protocol, asked.port_dst, address)
    return Status(201, check_as_json(add_check(team, person(request), spec, asked.expected)))


@router.delete("/checks/{uuid}", response={204: None}, summary="Look at the path no more")
def delete_check(request: HttpRequest, uuid: UUID) -> Any:
    team = team_for(request, "check.see")
    check = get_object_or_404(team.checks.select_related("team", "source", "target"), uuid=uuid)
    require(request, "check.change", team)
    remove_check(check, person(request))
    return Status(204, None)


@router.post(
    "/what-ifs", response={202: WhatIfOut}, summary="Ask what a rule more or less would change; nothing is changed"
)
def post_what_if(request: HttpRequest, asked: WhatIfIn) -> Any:
    team = team_for(request, "what_if.ask")
    trace = get_object_or_404(TraceRequest, team=team, uuid=asked.trace) if asked.trace else None
    if asked.router is not None:
        row = get_object_or_404(Router.objects.select_related("team"), team=team, uuid=asked.router)
        spec = RouteWhatIf(row, asked.destination.replace("\0", ""), asked.next_hop.replace("\0", ""), trace)
        return Status(202, ask_route_what_if(team, person(request), spec))
    if asked.group is None:
        raise GroupProblem({"group": ["neither a group nor a router was given: one of the two is needed"]})
    group = get_object_or_404(SecurityGroup, team=team, uuid=asked.group)
    remote = get_object_or_404(SecurityGroup, team=team, uuid=asked.remote_group) if asked.remote_group else None
    rules = SecurityRule.objects.select_related("group", "remote_group")
    removed = get_object_or_404(rules, group=group, pk=asked.remove) if asked.remove is not None else None
    texts = (asked.direction, str(asked.family), asked.protocol, asked.ports, asked.cidr)
    return Status(202, ask_what_if(team, person(request), WhatIfSpec(group, RuleSpec(*texts, remote), removed, trace)))


@router.get("/what-ifs/{uuid}", response=WhatIfOut, summary="A what-if with its answer")
def get_what_if(request: HttpRequest, uuid: UUID) -> Any:
    return get_object_or_404(WhatIf, team=team_for(request, "what_if.ask"), uuid=uuid)


@router.post("/what-ifs/{uuid}/apply", response=WhatIfOut, summary="Make exactly the change that was asked about")
def post_apply(request: HttpRequest, uuid: UUID) -> Any:
    team = team_for(request, "what_if.ask")
    run = get_object_or_404(WhatIf, team=team, uuid=uuid)
    require(request, run.right, team)
    return apply_what_if(run, person(request))
