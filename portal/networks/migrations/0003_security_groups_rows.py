"""Teams that are there get their two groups, and ports that are there keep working: they are put in both."""

from __future__ import annotations

from typing import Any

from django.db import migrations


def fill(apps: Any, schema_editor: Any) -> None:
    team_model, port_model = apps.get_model("accounts", "Team"), apps.get_model("networks", "Port")
    for team in team_model.objects.all():
        groups = _groups_of(apps, team)
        for port in port_model.objects.filter(network__team=team):
            port.groups.add(*(groups if port.vm_id else groups[:1]))


def _groups_of(apps: Any, team: Any) -> list[Any]:
    group_model, rule_model = apps.get_model("networks", "SecurityGroup"), apps.get_model("networks", "SecurityRule")
    default = group_model.objects.create(
        team=team, name="default", description="All out, and in from the same group"
    )
    easy = group_model.objects.create(team=team, name="ssh-and-ping", description="SSH and ping from anywhere")
    for family in (4, 6):
        rows = (
            {"group": default, "direction": "egress", "protocol": "any"},
            {"group": default, "direction": "ingress", "protocol": "any", "remote_group": default},
            {"group": easy, "direction": "ingress", "protocol": "tcp", "number_first": 22, "number_last": 22},
            {"group": easy, "direction": "ingress", "protocol": "icmp"},
        )
        for row in rows:
            rule_model.objects.create(family=family, **row)
    return [default, easy]


class Migration(migrations.Migration):
    dependencies = [("networks", "0003_security_groups")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
