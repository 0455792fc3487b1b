"""A bridge's history on its page and in the API: instants with cause and who, gaps, and two of them compared."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.accounts.audit import record as audit
from portal.topology.flow_rows import FlowDelta, pack
from portal.topology.models import FlowRecord
from sdn.reconcile import wire_flow
from tests.cast import Cast
from tests.portal.clients import client_of, made_flow_record, made_host

OURS = 0x4853 << 48 | 1 << 40 | 7
HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture
def history(cast: Cast) -> FlowRecord:
    """Bob adds a rule, a flow of ours comes; nobody could tell for 5 s; then a foreign flow was found."""
    record = made_flow_record(made_host())
    audit("group.change", cast.payments, cast.bob, ("group", "1", f"web{HOSTILE}"))
    at = timezone.now()
    record.changes.create(at=at, set_flows=1, generation=9, causes=[f"Rule of {HOSTILE}"], lines=pack([FlowDelta(wire_flow(40, 5, b"", OURS, b""))]))  # fmt: skip
    record.changes.create(at=at + timedelta(seconds=1), until=at + timedelta(seconds=6), kind="gap", why="the switch paused its monitor")  # fmt: skip
    record.changes.create(at=at + timedelta(seconds=6), kind="found", removed=1, foreign=1, lines=pack([FlowDelta(wire_flow(0, 1, b"", 0, b""), True)]))  # fmt: skip
    return record


def page(cast: Cast, **query: str) -> str:
    url = reverse("flows_history", args=("hv1", "br-int"))
    return client_of(cast.olga).get(f"{url}?{urlencode(query)}").content.decode()


def test_the_page_tells_when_why_and_who_and_where_nobody_could_tell(cast: Cast, history: FlowRecord) -> None:
    text = page(cast)
    assert text.count("data-instant") == 2 and text.count("data-gap") == 1
    assert "the switch paused its monitor" in text and "found after a gap" in text
    assert "bob " in text and "generation 9" in text
    assert HOSTILE not in text and "&lt;script&gt;" in text


def test_two_instants_are_compared_on_the_page_as_text_and_in_the_api(cast: Cast, history: FlowRecord) -> None:
    first, last = history.changes.first(), history.changes.last()
    assert first is not None and last is not None
    asked = {"from": (first.at - timedelta(microseconds=1)).isoformat(), "to": last.at.isoformat()}
    assert "1 added, 1 removed, 0 changed" in page(cast, **asked)
    lines = page(cast, **asked, **{"as": "text"}).splitlines()
    assert [line[0] for line in lines] == ["-", "+", "-", "+"]
    assert "table=40" in lines[3] and "priority=1 actions=drop" in lines[2]
    swapped = {"from": asked["to"], "to": asked["from"]}
    for given in (asked, swapped):
        told = client_of(cast.olga).get("/api/v1/flows/hv1/br-int/diff", given).json()
        assert (told["added"], told["removed"], told["changed"]) == (1, 1, 0)
        assert [(line["sign"], line["foreign"]) for line in told["lines"]] == [("-", True), ("+", False)]
    at_one = client_of(cast.olga).get("/api/v1/flows/hv1/br-int/diff", {"from": asked["to"], "to": asked["to"]}).json()
    assert at_one["lines"] == []


def test_an_instant_that_is_not_kept_or_none_is_said_with_what_is_allowed(cast: Cast, history: FlowRecord) -> None:
    old = page(cast, **{"from": "2001-01-01T00:00:00Z", "to": timezone.now().isoformat()})
    assert "the flows of that instant are not kept: the oldest kept is 20" in old
    assert "an ISO time is allowed" in page(cast, **{"from": "yesterday", "to": HOSTILE})
    refused = client_of(cast.olga).get("/api/v1/flows/hv1/br-int/diff", {"from": "yesterday"})
    assert refused.status_code == 422 and "an ISO time" in refused.json()["errors"]["from"][0]


def test_the_api_lists_the_instants_and_a_team_member_sees_none(cast: Cast, history: FlowRecord) -> None:
    told = client_of(cast.olga).get("/api/v1/flows/hv1/br-int/history").json()
    assert [one["kind"] for one in told["instants"]] == ["found", "gap", "changed"]
    assert told["instants"][2]["acts"][0].startswith("bob ")
    assert client_of(cast.alice).get("/api/v1/flows/hv1/br-int/history").status_code == 403
