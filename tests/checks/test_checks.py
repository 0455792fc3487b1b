"""Path checks: pinned, looked at after every change, and a turn says what changed."""

from __future__ import annotations

from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from portal.checks.models import CheckTurn, PathCheck
from portal.checks.requests import add_check
from portal.live.models import Event
from portal.live.topics import snapshot_of
from portal.networks.groups import add_rule, remove_rule
from portal.networks.rule_check import RuleSpec
from portal.traces.requests import TraceSpec
from tasks.checks import PERIOD_S, run_checks
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
