"""Alerts are kept in English, shown and written in letters in the language of whom they are for; webhooks and chats stay English."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone, translation

from portal.alerts.letters import letter_words
from portal.alerts.models import Alert, AlertRule, Channel, Delivery
from portal.alerts.rules import METRICS, rule_words
from portal.alerts.telling import watch_team
from portal.compute.models import VM, VMState
from portal.config.told import told
from portal.config.units import UNITS, with_units
from tasks.hooks.send import send, words_of
from tests.cast import Cast, make_cast
from tests.portal.clients import client_of, made_vm

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_server")]
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def cast() -> Cast:
    cast = make_cast()
    cast.alice.language, cast.alice.email = "ru", "Alice@example.com"
    cast.alice.save()
    made_vm(cast, "web")
    return cast


def _crash(cast: Cast, target: str) -> Delivery:
    channel = Channel.objects.create(
        team=cast.payments, kind="email", name="ops", target=target, gets_alerts=True, is_on=True
    )
    VM.objects.update(state=VMState.CRASHED, state_reason="web has no host")
    watch_team(cast.payments, NOW)
    return channel.deliveries.select_related("channel__team").get(body__data__key__startswith="vm:")


def test_a_letter_is_in_the_language_of_the_member_who_has_the_address(cast: Cast, settings) -> None:  # type: ignore[no-untyped-def]
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    send(_crash(cast, "alice@example.com"))
    (letter,) = mail.outbox
    assert letter.subject.startswith("[Hopsight] Payments: ВМ web")
    assert "упала" in letter.subject
    assert '"words": "VM web crashed"' in letter.body
    assert json.loads(letter.body.partition("\n\n")[2])["words"] == "VM web crashed"


def test_a_letter_to_nobody_s_address_is_in_english_and_so_is_a_chat(cast: Cast, settings) -> None:  # type: ignore[no-untyped-def]
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    delivery = _crash(cast, "ops@example.com")
    send(delivery)
    assert mail.outbox[0].subject == "[Hopsight] Payments: VM web crashed. web has no host"
    with translation.override("ru"):
        assert words_of(delivery) == "Payments: VM web crashed. web has no host"
        assert letter_words(delivery) != words_of(delivery)


def test_what_is_over_is_written_in_russian_too(cast: Cast) -> None:
    _crash(cast, "alice@example.com")
    VM.objects.update(state=VMState.RUNNING, state_reason="")
    watch_team(cast.payments, NOW)
    delivery = Delivery.objects.select_related("channel__team").get(
        type="alert.over", body__data__key__startswith="vm:"
    )
    with translation.override("ru"):
        assert letter_words(delivery).startswith("Payments: кончилось: ВМ web")


def test_an_alert_is_kept_in_english_and_shown_in_russian(cast: Cast) -> None:
    _crash(cast, "alice@example.com")
    AlertRule.objects.create(team=cast.payments, metric="vm_sent_bps", above=2e6, minutes=5)
    alert = Alert.objects.get(key__startswith="vm:")
    page = client_of(cast.alice).get(reverse("alerts")).content.decode()
    assert alert.words == "VM web crashed"
    assert alert.words not in page
    assert "что отправляет ВМ больше 2 Мбит/с в течение 5 мин" in page


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_each_threshold_is_told_in_russian(cast: Cast, metric) -> None:  # type: ignore[no-untyped-def]
    rule = AlertRule(team=cast.payments, metric=metric.name, above=1e6, minutes=5, created_at=timezone.now())
    with translation.override("ru"):
        assert told(metric.words) != metric.words
        assert " больше " in told(rule_words(rule))


def test_each_unit_is_a_russian_one_after_a_number() -> None:
    with translation.override("ru"):
        assert [unit for unit in UNITS if with_units(f"7 {unit}") == f"7 {unit}"] == []
        assert with_units("7 seconds, 8 MiB of 9 GiB") == "7 seconds, 8 МиБ of 9 ГиБ"
    assert with_units("7 MiB") == "7 MiB"
