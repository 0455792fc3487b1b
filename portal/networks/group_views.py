"""Security groups: the list, one group with its rules, and what a VM's port is in."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import pgettext
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import may, require, team_for
from portal.accounts.models import Team
from portal.accounts.views import person
from portal.networks.group_forms import posted_groups
from portal.networks.groups import (
    DEFAULT,
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
from portal.networks.rule_words import known_name, remote_words, service_words

RULE_FIELDS = ("direction", "family", "protocol", "ports", "cidr", "remote_group")


@require_http_methods(["GET", "HEAD", "POST"])
def security_groups(request: HttpRequest) -> HttpResponse:
    """Every group of the current team, with a form to add one."""
    team = team_for(request, "group.see")
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        require(request, "group.change", team)
        try:
            made = create_group(team, request.POST.get("name", "").strip(), request.POST.get("description", "").strip())
            return redirect("security_group", made.uuid)
        except GroupProblem as problem:
            errors = problem.errors
    rows = team.security_groups.annotate(
        rule_count=Count("rules", distinct=True), port_count=Count("ports", distinct=True)
    )
    context = {
        "team": team,
        "groups": rows,
        "may": may(request, "group.change", team),
        "errors": errors,
        "given": request.POST,
    }
    return render(request, "networks/security_groups.html", context, status=422 if errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def security_group(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One group: its rules, who is in it; a post adds a rule."""
    group = _group(request, uuid)
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        require(request, "group.change", group.team)
        try:
            add_rule(group, _spec(group.team, request), person(request))
            return redirect("security_group", group.uuid)
        except GroupProblem as problem:
            errors = problem.errors
    return _page(request, group, errors)


@require_POST
def security_group_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Remove a group that nothing uses."""
    group = _group(request, uuid)
    require(request, "group.change", group.team)
    try:
        delete_group(group)
    except GroupProblem as problem:
        return _page(request, group, problem.errors)
    return redirect("security_groups")


@require_POST
def security_rule_delete(request: HttpRequest, uuid: UUID, rule_id: int) -> HttpResponse:
    """Remove a rule; a second click finds it gone, which is what was asked."""
    group = _group(request, uuid)
    require(request, "group.change", group.team)
    rule = SecurityRule.objects.filter(group=group, pk=rule_id).first()
    if rule is not None:
        remove_rule(rule, person(request))
    return redirect("security_group", group.uuid)


@require_POST
def port_groups(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Change the groups of a VM's port, in force at once."""
    port = _port(request, uuid)
    require(request, "port.change", owner_of(port))
    set_port_groups(port, posted_groups(owner_of(port), request.POST) or (), person(request))
    return _back(port)


@require_POST
def port_security(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Switch a port's security on or off: owners of the team, and operators."""
    port = _port(request, uuid)
    require(request, "port.unsecure", owner_of(port))
    set_port_security(port, request.POST.get("is_secured") == "on", person(request))
    return _back(port)


def _page(request: HttpRequest, group: SecurityGroup, errors: dict[str, list[str]]) -> HttpResponse:
    rules = [
        {"rule": rule, "service": service_words(rule), "known": known_name(rule), "remote": remote_words(rule)}
        for rule in group.rules.select_related("remote_group")
    ]
    given: dict[str, Any] = {"direction": "ingress", "family": "4", "protocol": "tcp"}
    if request.method == "POST":
        given = {name: request.POST.get(name, "") for name in RULE_FIELDS}
    context = {
        "team": group.team,
        "group": group,
        "sides": [
            (title, direction, word, [row for row in rules if row["rule"].direction == direction])  # type: ignore[attr-defined]
            for title, direction, word in (
                (pgettext("rules", "In"), "ingress", pgettext("rules", "from")),
                (pgettext("rules", "Out"), "egress", pgettext("rules", "to")),
            )
        ],
        "ports": group.ports.select_related("vm", "network").prefetch_related("addresses"),
        "protocols": ("tcp", "udp", "icmp", "sctp", "any"),
        "others": group.team.security_groups.all(),
        "is_default": group.name == DEFAULT,
        "may": may(request, "group.change", group.team),
        "errors": errors,
        "given": given,
    }
    return render(request, "networks/security_group.html", context, status=422 if errors else 200)


def _spec(team: Team, request: HttpRequest) -> RuleSpec:
    text = {name: request.POST.get(name, "") for name in RULE_FIELDS}
    named = text.pop("remote_group")
    remote = get_object_or_404(SecurityGroup, team=team, name=named) if named else None
    return RuleSpec(**text, remote_group=remote)


def _group(request: HttpRequest, uuid: UUID) -> SecurityGroup:
    rows = SecurityGroup.objects.filter(team__memberships__user_id=request.user.pk or 0).select_related("team")
    return get_object_or_404(rows, uuid=uuid)


def _port(request: HttpRequest, uuid: UUID) -> Port:
    rows = Port.objects.select_related("network__team", "vm__team")
    if not getattr(request.user, "is_operator", False):
        rows = rows.filter(owned_by_person(request.user.pk or 0))
    return get_object_or_404(rows, uuid=uuid)


def _back(port: Port) -> HttpResponse:
    return redirect("vm", port.vm.uuid) if port.vm else redirect("networks")
