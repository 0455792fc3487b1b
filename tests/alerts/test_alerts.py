"""Alerts begin and end with their causes; people acknowledge and silence them; thresholds are means over time."""

from __future__ import annotations

import html
import math
import time

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import AuditRow
from portal.alerts.models import Alert, Delivery, Silence
from portal.alerts.requests import AlertProblem, ChannelSpec, acknowledge, add_channel, add_rule, silence
from portal.alerts.telling import watch_all, watch_team
from portal.compute.models import VM
from portal.history import series
from portal.history.store import write_samples
from portal.live.models import Event
from portal.live.topics import snapshot_of
from tests.cast import Cast
from tests.portal.clients import client_of, made_vm


@pytest.fixture
def crashed(cast: Cast) -> VM:
    vm = made_vm(cast)
    VM.objects.update(state="crashed", state_reason="out of memory")
    return vm


def watch(cast: Cast) -> None:
    watch_team(cast.payments, timezone.now())


def test_an_alert_begins_once_and_ends_with_its_cause(cast: Cast, crashed: VM) -> None:
    watch(cast)
    watch(cast)
    alert = Alert.objects.get()
    assert (alert.key, alert.is_bad, alert.ended_at) == (f"vm:{crashed.uuid}", True, None)
    assert f"alert:{alert.uuid}" in snapshot_of("team:payments")["state"]
    VM.objects.update(state="running")
    watch(cast)
    alert.refresh_from_db()
    assert alert.ended_at is not None
    assert f"alert:{alert.uuid}" not in snapshot_of("team:payments")["state"]
    VM.objects.update(state="crashed")
    watch_all()
    assert Alert.objects.count() == 2  # the same cause later is another trouble
    told = Event.objects.filter(topic="team:payments", type__startswith="alert.").order_by("seq")
    assert [event.type for event in told] == ["alert.changed", "alert.deleted", "alert.changed"]


def test_channels_are_told_of_the_beginning_and_the_end(cast: Cast, crashed: VM) -> None:
    add_channel(cast.payments, cast.alice, ChannelSpec("webhook", "pager", "https://example.com/x"))
    watch(cast)
    VM.objects.update(state="running")
    watch(cast)
    bodies = [delivery.body for delivery in Delivery.objects.order_by("id")]
    assert [body["type"] for body in bodies] == ["alert.firing", "alert.over"]
    assert bodies[0]["words"].startswith("Payments: VM web-1 crashed") and "out of memory" in bodies[0]["words"]


def test_a_silenced_cause_is_shown_and_nobody_is_told(cast: Cast, crashed: VM) -> None:
    add_channel(cast.payments, cast.alice, ChannelSpec("webhook", "pager", "https://example.com/x"))
    watch(cast)
    silence(Alert.objects.get(), cast.bob, 8)
    VM.objects.update(state="running")
    watch(cast)
    VM.objects.update(state="crashed")
    watch(cast)
    assert [one.type for one in Delivery.objects.all()] == ["alert.firing"]
    assert "silent until" in client_of(cast.charlie).get(reverse("alerts")).content.decode()
    silence(Alert.objects.filter(ended_at=None).get(), cast.bob, 0)
    assert not Silence.objects.exists()


def test_who_looks_after_it_is_seen_by_all(cast: Cast, crashed: VM) -> None:
    watch(cast)
    acknowledge(Alert.objects.get(), cast.bob)
    acknowledge(Alert.objects.get(), cast.alice)  # it has somebody
    assert "bob looks after it" in client_of(cast.charlie).get(reverse("alerts")).content.decode()
    assert list(AuditRow.objects.filter(action="alert.acknowledge").values_list("actor", flat=True)) == ["bob"]


def test_a_threshold_is_a_mean_over_its_minutes(cast: Cast) -> None:
    vm = made_vm(cast)
    VM.objects.update(state="running")
    rule = add_rule(cast.payments, cast.bob, "vm_cpu_percent", 80, 5)
    now = int(time.time()) // 10 * 10
    rest = (math.nan,) * 5
    for age_s, cpu in ((10, 100.0), (20, 100.0), (30, 10.0), (400, 100.0)):
        write_samples(series.VM, now - age_s, {vm.pk: (cpu, *rest)})
    watch(cast)
    assert not Alert.objects.exists()  # the mean of five minutes is 70
    write_samples(series.VM, now - 40, {vm.pk: (150.0, *rest)})
    watch(cast)
    alert = Alert.objects.get()
    assert alert.key == f"rule:{rule.uuid}:{vm.pk}" and "web-1: CPU of a VM is 90 %, above 80 %" in alert.words
    rule.delete()
    watch(cast)
    assert Alert.objects.get().ended_at is not None


@pytest.mark.parametrize(
    ("metric", "above", "minutes", "field"),
    [("pulse", 1, 5, "metric"), ("vm_cpu_percent", -1, 5, "above"), ("vm_cpu_percent", 1, 0, "minutes"), ("vm_cpu_percent", 1e99, 5, "above")],
)  # fmt: skip
def test_a_threshold_that_cannot_be_is_refused_by_field(
    cast: Cast, metric: str, above: float, minutes: int, field: str
) -> None:
    with pytest.raises(AlertProblem) as told:
        add_rule(cast.payments, cast.bob, metric, above, minutes)
    assert set(told.value.errors) == {field}


def test_the_page_adds_and_removes_a_threshold(cast: Cast) -> None:
    client = client_of(cast.bob)
    client.post(reverse("alerts"), {"metric": "team_dropped_pps", "above": "100", "minutes": "5"})
    assert "packets dropped, of all ports above 100 /s for 5 min" in client.get(reverse("alerts")).content.decode()
    for wrong in ("many", "nan", "inf", "-3", ""):
        answer = client.post(reverse("alerts"), {"metric": "team_dropped_pps", "above": wrong, "minutes": "5"})
        assert answer.status_code == 422, wrong
        assert f"“{wrong}” was given; a number is allowed" in html.unescape(answer.content.decode())
    client.post(reverse("alert_rule_remove", args=[cast.payments.alert_rules.get().uuid]))
    assert not cast.payments.alert_rules.exists()


def test_a_threshold_is_typed_with_its_unit(cast: Cast) -> None:
    client_of(cast.bob).post(reverse("alerts"), {"metric": "vm_memory_bytes", "above": "2 GiB", "minutes": "5"})
    assert cast.payments.alert_rules.get().above == 2 * 1024**3


def test_letters_are_offered_where_a_mail_server_is_set(cast: Cast, settings) -> None:  # type: ignore[no-untyped-def]
    for host, can_be in (("", False), ("mail.example.com", True)):
        settings.EMAIL_HOST = host
        page = client_of(cast.alice).get(reverse("channels")).content.decode()
        assert ("no mail server is set" in page) is not can_be
