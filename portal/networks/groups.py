"""Security groups: made, changed and removed in transactions that raise the generation, so that hosts follow at once.

A rule may name its own group: "from members of the same group" is what the group "default" is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from django.db import transaction
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_noop as _

from portal.accounts.audit import record
from portal.accounts.models import Team, User
from portal.networks.audited import audit
from portal.networks.intent import NO_PORT, bump_generation, lock_intent, only_ports
from portal.networks.models import Port, PortKind, SecurityGroup, SecurityRule
from portal.networks.owners import owner_of
from portal.networks.rule_check import Errors, RuleSpec, check_rule
from portal.networks.rule_words import rule_words

DEFAULT, SSH_AND_PING = "default", "ssh-and-ping"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
MAX_GROUPS, MAX_RULES = 50, 100
SSH_PORT = 22


class GroupProblem(Exception):
    """It cannot be done. `errors` holds field → sentences, all at once."""

    def __init__(self, errors: Errors) -> None:
        super().__init__("; ".join(line for lines in errors.values() for line in lines))
        self.errors = errors


def ensure_groups(team_id: int) -> None:
    """The two groups that every team starts with; nothing is changed where they are there."""
    default, made = SecurityGroup.objects.get_or_create(
        team_id=team_id, name=DEFAULT, defaults={"description": _("All out, and in from the same group")}
    )
    if made:
        for family in (4, 6):
            _store(default, "egress", family, "any")
            _store(default, "ingress", family, "any", remote_group=default)
    easy, made = SecurityGroup.objects.get_or_create(
        team_id=team_id, name=SSH_AND_PING, defaults={"description": _("SSH and ping from anywhere")}
    )
    if made:
        for family in (4, 6):
            _store(easy, "ingress", family, "tcp", number_first=SSH_PORT, number_last=SSH_PORT)
            _store(easy, "ingress", family, "icmp")


def default_group(team_id: int) -> SecurityGroup:
    """The team's group that a port is in when nothing else is said."""
    found = SecurityGroup.objects.filter(team_id=team_id, name=DEFAULT).first()
    if found is None:
        ensure_groups(team_id)
        found = SecurityGroup.objects.get(team_id=team_id, name=DEFAULT)
    return found


def suggested_groups(team: Team, user: User) -> list[SecurityGroup]:
    """What the next VM of this person should be in: as their last one, at first the two that every team has."""
    last = Port.objects.filter(vm__team=team, vm__created_by=user).order_by("-vm_id", "id").first()
    if last is not None:
        return list(last.groups.all())
    return list(team.security_groups.filter(name__in=(DEFAULT, SSH_AND_PING)))


@transaction.atomic
def create_group(team: Team, name: str, description: str = "") -> SecurityGroup:
    """A group without rules. Raises GroupProblem."""
    lock_intent()
    locked = Team.objects.select_for_update(no_key=True).get(pk=team.pk)
    errors: Errors = {}
    if not NAME.fullmatch(name):
        shown = name if len(name) <= 40 else f"{name[:40]}… ({len(name)} characters)"
        errors["name"] = [
            gettext("“%(shown)s” was given; allowed are 1 to 40 of a-z, 0-9 and -, not at either end")
            % {"shown": shown}
        ]
    elif locked.security_groups.filter(name=name).exists():
        errors["name"] = [
            gettext("%(team)s has a group %(name)s already; choose another name") % {"team": team.name, "name": name}
        ]
    if len(description) > 200:
        errors["description"] = [
            gettext("%(count)s characters were given; at most 200 are allowed") % {"count": len(description)}
        ]
    if locked.security_groups.count() >= MAX_GROUPS:
        errors.setdefault("name", []).append(
            gettext("%(team)s has %(max_groups)s groups, the most that a team may have")
            % {"team": team.name, "max_groups": MAX_GROUPS}
        )
    if errors:
        raise GroupProblem(errors)
    group = SecurityGroup.objects.create(team=locked, name=name, description=description)
    audit("create", group)
    bump_generation(NO_PORT)
    return group


@transaction.atomic
def delete_group(group: SecurityGroup) -> None:
    """Remove a group that nothing uses. Raises GroupProblem, naming every use."""
    lock_intent()
    Team.objects.select_for_update(no_key=True).get(pk=group.team_id)
    lines = []
    if group.name == DEFAULT:
        lines.append(gettext("the group default stays: ports without another group are in it"))
    ports = list(group.ports.values_list("name", flat=True)[:11])
    if ports:
        lines.append(
            ngettext(
                "%(ports)s is in it: take it off there first",
                "%(ports)s are in it: take it off there first",
                len(ports),
            )
            % {"ports": _listed(ports)}
        )
    rules = group.referring_rules.exclude(group=group).select_related("group")
    referring = sorted({rule.group.name for rule in rules})
    if referring:
        lines.append(gettext("rules of %(referring)s name it: remove those first") % {"referring": _listed(referring)})
    if lines:
        raise GroupProblem({"group": lines})
    audit("delete", group)
    group.delete()
    bump_generation(NO_PORT)


@transaction.atomic
def add_rule(group: SecurityGroup, spec: RuleSpec, actor: User | None = None) -> SecurityRule:
    """One more rule, in force at once, audited. Raises GroupProblem with everything that is wrong."""
    lock_intent()
    Team.objects.select_for_update(no_key=True).get(pk=group.team_id)
    columns, errors = check_rule(spec)
    if not errors and group.rules.filter(**columns).exists():
        errors["protocol"] = [gettext("%(group)s has this rule already") % {"group": group.name}]
    if group.rules.count() >= MAX_RULES:
        errors.setdefault("protocol", []).append(
            gettext("%(group)s has %(max_rules)s rules, the most that a group may have")
            % {"group": group.name, "max_rules": MAX_RULES}
        )
    if errors:
        raise GroupProblem(errors)
    rule = SecurityRule.objects.create(group=group, **columns)
    record("rule.add", group.team, actor, ("group", str(group.uuid), group.name), after={"rule": rule_words(rule)})
    bump_generation(NO_PORT)
    return rule


@transaction.atomic
def remove_rule(rule: SecurityRule, actor: User | None = None) -> None:
    """What only this rule allowed stops at once, established connections too; audited."""
    lock_intent()
    group = rule.group
    record("rule.remove", group.team, actor, ("group", str(group.uuid), group.name), before={"rule": rule_words(rule)})
    rule.delete()
    bump_generation(NO_PORT)


@transaction.atomic
def set_port_groups(port: Port, groups: Iterable[SecurityGroup], actor: User | None = None) -> None:
    """The port's groups, whole; audited. The caller checked that they are of the port's team."""
    lock_intent()
    team = Team.objects.select_for_update(no_key=True).get(pk=owner_of(port).pk)
    chosen = list(groups)
    before, after = ([group.name for group in some] for some in (port.groups.all(), chosen))
    port.groups.set(chosen)
    record("port.groups", team, actor, _what(port), before={"groups": ", ".join(before)}, after={"groups": ", ".join(sorted(after))})  # fmt: skip
    _told(port)


@transaction.atomic
def set_port_security(port: Port, is_secured: bool, actor: User | None = None) -> None:
    """Whether the port is held to its addresses and filtered by its groups; audited."""
    lock_intent()
    if port.is_secured != is_secured:
        change = {"before": {"is_secured": port.is_secured}, "after": {"is_secured": is_secured}}
        record("port.security", owner_of(port), actor, _what(port), **change)
    Port.objects.filter(pk=port.pk).update(is_secured=is_secured)
    port.is_secured = is_secured
    _told(port)


def reaches_ssh(group: SecurityGroup, seats: Iterable[Port]) -> bool:
    """Whether the group alone lets tcp/22 in from one of the seats, or from anywhere."""
    ends = list(seats)
    return any(_opens_ssh(rule, ends) for rule in group.rules.all())


def access_ports(team: Team) -> list[Port]:
    """The seats of this machine on the team's networks, from which people log in."""
    ports = Port.objects.filter(network__team=team, kind=PortKind.ACCESS)
    return list(ports.prefetch_related("addresses", "groups"))


def _opens_ssh(rule: SecurityRule, seats: list[Port]) -> bool:
    if rule.direction != "ingress" or rule.protocol not in ("any", "tcp"):
        return False
    if rule.number_first is not None and not rule.number_first <= SSH_PORT <= (rule.number_last or 0):
        return False
    if rule.remote_group_id is not None:
        return any(rule.remote_group_id == group.pk for seat in seats for group in seat.groups.all())
    if not rule.cidr:
        return True
    cidr = ip_network(rule.cidr)
    addresses = [ip_address(row.address) for seat in seats for row in seat.addresses.all()]
    return cidr.prefixlen == 0 or any(address in cidr for address in addresses)


def _store(group: SecurityGroup, direction: str, family: int, protocol: str, **columns: object) -> None:
    SecurityRule.objects.create(group=group, direction=direction, family=family, protocol=protocol, **columns)


def _what(port: Port) -> tuple[str, str, str]:
    return ("vm", str(port.vm.uuid), port.vm.name) if port.vm else ("port", str(port.uuid), port.name)


def _told(port: Port) -> None:
    from portal.live.publishers import vm_changed  # it serialises VMs, which know their ports

    bump_generation(only_ports([port.id]))
    if port.vm is not None:
        vm_changed(port.vm)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (gettext(" and more") if len(names) > 10 else "")
