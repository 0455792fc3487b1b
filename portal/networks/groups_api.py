"""Security groups over REST; problems come with every field's errors."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Path, Router, Schema, Status
from pydantic import Field

from portal.accounts.access import require, team_for
from portal.accounts.models import Team
from portal.accounts.views import person
from portal.api.names import Given
from portal.networks.groups import (
    MAX_GROUPS,
    GroupProblem,
    add_rule,
    create_group,
    delete_group,
    remove_rule,
    set_port_groups,
    set_port_security,
)
from portal.networks.models import Port, SecurityGroup, SecurityRule
from portal.networks.owners import owned_by_person, owner_of
from portal.networks.rule_check import RuleSpec
from portal.networks.rule_words import rule_words

router = Router()
RuleId = Annotated[int, Path(ge=1, le=2**53 - 1)]


class GroupIn(Given):
    name: str
    description: str = ""


class RuleIn(Given):
    """`ports` as people write them: "22", "8000-8080", for icmp "8" or "3/4". One of `cidr` and `remote_group`, or none."""

    direction: str = "ingress"
    family: int = 4
    protocol: str = "tcp"
    ports: str = ""
    cidr: str = ""
    remote_group: UUID | None = None


class RuleOut(Schema):
    id: int
    direction: str
    family: int
    protocol: str
    number_first: int | None
    number_last: int | None
    cidr: str
    remote_group: UUID | None
    words: str


class GroupOut(Schema):
    uuid: UUID
    name: str
    description: str
    rules: list[RuleOut]
    ports: list[str]


class PortGroupsIn(Given):
    groups: list[str] = Field(max_length=MAX_GROUPS)


class PortSecurityIn(Given):
    is_secured: bool


class PortSecurityOut(Schema):
    uuid: UUID
    name: str
    groups: list[str]
    is_secured: bool


@router.get("/security-groups", response=list[GroupOut], summary="The team's security groups with their rules")
def list_groups(request: HttpRequest) -> Any:
    return [group_as_json(group) for group in _groups(team_for(request, "group.see"))]


@router.post("/security-groups", response={201: GroupOut}, summary="Make a group without rules")
def post_group(request: HttpRequest, asked: GroupIn) -> Any:
    team = team_for(request, "group.change")
    return Status(201, group_as_json(create_group(team, asked.name.strip(), asked.description.strip())))


@router.get("/security-groups/{uuid}", response=GroupOut, summary="One group")
def get_group(request: HttpRequest, uuid: UUID) -> Any:
    return group_as_json(get_object_or_404(_groups(team_for(request, "group.see")), uuid=uuid))


@router.delete("/security-groups/{uuid}", response={204: None}, summary="Remove a group that nothing uses")
def remove_group(request: HttpRequest, uuid: UUID) -> Any:
    delete_group(_changing(request, uuid))
    return Status(204, None)


@router.post("/security-groups/{uuid}/rules", response={201: RuleOut}, summary="Add a rule, in force at once")
def post_rule(request: HttpRequest, uuid: UUID, asked: RuleIn) -> Any:
    group = _changing(request, uuid)
    remote = get_object_or_404(_groups(group.team), uuid=asked.remote_group) if asked.remote_group else None
    spec = RuleSpec(asked.direction, str(asked.family), asked.protocol, asked.ports, asked.cidr, remote)
    return Status(201, rule_as_json(add_rule(group, spec, person(request))))


@router.delete(
    "/security-groups/{uuid}/rules/{rule_id}", response={204: None}, summary="Remove a rule; what it allowed stops"
)
def delete_rule(request: HttpRequest, uuid: UUID, rule_id: RuleId) -> Any:
    remove_rule(get_object_or_404(SecurityRule, group=_changing(request, uuid), pk=rule_id), person(request))
    return Status(204, None)


@router.get("/ports/{uuid}/groups", response=PortSecurityOut, summary="A port's groups")
def get_port_groups(request: HttpRequest, uuid: UUID) -> Any:
    return _seen(request, uuid)


@router.put("/ports/{uuid}/groups", response=PortSecurityOut, summary="Put a port in other groups, all of them")
def put_port_groups(request: HttpRequest, uuid: UUID, asked: PortGroupsIn) -> Any:
    port = _port(request, uuid)
    require(request, "port.change", owner_of(port))
    set_port_groups(port, groups_named(owner_of(port), asked.groups), person(request))
    return _port_as_json(port)


@router.get("/ports/{uuid}/security", response=PortSecurityOut, summary="Whether a port's security is on")
def get_port_security(request: HttpRequest, uuid: UUID) -> Any:
    return _seen(request, uuid)


@router.put("/ports/{uuid}/security", response=PortSecurityOut, summary="Switch a port's security on or off")
def put_port_security(request: HttpRequest, uuid: UUID, asked: PortSecurityIn) -> Any:
    port = _port(request, uuid)
    require(request, "port.unsecure", owner_of(port))
    set_port_security(port, asked.is_secured, person(request))
    return _port_as_json(port)


def groups_named(team: Team, names: list[str]) -> tuple[SecurityGroup, ...]:
    """The team's groups of these names. Raises GroupProblem naming those that it has not."""
    found = {group.name: group for group in team.security_groups.filter(name__in=names)}
    missing = sorted({name for name in names if name not in found})
    if missing:
        raise GroupProblem({"groups": [f"“{name[:40]}” was given; {team.name} has no group of that name" for name in missing]})  # fmt: skip
    return tuple(found.values())


def group_as_json(group: SecurityGroup) -> dict[str, Any]:
    """The group with its rules and the names of the ports in it."""
    return {
        "uuid": str(group.uuid),
        "name": group.name,
        "description": group.description,
        "rules": [rule_as_json(rule) for rule in group.rules.all()],
        "ports": [port.name for port in group.ports.all()],
    }


def rule_as_json(rule: SecurityRule) -> dict[str, Any]:
    """The rule's columns, and the rule in words."""
    return {
        "id": rule.pk,
        "direction": rule.direction,
        "family": rule.family,
        "protocol": rule.protocol,
        "number_first": rule.number_first,
        "number_last": rule.number_last,
        "cidr": rule.cidr,
        "remote_group": str(rule.remote_group.uuid) if rule.remote_group else None,
        "words": rule_words(rule),
    }


def _changing(request: HttpRequest, uuid: UUID) -> SecurityGroup:
    team = team_for(request, "group.see")
    group = get_object_or_404(_groups(team).select_related("team"), uuid=uuid)
    require(request, "group.change", team)
    return group


def _port(request: HttpRequest, uuid: UUID) -> Port:
    ports = Port.objects.select_related("network__team", "vm__team")
    if not getattr(request.user, "is_operator", False):
        ports = ports.filter(owned_by_person(request.user.pk or 0))
    return get_object_or_404(ports, uuid=uuid)


def _seen(request: HttpRequest, uuid: UUID) -> dict[str, Any]:
    port = _port(request, uuid)
    require(request, "vm.look", owner_of(port))
    return _port_as_json(port)


def _port_as_json(port: Port) -> dict[str, Any]:
    groups = [group.name for group in port.groups.all()]
    return {"uuid": str(port.uuid), "name": port.name, "groups": groups, "is_secured": port.is_secured}


def _groups(team: Team) -> QuerySet[SecurityGroup]:
    return SecurityGroup.objects.filter(team=team).prefetch_related("rules__remote_group", "ports")
