"""A trace's answer in the response to its question, by the real tracer over a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from portal.live.events import connection as redis_connection
from portal.networks.models import Port
from portal.traces import waiting
from portal.traces.desk import ORDERS, take_order
from portal.traces.models import TraceRequest
from sdn.model.cookie import Cause, CauseKind
from tasks.trace_kept import KEPT_S, Kept
from tasks.tracer import GIVEN_UP_AFTER, SENT_AGAIN_AFTER, Tracer, resend_traces
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_trace, made_vm

WAIT = {"Prefer": "wait=4"}


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracer]:
    """One thread of the tracer; its database connection ends with it."""
    monkeypatch.setattr("tasks.tracer.THREADS", 1)
    made = Tracer()
    made.start()
    yield made
    made.stop()
    made.wait()


def asked(cast: Cast) -> dict[str, object]:
    ports = [str(made_vm(cast, name).ports.get().uuid) for name in ("web-1", "db-1")]
    redis_connection().delete(ORDERS)
    return {"source": ports[0], "target": ports[1], "protocol": "tcp", "port_dst": 5432}


@pytest.mark.django_db(transaction=True)
def test_who_prefers_to_wait_gets_the_answer_with_the_question(cast: Cast, tracer: Tracer) -> None:
    answer = client_of(cast.bob).post("/api/v1/traces", asked(cast), content_type="application/json", headers=WAIT)
    assert answer.status_code == 200, answer.content
    assert answer.headers["Preference-Applied"] == "wait"
    assert answer.json()["state"] == "done"
    assert "is not running" in answer.json()["result"]["reason"]
    row = TraceRequest.objects.get()
    again = client_of(cast.bob).get(f"/api/v1/traces/{row.uuid}").json()
    assert {**again, "probe": None} == answer.json(), "what is handed over is what the row says"
    assert row.result == answer.json()["result"]


def test_without_a_tracer_the_question_is_kept_and_said_to_be_running(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    answer = client_of(cast.bob).post("/api/v1/traces", asked(cast), content_type="application/json", headers=WAIT)
    assert answer.status_code == 202
    assert TraceRequest.objects.get().state == "running"


def test_a_header_is_read_as_rfc_7240_says() -> None:
    read = waiting.preferred_wait_s
    assert [read(text) for text in ("wait=3", 'respond-async, wait="2"', "WAIT=999", "", "wait=x", "await=4")] == [3, 2, 4, 0, 0, 0]  # fmt: skip


def test_what_nobody_answered_is_sent_again_and_given_up_in_words(cast: Cast) -> None:
    redis_connection().delete(ORDERS)
    young, lost, old = (made_trace(cast) for _ in range(3))
    for row, age in ((lost, SENT_AGAIN_AFTER), (old, GIVEN_UP_AFTER)):
        TraceRequest.objects.filter(pk=row.pk).update(created_at=timezone.now() - age - timedelta(seconds=1))
    resend_traces()
    assert take_order() == lost.pk
    assert redis_connection().llen(ORDERS) == 0
    old.refresh_from_db()
    young.refresh_from_db()
    assert (old.state, young.state) == ("failed", "running")
    assert "No worker answered" in old.error


def test_what_is_kept_is_forgotten_with_the_generation_and_after_a_while(cast: Cast, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]  # fmt: skip
    made_host("hv1")
    now = [0.0]
    kept, cause = Kept(lambda: now[0]), Cause(CauseKind.NETWORK, cast.network.pk)
    assert cast.network.name in kept.explain(1, [cause])[cause].words
    assert [host.name for host in kept.hosts(1)] == ["hv1"]
    with django_assert_num_queries(0):
        kept.explain(1, [cause])
        kept.hosts(1)
    type(cast.network).objects.update(name="renamed-net")
    assert "renamed-net" not in kept.explain(1, [cause])[cause].words
    assert "renamed-net" in kept.explain(2, [cause])[cause].words
    type(cast.network).objects.update(name="again-net")
    now[0] += KEPT_S + 1
    assert "again-net" in kept.explain(2, [cause])[cause].words


def test_where_a_port_is_plugged_is_read_anew_and_what_was_asked_for_it_once_a_generation(cast: Cast, django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]  # fmt: skip
    port, hosts = made_vm(cast, "web-1").ports.get(), [made_host("hv1"), made_host("hv2")]
    rows, kept, addresses = Port.objects.filter(pk=port.pk), Kept(), port.addresses
    rows.update(host=hosts[0], ofport=3, tap="vnet3")
    before = kept.ports(1, [port.pk])[port.pk]
    rows.update(host=hosts[1], ofport=7, tap="vnet7", is_secured=False)
    kept.hosts(1)
    with django_assert_num_queries(1):
        now = kept.ports(1, [port.pk])[port.pk]
        seen = (now.host, now.ofport, now.tap, [row.address for row in now.addresses.all()], now.network.team.slug)
    assert seen == (hosts[1], 7, "vnet7", [row.address for row in addresses.all()], cast.network.team.slug)
    assert (before.host, before.ofport, before.tap) == (hosts[0], 3, "vnet3"), "who has it already keeps it as it was"
    count, _ = addresses.all().delete()
    assert [len(kept.ports(number, [port.pk])[port.pk].addresses.all()) for number in (1, 2)] == [count, 0]
    rows.update(host=None, ofport=None)
    assert kept.ports(2, [port.pk])[port.pk].host is None
    port.delete()
    assert kept.ports(2, [port.pk]) == {}
