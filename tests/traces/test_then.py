"""A trace at an instant: the recorded flows of then in shadow switches, told apart from now, with gaps and ends of memory said.

[web-1]--7--[br-int@hv1]--8--[db-1]: let in until a minute ago, kept out now
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import Membership
from portal.networks.models import Port
from portal.topology.flow_rows import FlowDelta, deltas_of, diff_tables, pack
from portal.topology.models import FlowChange, FlowRecord
from portal.traces.models import TraceRequest
from portal.traces.requests import TraceSpec, create_trace
from sdn.reconcile import WireFlow
from sdn.transport.codec import encode_flow
from tests.portal.clients import client_of
from tests.traces.conftest import Street, compiled

NOW = timezone.now()
OPENED, CLOSED = NOW - timedelta(minutes=30), NOW - timedelta(minutes=1)


def wire(street: Street) -> dict[object, WireFlow]:
    """The flows that the rows come to now, as the recorder sees them."""
    return {flow.key: flow for flow in map(encode_flow, compiled())}


@pytest.fixture
def record(street: Street) -> FlowRecord:
    """hv1's memory: open half an hour ago, closed a minute ago."""
    rule = street.closed.rules.create(direction="ingress", family=4, protocol="tcp", number_first=22, number_last=22)
    opened = wire(street)
    rule.delete()
    closed = wire(street)
    made = FlowRecord.objects.create(host=street.host, bridge="br-int", seen_at=NOW)
    made.checkpoints.create(at=OPENED, count=len(opened), flows=pack([FlowDelta(flow) for flow in opened.values()]))
    diff = diff_tables(opened, closed)  # type: ignore[arg-type]
    assert diff.removed
    made.changes.create(at=CLOSED, removed=len(diff.removed), generation=41, lines=pack(deltas_of(diff)))
    street.install()
    return made


def asked(street: Street, at: datetime | None, **more: object) -> TraceRequest:
    spec = TraceSpec(street.web, street.db, "tcp", 22, at=at)
    row = create_trace(street.cast.payments, street.cast.bob, spec)
    street.answer()
    row.refresh_from_db()
    assert row.result is not None, row.error
    return row


def test_then_it_was_let_in_and_now_it_is_not(street: Street, record: FlowRecord) -> None:
    then, after, now = (
        asked(street, at) for at in (CLOSED - timedelta(minutes=5), CLOSED + timedelta(seconds=1), None)
    )
    assert [row.result["verdict"] for row in (then, after, now) if row.result] == ["delivered", "dropped", "dropped"]
    assert after.result is not None and now.result is not None
    assert "ingress_rules" in after.result["reason"] and after.result["reason"] == now.result["reason"]
    assert after.result["generation"] == 41
    assert then.reply is not None and then.reply["verdict"] == "delivered"
    page = client_of(street.cast.charlie).get(reverse("trace", args=[then.uuid])).content.decode()
    assert "As of" in page and "Connections are not recorded" in page
    assert "As of" not in client_of(street.cast.charlie).get(reverse("trace", args=[now.uuid])).content.decode()


def test_a_port_is_where_the_flows_of_then_had_it(street: Street, record: FlowRecord) -> None:
    Port.objects.filter(pk=street.web.pk).update(ofport=99)
    row = asked(street, CLOSED - timedelta(minutes=5))
    assert row.result is not None and row.result["verdict"] == "delivered"
    text = json.dumps(row.result)
    assert "in_port=7" in text and "in_port=99" not in text


def test_a_gap_is_told_and_a_vm_that_was_nowhere_is_not_guessed(street: Street, record: FlowRecord) -> None:
    at = CLOSED - timedelta(minutes=10)
    gap = FlowChange.Kind.GAP
    record.changes.create(
        at=at - timedelta(minutes=1), until=at + timedelta(minutes=1), kind=gap, why="the host was away"
    )
    row = asked(street, at)
    assert row.result is not None
    assert any("nobody could tell hv1's flows (the host was away)" in words for words in row.result["findings"])
    record.checkpoints.update(flows=pack([]))
    row = asked(street, at)
    assert row.result is not None and row.result["verdict"] == "unknown"
    assert row.result["reason"] == "By the recorded flows web-1 was plugged into no switch then."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "a time such as"),
        ("2999-01-01", "yet to come"),
        ("2020-01-01 10:00", "longer ago than flows are kept"),
    ],
)
def test_an_instant_of_which_nothing_is_known_is_refused_in_words(street: Street, record: FlowRecord, text: str, words: str) -> None:  # fmt: skip
    body = {"source": str(street.web.uuid), "target": "db-1", "protocol": "icmp", "at": text}
    client = client_of(street.cast.bob)
    answer = client.post("/api/v1/traces", json.dumps(body), content_type="application/json")
    assert answer.status_code == 422 and words in answer.json()["errors"]["at"][0]
    assert words in client.post(reverse("trace_new"), body).content.decode()
    assert not TraceRequest.objects.exists()


def test_the_history_offers_a_trace_of_each_instant(street: Street, record: FlowRecord) -> None:
    url, link = reverse("flows_history", args=["hv1", "br-int"]), f"{reverse('trace_new')}?at="
    assert link not in client_of(street.cast.olga).get(url).content.decode(), "who is in no team traces nothing"
    Membership.objects.create(user=street.cast.olga, team=street.cast.payments, role="viewer")
    assert link in client_of(street.cast.olga).get(url).content.decode()
