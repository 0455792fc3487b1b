"""Path checks: pinned, looked at after every change, and a turn says what changed."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.checks.models import CheckTurn, PathCheck
from portal.checks.requests import add_check
from portal.compute.requests import VMSpec, create_vm
from portal.live.models import Event
from portal.live.topics import snapshot_of
from portal.networks.groups import add_rule, create_group, remove_rule, set_port_groups
from portal.networks.intent import bump_generation
from portal.networks.models import Generation, Port
from portal.networks.rule_check import RuleSpec
from portal.traces.requests import TraceSpec
from sdn.model.addresses import IfaceId
from tasks.check_memory import CheckMemory
from tasks.checks import PERIOD_S, run_checks
from tasks.controller_observer import _wire_ports
from tests.checks.conftest import Town
from tests.portal.clients import client_of


def pinned(town: Town, expected: str = "dropped") -> PathCheck:
    return add_check(town.cast.payments, town.cast.alice, TraceSpec(town.web_1, town.db_1, "tcp", 5432), expected)


def test_a_check_turns_with_the_rules_and_says_who_changed_what(town: Town) -> None:
    """web-1 → db-1 tcp/5432 must be dropped; Bob opens it, then closes it."""
    check = pinned(town)
    run_checks()
    check.refresh_from_db()
    assert (check.state, check.verdict) == ("passing", "dropped")
    rule = add_rule(town.closed, RuleSpec(ports="5432"), town.cast.bob)
    run_checks()
    check.refresh_from_db()
    assert (check.state, check.verdict, check.reason) == ("failing", "delivered", "web-1 reaches db-1.")
    turn = check.turns.first()
    assert turn is not None
    assert turn.generation_before is not None and turn.generation_before < turn.generation
    assert [(change["actor"], change["words"]) for change in turn.changes] == [
        ("bob", "added a rule to the group closed: tcp/5432 from anywhere")
    ]
    told = Event.objects.filter(topic="team:payments", type="check.changed").last()
    assert told is not None and told.data["state"] == "failing"
    page = client_of(town.cast.charlie).get(reverse("checks")).content.decode()
    assert "added a rule to the group closed: tcp/5432 from anywhere" in page
    dashboard = client_of(town.cast.charlie).get(reverse("dashboard")).content.decode()
    assert "Must be dropped, is delivered: web-1 reaches db-1." in dashboard and "1 failing" in dashboard
    remove_rule(rule, town.cast.bob)
    run_checks()
    check.refresh_from_db()
    assert check.state == "passing"
    assert CheckTurn.objects.count() == 3


def test_only_checks_of_an_older_generation_or_a_period_ago_are_looked_at(town: Town) -> None:
    check = pinned(town)
    run_checks()
    seen = PathCheck.objects.get().checked_at
    run_checks()
    assert PathCheck.objects.get().checked_at == seen
    PathCheck.objects.update(checked_at=timezone.now() - timedelta(seconds=PERIOD_S + 1))
    run_checks()
    assert seen is not None and PathCheck.objects.get().checked_at > seen - timedelta(seconds=1)  # type: ignore[operator]
    assert CheckTurn.objects.filter(check_row=check).count() == 1, "the same verdict is no turn"


def looked_at(check: PathCheck) -> datetime:
    check.refresh_from_db()
    assert check.checked_at is not None
    return check.checked_at


def test_a_change_asks_only_the_checks_again_whose_packets_it_may_touch(town: Town) -> None:
    """web-1 → db-1 of Payments; Search changes its rules and gets a VM, which makes generations, and is no matter of ours."""
    check = pinned(town)
    run_checks()
    first = looked_at(check)
    theirs = create_group(town.cast.search, "theirs")
    net = town.cast.search.networks.get()
    spec = VMSpec("search-1", town.cast.image, town.cast.flavor, net, "key-search-1")
    port = create_vm(town.cast.search, town.cast.dana, spec).vm.ports.get()
    Port.objects.filter(pk=port.pk).update(host=town.db_1.host, ofport=30, tap="vnet30")
    set_port_groups(port, [theirs])
    add_rule(theirs, RuleSpec(ports="5432"), town.cast.dana)
    run_checks()
    assert looked_at(check) == first, "another team's change"
    now = Generation.objects.get(id=1).value
    assert check.generation == now, "but its answer holds as of now"
    add_rule(town.closed, RuleSpec(ports="80"), town.cast.bob)
    run_checks()
    assert looked_at(check) == first, "a rule for another service"
    rule = add_rule(town.closed, RuleSpec(ports="5000-6000"), town.cast.bob)
    run_checks()
    assert looked_at(check) > first
    turn = check.turns.first()
    assert (check.state, turn and [change["words"] for change in turn.changes]) == (
        "failing", ["added a rule to the group closed: tcp/5000-6000 from anywhere"],
    ), "what came before its answer was last known to hold is no cause"  # fmt: skip
    Port.objects.filter(pk=town.db_1.pk).update(host=town.web_1.host, ofport=31, tap="vnet31")
    bump_generation()
    second = looked_at(check)
    run_checks()
    assert looked_at(check) > second, "an end is elsewhere"
    remove_rule(rule, town.cast.bob)
    run_checks()
    assert looked_at(check) and check.state == "passing"


def seen_by_hv(port: Port, ofport: int) -> None:
    """What the controller tells of the port's host: all its ports as they were, and this one under that number (0: gone)."""
    assert port.host is not None
    now = Generation.objects.get(id=1).value
    rows = Port.objects.filter(host=port.host, ofport__isnull=False).exclude(pk=port.pk)
    plugged = {IfaceId(str(uuid)): number or 0 for uuid, number in rows.values_list("uuid", "ofport")}
    if ofport:
        plugged[IfaceId(str(port.uuid))] = ofport
    _wire_ports(port.host.name, now, plugged, {key: f"vnet{number}" for key, number in plugged.items()})


def test_a_port_that_is_plugged_anew_under_another_number_asks_its_checks_again_at_once(town: Town) -> None:
    """[web-1]--7→17--[br-int@hv1]==[br-int@hv2]--[db-1]: nobody asked for anything, a switch alone is other than it was."""
    check = pinned(town)
    target = TraceSpec(town.web_2, town.db_1, "tcp", 5432)
    other = add_check(town.cast.payments, town.cast.alice, target, "dropped")
    run_checks()
    first, others, now = looked_at(check), looked_at(other), Generation.objects.get(id=1).value
    seen_by_hv(town.web_1, 7)
    assert Generation.objects.get(id=1).value == now, "as it was"
    seen_by_hv(town.web_1, 17)
    assert Generation.objects.get(id=1).value == now + 1
    run_checks()
    assert looked_at(check) > first and looked_at(other) == others, "web-2's packets never meet that port"
    check.refresh_from_db()
    assert (check.state, check.generation) == ("passing", now + 1)
    seen_by_hv(town.web_1, 17)
    assert Generation.objects.get(id=1).value == now + 1, "once"


def test_a_checked_port_that_comes_or_goes_without_anybody_asking_is_noticed_at_once(town: Town) -> None:
    add_rule(town.closed, RuleSpec(ports="5432"), town.cast.bob)
    check = pinned(town, "delivered")
    seen_by_hv(town.web_2, 8)
    seen_by_hv(town.db_1, 9)
    run_checks()
    assert looked_at(check) and check.state == "passing"
    seen_by_hv(town.db_1, 0)
    run_checks()
    assert looked_at(check) and (check.state, check.verdict) == ("failing", "dropped")
    town.db_1.refresh_from_db()
    seen_by_hv(town.db_1, 33)
    run_checks()
    assert looked_at(check) and check.state == "passing"
    now = Generation.objects.get(id=1).value
    seen_by_hv(town.web_2, 0)
    assert Generation.objects.get(id=1).value == now, "no check starts or ends at web-2"


def test_a_worker_asks_itself_what_another_one_told(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    check = pinned(town)
    run_checks()
    first = looked_at(check)
    theirs = create_group(town.cast.payments, "unused")
    add_rule(theirs, RuleSpec(ports="5432"), town.cast.bob)
    monkeypatch.setattr("tasks.checks.memory", CheckMemory())
    run_checks()
    assert looked_at(check) > first, "it has never asked"
    PathCheck.objects.update(verdict="delivered", state="failing")
    second = looked_at(check)
    add_rule(theirs, RuleSpec(ports="5433"), town.cast.bob)
    run_checks()
    assert looked_at(check) > second
    assert check.state == "passing", "what another worker told is not what it knows"


def test_a_path_is_pinned_once_and_removed_by_members_only(town: Town) -> None:
    client = client_of(town.cast.bob)
    form = {
        "source": str(town.web_1.uuid),
        "target": "db-1",
        "protocol": "icmp",
        "port_dst": "",
        "expected": "delivered",
    }
    assert client.post(reverse("checks"), form).status_code == 302
    again = client.post(reverse("checks"), form)
    assert again.status_code == 422 and "checked already" in again.content.decode()
    check = PathCheck.objects.get()
    assert client_of(town.cast.charlie).post(reverse("check_remove", args=[check.uuid])).status_code == 403
    assert client.post(reverse("check_remove", args=[check.uuid])).status_code == 302
    assert not PathCheck.objects.exists()


def test_a_check_goes_with_its_vm_and_the_topic_is_told(town: Town) -> None:
    check = pinned(town)
    assert f"check:{check.uuid}" in snapshot_of("team:payments")["state"]
    town.web_1.delete()
    assert f"check:{check.uuid}" not in snapshot_of("team:payments")["state"]
    assert Event.objects.filter(type="check.deleted", object=f"check:{check.uuid}").exists()


def test_an_address_that_nobody_has_can_be_checked(town: Town) -> None:
    spec = TraceSpec(town.web_1, None, "tcp", 443, "198.51.100.7")
    check = add_check(town.cast.payments, town.cast.alice, spec, "dropped")
    run_checks(check.pk)
    check.refresh_from_db()
    assert check.state == "passing", check.reason
