"""The commands that a new deployment begins with: an operator, a team, hosts."""

from __future__ import annotations

import io
import re

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command

from portal.accounts.models import AuditRow, Membership, Role, Team, User
from portal.hosts.models import Host
from portal.networks.models import Generation
from tests.cast import Cast
from tests.portal.clients import made_host, made_vm

UNDERLAY = ("--underlay-ip", "192.0.2.77")


def said(*words: str) -> str:
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def test_an_operator_gets_a_password_once(db: None) -> None:
    password = said("operator", "olga").split()[-1]
    assert authenticate(username="olga", password=password).is_operator  # type: ignore[union-attr]
    assert "stays" in said("operator", "olga")
    assert authenticate(username="olga", password=password)
    assert said("operator", "olga", "--new-password").split()[-1] != password
    with pytest.raises(CommandError, match="<b>"):
        said("operator", "<b>")


def test_a_team_begins_with_its_owner_and_its_limits(db: None) -> None:
    told = said("team", "add", "Web Shop", "--owner", "wendy", "--max-vms", "3")
    password = re.search(r"password (\S+)", told)
    assert password and authenticate(username="wendy", password=password[1])
    assert Team.objects.get(slug="web-shop").max_vms == 3
    assert "password" not in said("team", "add", "Web Shop", "--owner", "wendy", "--max-vms", "5")
    assert Team.objects.get(slug="web-shop").max_vms == 5
    assert Membership.objects.get(user=User.objects.get(username="wendy")).role == Role.OWNER
    with pytest.raises(CommandError, match=r"max_vcpus.*\n.*max_vms"):
        said("team", "add", "Other", "--owner", "oscar", "--max-vms", "-1", "--max-vcpus", "-2")
    assert not User.objects.filter(username="oscar").exists()


def test_hosts_are_registered_taken_out_and_forgotten(cast: Cast) -> None:
    assert "registered" in said("host", "add", "hv7", *UNDERLAY, "--ovsdb", "ssl:192.0.2.77:6640")
    assert "changed" in said("host", "add", "hv7", *UNDERLAY, "--underlay-mtu", "9000")
    assert Host.objects.get(name="hv7").underlay_mtu == 9000
    assert "no new VMs" in said("host", "off", "hv7")
    assert "hv7  192.0.2.77  off" in said("host", "list")
    before = Generation.objects.get(id=1).value
    assert "forgotten" in said("host", "remove", "hv7")
    assert Generation.objects.get(id=1).value > before
    assert [row.action for row in AuditRow.objects.filter(object_name="hv7").order_by("id")] == ["host.add", "host.change", "host.change", "host.remove"]  # fmt: skip


def test_what_is_wrong_with_a_host_is_said_whole_and_nothing_is_stored(cast: Cast) -> None:
    host, vm = made_host(), made_vm(cast)
    vm.host = host
    vm.save()
    with pytest.raises(CommandError, match=vm.name):
        said("host", "remove", host.name)
    with pytest.raises(CommandError, match="there is no host hv9; known: "):
        said("host", "off", "hv9")
    with pytest.raises(CommandError, match=r"(?s)nothing was changed.*name:.*underlay_ip:"):
        said("host", "add", "not a name", "--underlay-ip", "300.1.1.1")
    assert not Host.objects.filter(name="not a name").exists()
