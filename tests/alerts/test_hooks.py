"""Channels against real receivers: signed, tried again with growing pauses, never to an address inside, given up in the end."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.alerts.models import Channel, Delivery
from portal.alerts.requests import AlertProblem, ChannelSpec, add_channel, try_channel
from portal.alerts.telling import take_events
from portal.live.models import Event
from tasks.hooks.deliver import LEASE, MOST_ATTEMPTS, MOST_FAILURES, PAUSES_S, deliver_due
from tests.alerts.receivers import Hook, hook_server, mail_server
from tests.cast import Cast
from tests.portal.clients import client_of, made_vm

LOOPBACK = ("127.0.0.0/8",)


@pytest.fixture
def hook(settings) -> Iterator[Hook]:  # type: ignore[no-untyped-def]
    settings.HOOKS_ALSO = LOOPBACK
    with hook_server() as server:
        yield server


def channel(cast: Cast, hook: Hook, kind: str = "webhook", **more: bool) -> Channel:
    return add_channel(cast.payments, cast.alice, ChannelSpec(kind, "pager", f"{hook.url}/in?x=1", **more))


def later() -> None:
    """Everything that waits is due."""
    Delivery.objects.update(next_at=timezone.now())


def test_a_webhook_is_signed_over_its_time_and_body(cast: Cast, hook: Hook) -> None:
    row = channel(cast, hook)
    try_channel(row, cast.alice)
    assert deliver_due() == 1
    path, headers, body = hook.got[0]
    at_s, mac = (part.partition("=")[2] for part in headers["Hopsight-Signature"].split(","))
    wanted = hmac.new(row.secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    assert path == "/in?x=1" and hmac.compare_digest(mac, wanted)
    assert json.loads(body)["words"] == "alice tests the channel pager of Payments"
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.answer[:3]) == ("done", 1, "200")
    assert headers["Hopsight-Delivery"] == str(delivery.uuid)


def test_what_does_not_arrive_is_tried_again_with_growing_pauses(cast: Cast, hook: Hook) -> None:
    hook.answers = [500, 302]
    try_channel(channel(cast, hook), cast.alice)
    for number, words in ((1, "answered 500"), (2, "answered 302")):
        before = timezone.now()
        deliver_due()
        delivery = Delivery.objects.get()
        pause = delivery.next_at - before
        assert delivery.state == "waiting" and words in delivery.answer
        assert timedelta(0) <= pause - timedelta(seconds=PAUSES_S[number - 1]) < timedelta(seconds=20)
        assert deliver_due() == 0  # not due yet
        later()
    deliver_due()
    assert Delivery.objects.get().state == "done"
    assert [path for path, _, _ in hook.got] == ["/in?x=1"] * 3  # the redirect was not followed


def test_it_is_given_up_and_a_channel_that_takes_nothing_is_switched_off(cast: Cast, hook: Hook) -> None:
    row = channel(cast, hook)
    hook.answers = [503] * 1000
    for _ in range(MOST_FAILURES):
        try_channel(row, cast.alice)
    Channel.objects.update(failures=0)
    for _ in range(MOST_ATTEMPTS):
        later()
        deliver_due()
    assert set(Delivery.objects.values_list("state", "attempts")) == {("failed", MOST_ATTEMPTS)}
    row.refresh_from_db()
    assert not row.is_on and "503" in row.off_reason
    hook.answers = []
    try_channel(row, cast.alice)  # a test switches it on again
    deliver_due()
    row.refresh_from_db()
    assert row.is_on and row.failures == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:192.168.0.1]", "localhost"])  # fmt: skip
def test_no_address_inside_is_reached_unless_a_setting_allows_it(cast: Cast, settings, address: str) -> None:  # type: ignore[no-untyped-def]
    spec = ChannelSpec("webhook", "inside", f"http://{address}:9/x")
    settings.HOOKS_ALSO = ()
    with pytest.raises(AlertProblem) as refused:
        add_channel(cast.payments, cast.alice, spec)
    assert "HOPSIGHT_HOOKS_ALSO" in refused.value.errors["target"][0]
    settings.HOOKS_ALSO = ("0.0.0.0/0", "::/0")
    row = add_channel(cast.payments, cast.alice, spec)
    settings.HOOKS_ALSO = ()  # as where a name leads inside, which is only known when it is looked up
    try_channel(row, cast.alice)
    deliver_due()
    assert "not on the internet" in Delivery.objects.get().answer


def test_two_senders_do_not_send_one_message_twice(cast: Cast, hook: Hook) -> None:
    try_channel(channel(cast, hook), cast.alice)
    Delivery.objects.update(next_at=timezone.now() + LEASE)  # somebody is at it
    assert deliver_due() == 0 and not hook.got


def test_every_event_of_the_team_arrives_once_and_in_order(cast: Cast, hook: Hook) -> None:
    made_vm(cast, "before")
    channel(cast, hook, gets_events=True)
    made_vm(cast, "after")
    wanted = list(Event.objects.filter(topic="team:payments", data__name="after").values_list("seq", flat=True))
    assert take_events() > 0 and take_events() == 0
    deliver_due()
    told = [json.loads(body) for _, _, body in hook.got]
    assert [one["seq"] for one in told] == sorted(one["seq"] for one in told)
    assert wanted and set(wanted) <= {one["seq"] for one in told}
    assert all(one["data"].get("name") != "before" for one in told)


def test_a_chat_is_told_in_words(cast: Cast, hook: Hook) -> None:
    try_channel(channel(cast, hook, "chat"), cast.alice)
    deliver_due()
    _, headers, body = hook.got[0]
    assert json.loads(body) == {"text": "alice tests the channel pager of Payments"}
    assert "Hopsight-Signature" not in headers


def test_a_letter_is_taken_by_the_mail_server(cast: Cast, settings) -> None:  # type: ignore[no-untyped-def]
    with mail_server() as (port, letters):
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        row = add_channel(cast.payments, cast.alice, ChannelSpec("email", "ops", "ops@example.com"))
        try_channel(row, cast.alice)
        deliver_due()
    assert Delivery.objects.get().state == "done"
    assert "Subject: [Hopsight] alice tests the channel ops of Payments" in letters[0]
    assert "To: ops@example.com" in letters[0]


@pytest.mark.parametrize(
    ("kind", "name", "target", "field"),
    [("pigeon", "a", "https://example.com", "kind"), ("webhook", "", "https://example.com", "name"), ("webhook", "a", "ftp://x", "target"),
     ("webhook", "a", "http://[", "target"), ("webhook", "a", "https://x:99999/", "target"), ("email", "a", "x@example.com", "target")],
)  # fmt: skip
def test_a_channel_that_cannot_be_is_refused_by_field(
    cast: Cast, settings, kind: str, name: str, target: str, field: str  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    settings.EMAIL_HOST = ""
    with pytest.raises(AlertProblem) as told:
        add_channel(cast.payments, cast.alice, ChannelSpec(kind, name, target))
    assert set(told.value.errors) == {field}


def test_the_page_shows_the_secret_once_and_what_was_sent(cast: Cast, hook: Hook) -> None:
    client = client_of(cast.alice)
    posted = {"kind": "webhook", "name": "pager", "target": hook.url, "alerts": "on"}
    made = client.post(reverse("channels"), posted, follow=True).content.decode()
    secret = Channel.objects.get().secret
    assert secret in made
    client.post(reverse("channel_act", args=[Channel.objects.get().uuid]), {"act": "test"})
    deliver_due()
    page = client.get(reverse("channels")).content.decode()
    assert secret not in page and "200 OK" in page
    assert client_of(cast.bob).get(reverse("channels")).status_code == 403
    assert client_of(cast.bob).get("/api/v1/channels").status_code == 403
