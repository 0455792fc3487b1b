"""One real packet a second: rows, orders over a real Redis, what is stored of each packet, and how it ends.

The controller's end of the orders is played by a thread that takes them off the same list and answers as told.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import AuditRow
from portal.live.events import connection
from portal.live.transient import transient_snapshot
from portal.traces import probings
from portal.traces.models import Probing, TraceRequest
from portal.traces.probings import ORDERS, start_probing, stop_probing
from portal.traces.requests import TraceSpec, create_trace
from sdn.pipeline import DROP_REASON_BY_NAME, TABLE_BY_NAME, Register
from tasks import prober
from tasks.probe_desk import ANSWERS
from tasks.probe_desk import ORDERS as PROBE_ORDERS
from tasks.prober import LEFT, OVER, Prober, end_silent, run_probing
from tests.cast import Cast
from tests.portal.clients import client_of, made_host, made_probing, made_vm
from tests.waiting import wait_for

Report = dict[str, Any]
ARRIVED: Report = {
    "host": "hv1", "table_id": TABLE_BY_NAME["output"].table_id, "cookie": 0, "in_port": 5, "after_us": 900.0,
    "registers": {str(int(Register.OUT)): 7}, "error_us": 100.0, "frame": "", "is_handed_over": False,
}  # fmt: skip
DROPPED = ARRIVED | {
    "table_id": TABLE_BY_NAME["drop"].table_id,
    "registers": {
        str(int(Register.DROP_REASON)): DROP_REASON_BY_NAME["ingress_denied"].code,
        str(int(Register.DROP_TABLE)): TABLE_BY_NAME["ingress_rules"].table_id,
    },
}


def traced(cast: Cast) -> TraceRequest:
    """A trace between two VMs, the first of them plugged in."""
    web, db = (made_vm(cast, name).ports.get() for name in ("web-1", "db-1"))
    web.host, web.ofport = made_host(), 5
    web.save()
    return create_trace(cast.payments, cast.alice, TraceSpec(web, db, "tcp", 22))


@contextmanager
def controller(*answers: list[Report]) -> Iterator[None]:
    """Answers one order after another; the last answer again and again."""
    ended = threading.Event()
    connection().delete(PROBE_ORDERS)

    def serve() -> None:
        at = 0
        while not ended.is_set():
            taken: Any = connection().blpop([PROBE_ORDERS], timeout=1)
            if taken:
                words = json.loads(taken[1])
                connection().rpush(ANSWERS + words["key"], json.dumps({"reports": answers[min(at, len(answers) - 1)]}))
                at += 1

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packets come one after another, so that a test need not wait for seconds."""
    monkeypatch.setattr(prober, "EVERY_S", 0.02)
    monkeypatch.setattr(probings, "MIN_SECONDS", 1)


@pytest.mark.usefixtures("quick")
def test_each_packet_is_stored_with_its_time_or_its_reason_and_told(cast: Cast) -> None:
    row = start_probing(traced(cast), cast.alice, 1)
    with controller([ARRIVED], [DROPPED], [], [ARRIVED]):
        run_probing(row.pk, threading.Event())
    row.refresh_from_db()
    assert (row.state, row.why) == ("done", OVER)
    samples = list(row.samples.all())
    assert (samples[0].latency_us, samples[0].error_us, samples[0].reason) == (900.0, 100.0, "")
    assert samples[1].latency_us is None and "table 65 (ingress_rules) of hv1" in samples[1].reason
    assert "No switch reported it" in samples[2].reason
    assert row.sent == len(samples) > 3 and row.arrived == row.sent - 2
    told = transient_snapshot(f"probing:{row.uuid}")["state"][f"probing:{row.uuid}"]
    assert (told["state"], told["sent"], told["arrived"]) == ("done", row.sent, row.arrived)


@pytest.mark.usefixtures("quick")
def test_without_a_controller_each_packet_says_that_it_was_not_sent(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.probe_desk.GRACE_S", 0.01)
    monkeypatch.setattr(prober, "WITHIN_S", 0.2)
    row = start_probing(traced(cast), cast.alice, 1)
    run_probing(row.pk, threading.Event())
    reasons = {sample.reason for sample in row.samples.all()}
    assert len(reasons) == 1 and "No packet was sent: the controller did not take the order" in reasons.pop()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick")
def test_a_worker_takes_the_order_and_a_stop_ends_it(cast: Cast) -> None:
    connection().delete(ORDERS)
    made = Prober()
    made.start()
    try:
        with controller([ARRIVED]):
            row = start_probing(traced(cast), cast.alice, 600)
            wait_for(lambda: row.samples.count() > 2, 20, "packets are sent")
            stop_probing(row, cast.bob)
            assert (row.state, row.why) == ("done", "It was stopped.")
            sent = wait_for(lambda: _settled(row), 20, "no packet is sent any more")
        assert sent >= 3
    finally:
        made.stop()
        made.wait()
    assert [told.action for told in AuditRow.objects.filter(object_type="probing").order_by("id")] == ["probing.start", "probing.stop"]  # fmt: skip


def _settled(row: Probing) -> int:
    before = row.samples.count()
    time.sleep(0.2)
    return before if row.samples.count() == before else 0


def test_a_probing_ends_with_its_worker(cast: Cast) -> None:
    stopping = threading.Event()
    stopping.set()
    row = start_probing(traced(cast), cast.alice, 60)
    run_probing(row.pk, stopping)
    row.refresh_from_db()
    assert (row.state, row.why) == ("done", LEFT)


def test_what_no_worker_goes_on_with_is_ended_by_the_sweep(cast: Cast) -> None:
    row = start_probing(traced(cast), cast.alice, 60)
    end_silent()
    row.refresh_from_db()
    assert row.is_live, "it has just begun"
    Probing.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    end_silent()
    row.refresh_from_db()
    assert row.state == "failed" and "No worker" in row.why


def test_a_team_has_so_many_at_once_and_each_so_long(cast: Cast) -> None:
    trace, bob = traced(cast), client_of(cast.bob)
    url = f"/api/v1/traces/{trace.uuid}/probings"
    assert bob.post(url, {"seconds": 601}, content_type="application/json").status_code == 422
    for _ in range(probings.LIVE_PER_TEAM):
        assert bob.post(url, {"seconds": 60}, content_type="application/json").status_code == 202
    refused = bob.post(url, {"seconds": 60}, content_type="application/json")
    assert refused.status_code == 422 and "sends probes along 3 paths" in refused.content.decode()
    assert client_of(cast.charlie).post(url, {"seconds": 60}, content_type="application/json").status_code == 403


def test_the_page_starts_shows_and_stops_it(cast: Cast) -> None:
    trace, bob = traced(cast), client_of(cast.bob)
    page = reverse("trace", args=[trace.uuid])
    TraceRequest.objects.update(state="done", result=None)
    assert bob.post(reverse("probing_start", args=[trace.uuid]), {"seconds": "60"}).headers["Location"] == page
    row = Probing.objects.get()
    row.samples.create(number=1, at=timezone.now(), reason="A <b>rule</b> dropped it.")
    assert client_of(cast.dana).post(reverse("probing_stop", args=[row.uuid])).status_code == 404
    assert bob.post(reverse("probing_stop", args=[row.uuid])).headers["Location"] == page
    row.refresh_from_db()
    assert not row.is_live
    told = bob.get(f"/api/v1/probings/{row.uuid}").json()
    assert told["losses"] == [{"reason": "A <b>rule</b> dropped it.", "count": 1}]


def test_the_api_lists_a_teams_probings_in_pages_newest_first(cast: Cast) -> None:
    trace, charlie = traced(cast), client_of(cast.charlie)
    old, live, new = (made_probing(cast, trace, state) for state in ("done", "running", "failed"))
    page = charlie.get("/api/v1/probings?limit=2").json()
    assert [row["uuid"] for row in page["items"]] == [str(new.uuid), str(live.uuid)]
    rest = charlie.get(f"/api/v1/probings?cursor={page['next']}").json()
    assert [row["uuid"] for row in rest["items"]] == [str(old.uuid)] and rest["next"] is None
    row = rest["items"][0]
    assert (row["title"], row["trace"], row["created_by"]) == (trace.title, str(trace.uuid), "alice")
    assert (row["sent"], row["arrived"], row["seconds"]) == (2, 1, 60) and "samples" not in row
    assert [one["state"] for one in charlie.get("/api/v1/probings?state=running").json()["items"]] == ["running"]
    wrong = charlie.get("/api/v1/probings?state=flying")
    assert (
        wrong.status_code == 422 and "waiting, running, done, failed are allowed" in wrong.json()["errors"]["state"][0]
    )
    assert client_of(cast.dana).get("/api/v1/probings").json()["items"] == [], "another team's are not hers"


def test_a_pages_cost_does_not_grow_with_its_probings(cast: Cast) -> None:
    trace, bob = traced(cast), client_of(cast.bob)

    def asked() -> int:
        made_probing(cast, trace)
        with CaptureQueriesContext(connections["default"]) as queries:
            assert bob.get("/api/v1/probings").status_code == 200
        return len(queries)

    asked()
    assert asked() == asked()
