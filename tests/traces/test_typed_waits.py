"""`manage.py trace --next` and `--deliver`: what the workers answer, as for anybody who asks, and what is written down.

The controller's part is played: a caught packet is settled as soon as it is ordered, a probe's order is answered over Redis.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from portal.accounts.models import AuditRow
from portal.traces.models import TraceRequest
from sdn.capture import Captured
from tasks.catching import _settle
from tasks.traces import run_trace
from tests.traces.conftest import Street
from tests.traces.test_next import syn
from tests.traces.test_probing import ARRIVED, controller
from tests.traces.test_typed import let_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_server")]
HANDED = ARRIVED | {"registers": {next(iter(ARRIVED["registers"])): 8}, "is_handed_over": True}


def trace(street: Street, *words: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("trace", "web-1", "db-1", *words, "--json", "--team", street.cast.payments.slug, stdout=out)
    return json.loads(out.getvalue())  # type: ignore[no-any-return]


@pytest.fixture
def worker(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is ordered is answered at once; its real packet is ordered from the controller."""
    let_in(street)
    for place in ("portal.traces.requests.order_trace", "tasks.catching.order_trace"):
        monkeypatch.setattr(place, run_trace)


def caught(monkeypatch: pytest.MonkeyPatch, *settled: Any) -> None:
    """The controller settles what it is told to wait for."""
    play: Callable[[dict[str, int]], None] = lambda order: _settle(order["catch"], *settled)  # noqa: E731
    monkeypatch.setattr("portal.traces.requests.send_order", play)


@pytest.mark.usefixtures("worker")
def test_the_next_connection_s_first_packet_is_the_one_that_is_told(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught(monkeypatch, [Captured(0, False, 1.0, syn(street.web, street.db))], "1 packets were caught")
    with controller([]):
        there, back = trace(street, "--tcp", "22", "--next"), trace(street, "--tcp", "22", "--next", "--return")
    assert (there["packet"]["tp_src"], there["verdict"], there["question"]["moment"]) == ("51234", "delivered", "next")
    assert (back["packet"]["tp_dst"], back["direction"]) == ("51234", "return")
    assert AuditRow.objects.filter(action="trace.next").count() == 2


@pytest.mark.usefixtures("worker")
def test_a_connection_that_never_came_is_an_error_in_words(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    caught(monkeypatch, [], "60 s are over")
    with pytest.raises(CommandError, match="No such connection was opened: 60 s are over"):
        trace(street, "--tcp", "22", "--next")


@pytest.mark.usefixtures("worker")
def test_a_packet_is_handed_over_and_that_is_written_down(street: Street) -> None:
    with controller([HANDED]):
        told = trace(street, "--tcp", "22", "--deliver", "--expect", "delivered")
    assert told["kind"] == "probed" and "it was given to the guest" in told["reason"]
    assert told["question"]["deliver"] is True
    row, written = TraceRequest.objects.get(), AuditRow.objects.get(action="trace.deliver")
    assert row.is_handed_over and row.created_by is None and written.object_id == str(row.uuid)


def test_what_cannot_be_waited_for_or_handed_over_names_its_option(street: Street) -> None:
    for words, told in (
        (("--deliver", "--set", "nw_ttl=1"), r"--deliver \(deliver\): a real packet is sent now"),
        (("--next", "--arp"), r"--moment, --next \(moment\): .*arp was given"),
    ):
        with pytest.raises(CommandError, match=told) as refused:
            trace(street, *words)
        assert refused.value.returncode == 2
    assert not TraceRequest.objects.exists()


def test_nobody_s_answer_is_said_to_be_one(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.trace_stored.ANSWER_WITHIN_S", 0.3)
    monkeypatch.setattr("portal.traces.requests.order_trace", lambda pk: None)
    with pytest.raises(CommandError, match=r"No worker answered within 0\.3 s: is one running"):
        trace(street, "--tcp", "22", "--deliver")
