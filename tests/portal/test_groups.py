"""Security groups through the pages and the API: what a team starts with, what is refused in which words, who may."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from portal.accounts.models import Team
from portal.compute.models import VM
from portal.networks.causes import explain_causes
from portal.networks.groups import add_rule, create_group, default_group
from portal.networks.intent import load_snapshot
from portal.networks.models import AllowedAddressPair, Port, PortKind, SecurityGroup, SecurityRule
from portal.networks.rule_check import RuleSpec, check_rule
from sdn.model.cookie import Cause, CauseKind
from sdn.model.intent import PortIntent
from tests.cast import Cast
from tests.portal.clients import client_of, form, made_vm


def group_of(cast: Cast, name: str) -> SecurityGroup:
    return SecurityGroup.objects.get(team=cast.payments, name=name)


def post_json(client: Client, path: str, **values: Any) -> Any:
    return client.post(f"/api/v1{path}", values, content_type="application/json")


def port_intent(port: Port) -> PortIntent:
    return next(intent for intent in load_snapshot().ports if intent.id == port.pk)


def test_a_new_team_has_a_group_that_lets_its_own_members_in_and_one_that_lets_ssh_in(db: None) -> None:
    team = Team.objects.create(name="New", slug="new")
    names = {group.name: {str(rule.direction) for rule in group.rules.all()} for group in team.security_groups.all()}
    assert names == {"default": {"ingress", "egress"}, "ssh-and-ping": {"ingress"}}


def test_a_first_vm_is_reached_by_ssh_and_the_next_ones_are_as_the_last(cast: Cast) -> None:
    client = client_of(cast.alice)
    page = client.get(reverse("vm_create")).content.decode()
    assert page.count("checked data-ssh") == 2, "default holds the access port, ssh-and-ping lets anybody in"
    client.post(reverse("vm_create"), form())
    assert {group.name for group in Port.objects.get(vm__name="web-1").groups.all()} == {"default", "ssh-and-ping"}
    only = form(name="web-2", request_key="k2") | {"groups_shown": "1", "groups": "default"}
    client.post(reverse("vm_create"), only)
    client.post(reverse("vm_create"), form(name="web-3", request_key="k3"))
    assert [group.name for group in Port.objects.get(vm__name="web-3").groups.all()] == ["default"]


def test_no_ticked_group_means_none(cast: Cast) -> None:
    client_of(cast.alice).post(reverse("vm_create"), form(groups_shown="1"))
    assert not Port.objects.get(vm__name="web-1").groups.exists()


def test_the_create_page_can_warn_that_ssh_is_dropped(cast: Cast) -> None:
    create_group(cast.payments, "web")
    page = client_of(cast.alice).get(reverse("vm_create")).content.decode()
    assert "You will not reach SSH from here" in page
    box = page[page.index('value="web"') :][:60]
    assert "data-ssh" not in box


def test_the_access_port_is_in_the_default_group(cast: Cast) -> None:
    access = Port.objects.get(kind=PortKind.ACCESS)
    assert [group.name for group in access.groups.all()] == ["default"]


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"protocol": "icmp", "ports": "80-90"}, "ports", "icmp has no ports"),
        ({"protocol": "any", "ports": "80"}, "ports", "only tcp, udp and sctp have ports"),
        ({"ports": "90-80"}, "ports", "must not be above the last"),
        ({"ports": "0"}, "ports", "1 to 65535"),
        ({"ports": "80-70000"}, "ports", "1 to 65535"),
        ({"ports": "http"}, "ports", "a port (22) or a range"),
        ({"cidr": "10.20.0.5/24"}, "cidr", "host bits; the network is 10.20.0.0/24, that one host is 10.20.0.5/32"),
        ({"cidr": "fd00::/64"}, "cidr", "is IPv6; the rule is for IPv4"),
        ({"family": "6", "cidr": "10.0.0.0/8"}, "cidr", "is IPv4; the rule is for IPv6"),
        ({"cidr": "<script>"}, "cidr", "a network such as"),
        ({"direction": "sideways"}, "direction", "allowed are ingress, egress"),
        ({"family": "5"}, "family", "allowed are 4, 6"),
        ({"protocol": "x" * 5000}, "protocol", "(5000 characters)"),
    ],
)
def test_a_wrong_rule_is_told_by_field(given: dict[str, str], field: str, said: str) -> None:
    _, errors = check_rule(RuleSpec(**given))
    assert said in errors[field][0]
    assert len(errors) == 1


def test_every_problem_of_a_rule_is_told_at_once(cast: Cast) -> None:
    bad = {"direction": "in", "family": 4, "protocol": "icmp", "ports": "80", "cidr": "10.0.0.1/8"}
    answer = post_json(
        client_of(cast.alice), f"/security-groups/{group_of(cast, 'default').uuid}/rules", **bad | {"ports": "a"}
    )
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"direction", "ports", "cidr"}


def test_a_network_and_a_group_are_too_many_ends(cast: Cast) -> None:
    _, errors = check_rule(RuleSpec(cidr="10.0.0.0/8", remote_group=group_of(cast, "default")))
    assert "one of the two is allowed" in errors["cidr"][0]


def test_the_same_rule_twice_is_refused(cast: Cast) -> None:
    client, path = client_of(cast.alice), f"/security-groups/{group_of(cast, 'ssh-and-ping').uuid}/rules"
    answer = post_json(client, path, ports="22")
    assert "has this rule already" in answer.json()["errors"]["protocol"][0]


def test_a_group_of_another_team_does_not_exist(cast: Cast) -> None:
    theirs = SecurityGroup.objects.get(team=cast.search, name="default")
    client, mine = client_of(cast.alice), group_of(cast, "default")
    assert client.get(reverse("security_group", args=[theirs.uuid])).status_code == 404
    assert client.get(f"/api/v1/security-groups/{theirs.uuid}").status_code == 404
    path = f"/security-groups/{mine.uuid}/rules"
    assert post_json(client, path, remote_group=str(theirs.uuid)).status_code == 404
    vm = made_vm(cast)
    changed = client.put(
        f"/api/v1/ports/{vm.ports.get().uuid}/groups", {"groups": ["nobody"]}, content_type="application/json"
    )
    assert "has no group of that name" in changed.json()["errors"]["groups"][0]


def test_what_is_in_use_is_not_deleted_and_every_use_is_named(cast: Cast) -> None:
    client = client_of(cast.alice)
    web, other = create_group(cast.payments, "web"), create_group(cast.payments, "other")
    add_rule(other, RuleSpec(remote_group=web))
    add_rule(web, RuleSpec(remote_group=web))
    vm = made_vm(cast)
    vm.ports.get().groups.add(web)
    answer = client.delete(f"/api/v1/security-groups/{web.uuid}")
    assert answer.status_code == 422
    assert [line[:5] for line in answer.json()["errors"]["group"]] == ["web-1", "rules"]
    page = client.post(reverse("security_group_delete", args=[web.uuid]))
    assert page.status_code == 422 and b"take it off there first" in page.content
    vm.ports.get().groups.clear()
    other.rules.all().delete()
    assert client.delete(f"/api/v1/security-groups/{web.uuid}").status_code == 204, "naming itself is no use by others"


def test_the_default_group_stays(cast: Cast) -> None:
    answer = client_of(cast.alice).delete(f"/api/v1/security-groups/{group_of(cast, 'default').uuid}")
    assert "stays" in answer.json()["errors"]["group"][0]


def test_a_bad_or_taken_group_name_is_refused(cast: Cast) -> None:
    client = client_of(cast.alice)
    for name in ("", "A B", "-a", "x" * 41, "default", "<b>"):
        answer = client.post(reverse("security_groups"), {"name": name})
        assert answer.status_code == 422 and answer.context["errors"]["name"], name


def test_a_viewer_sees_and_changes_nothing(cast: Cast) -> None:
    client, group, vm = client_of(cast.charlie), group_of(cast, "default"), made_vm(cast)
    page = client.get(reverse("security_group", args=[group.uuid]))
    assert page.status_code == 200 and b"Add a rule" not in page.content
    port = vm.ports.get()
    for path in (
        reverse("security_group", args=[group.uuid]),
        reverse("security_group_delete", args=[group.uuid]),
        reverse("security_rule_delete", args=[group.uuid, group.rules.first().pk]),  # type: ignore[union-attr]
        reverse("port_groups", args=[port.uuid]),
        reverse("port_security", args=[port.uuid]),
    ):
        assert client.post(path, {}).status_code == 403, path


def test_port_security_is_switched_by_owners_and_operators(cast: Cast) -> None:
    port = made_vm(cast).ports.get()
    for person, status in (("alice", 302), ("bob", 403), ("dana", 404), ("olga", 302)):
        Port.objects.update(is_secured=True)
        answer = client_of(getattr(cast, person)).post(reverse("port_security", args=[port.uuid]), {})
        assert answer.status_code == status
        assert Port.objects.get(pk=port.pk).is_secured == (status != 302)


def test_a_change_is_in_the_intent_with_a_higher_generation(cast: Cast) -> None:
    vm, client = made_vm(cast), client_of(cast.alice)
    port, group = vm.ports.get(), group_of(cast, "ssh-and-ping")
    before = load_snapshot()
    assert set(port_intent(port).groups) == {group.pk, default_group(cast.payments.pk).pk}
    client.post(reverse("security_group", args=[group.uuid]), {"direction": "ingress", "family": "4", "protocol": "tcp", "ports": "80-90"})  # fmt: skip
    AllowedAddressPair.objects.create(port=port, cidr="10.20.0.99/32")
    client.post(reverse("port_groups", args=[port.uuid]), {"groups_shown": "1", "groups": "ssh-and-ping"})
    after = load_snapshot()
    assert after.generation == before.generation + 2
    rules = next(one for one in after.groups if one.id == group.pk).rules
    assert [rule.ports for rule in rules if rule.protocol == "tcp" and rule.family == 4] == [(22, 22), (80, 90)]
    assert port_intent(port).groups == (group.pk,)
    assert [str(pair.cidr) for pair in port_intent(port).pairs] == ["10.20.0.99/32"]


def test_the_intents_queries_do_not_grow_with_its_rows(cast: Cast) -> None:
    from django.db import connection

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            load_snapshot()
        return len(seen)

    made_vm(cast)
    before = queries()
    for number in range(5):
        add_rule(create_group(cast.payments, f"g-{number}"), RuleSpec())
    VM.objects.get().ports.get().groups.set(SecurityGroup.objects.filter(team=cast.payments))
    assert queries() == before


def test_a_rule_and_a_group_are_told_in_words(cast: Cast) -> None:
    group = group_of(cast, "ssh-and-ping")
    rule = SecurityRule.objects.get(group=group, protocol="tcp", family=4)
    told = explain_causes([Cause(CauseKind.SECURITY_RULE, rule.pk), Cause(CauseKind.SECURITY_GROUP, group.pk)])
    assert {intent.words for intent in told.values()} == {
        "Rule “tcp/22 from anywhere” of group ssh-and-ping",
        "Rules of group ssh-and-ping",
    }
    own = default_group(cast.payments.pk).rules.get(direction="ingress", family=6)
    (words,) = explain_causes([Cause(CauseKind.SECURITY_RULE, own.pk)]).values()
    assert words.words == "Rule “any protocol over IPv6 from members of the same group” of group default"


def test_the_api_makes_a_group_with_a_rule_and_takes_it_away(cast: Cast) -> None:
    client = client_of(cast.bob)
    made = post_json(client, "/security-groups", name="web", description="HTTP")
    assert made.status_code == 201
    path = f"/security-groups/{made.json()['uuid']}"
    rule = post_json(client, f"{path}/rules", ports="80-90", cidr="10.0.0.0/8").json()
    assert rule["words"] == "tcp/80-90 from 10.0.0.0/8"
    assert client.delete(f"/api/v1{path}/rules/{rule['id']}").status_code == 204
    assert client.get(f"/api/v1{path}").json()["rules"] == []
    assert client.delete(f"/api/v1{path}").status_code == 204


def test_a_hostile_description_is_escaped(cast: Cast) -> None:
    create_group(cast.payments, "web", "<script>alert(1)</script>")
    client = client_of(cast.alice)
    for name in ("security_groups", "vm_create"):
        assert b"<script>alert(1)" not in client.get(reverse(name)).content
