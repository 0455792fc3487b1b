"""A query whose SQL is written once gives what Django's own gives, of what the database holds now."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from portal.accounts.models import Membership, User
from portal.config.kept_query import KeptQuery, with_rows
from portal.live.models import Topic
from portal.networks.models import FixedAddress, Port
from portal.operations.models import Operation
from portal.traces.models import TraceRequest
from tests.cast import Cast
from tests.portal.clients import made_trace, made_vm

OF_NAME = KeptQuery(lambda *uuids: Port.objects.filter(uuid__in=uuids).select_related("vm__team", "host", "network"))


def values(row: Port) -> list[object]:
    ends = (row, row.vm, row.vm and row.vm.team, row.host, row.network)
    return [one and {field.attname: getattr(one, field.attname) for field in one._meta.concrete_fields} for one in ends]


def test_it_reads_the_same_rows_as_djangos_own(cast: Cast) -> None:
    ports = [made_vm(cast, name).ports.get() for name in ("web-1", "db-1")]
    Port.objects.filter(pk=ports[1].pk).update(device_chain={"tap": {"mtu": 1442}}, wired_at=timezone.now())
    wanted = Port.objects.select_related("vm__team", "host", "network").filter(pk__in=[port.pk for port in ports])
    for _ in range(2):
        found = OF_NAME(*(port.uuid for port in ports))
        assert [values(row) for row in sorted(found, key=lambda row: row.pk)] == [values(row) for row in wanted.order_by("pk")]  # fmt: skip
    assert [row.pk for row in OF_NAME(ports[0].uuid)] == [ports[0].pk], "as many values as are given"
    with CaptureQueriesContext(connection) as queries:
        assert {row.network.name for row in OF_NAME(*(port.uuid for port in ports))} == {cast.network.name}
    assert len(queries) == 1, "what was selected along is there"


def test_it_keeps_the_words_and_never_the_rows(cast: Cast) -> None:
    running = KeptQuery(lambda pk: TraceRequest.objects.filter(pk=pk, state="running", is_handed_over=False))
    trace = made_trace(cast)
    TraceRequest.objects.filter(pk=trace.pk).update(state="running")
    assert [row.title for row in running(trace.pk)] == [trace.title]
    TraceRequest.objects.filter(pk=trace.pk).update(title="another")
    assert [row.title for row in running(trace.pk)] == ["another"]
    TraceRequest.objects.filter(pk=trace.pk).update(state="failed")
    assert running(trace.pk) == []
    assert running(trace.pk + 1) == []


def test_columns_that_are_left_out_are_read_when_they_are_asked_for(cast: Cast) -> None:
    port = made_vm(cast).ports.get()
    row = KeptQuery(lambda pk: Port.objects.filter(pk=pk).only("name"))(port.pk)[0]
    assert row.get_deferred_fields() >= {"mac", "uuid"}
    assert (row.name, row.mac, row.uuid) == (port.name, port.mac, port.uuid)


def test_times_are_compared_as_djangos_own_are(cast: Cast) -> None:
    since = KeptQuery(lambda at: Operation.objects.filter(created_at__gt=at))
    made_vm(cast)
    now = timezone.now()
    assert len(since(now - timedelta(minutes=5))) == Operation.objects.count() > 0
    assert since(now + timedelta(minutes=5)) == []


def test_a_query_that_changes_its_values_or_counts_is_refused(cast: Cast) -> None:
    with pytest.raises(ValueError, match="not every value"):
        KeptQuery(lambda name: Topic.objects.filter(name__contains=name))("team")
    with pytest.raises(ValueError, match="annotations"):
        KeptQuery(lambda pk: Port.objects.filter(pk=pk).annotate(doubled=F("pk") * 2))(1)


def test_rows_of_a_relation_are_given_as_if_they_had_been_fetched_before(cast: Cast) -> None:
    port = made_vm(cast).ports.get()
    rows = list(FixedAddress.objects.filter(port=port))
    with_rows(port, "addresses", rows)
    with CaptureQueriesContext(connection) as queries:
        assert list(port.addresses.all()) == rows != []
    assert not queries.captured_queries


def test_a_session_holds_what_djangos_own_reads_until_it_is_over(cast: Cast) -> None:
    stores = import_module(settings.SESSION_ENGINE)
    session = stores.SessionStore()
    session["team"] = "payments"
    session.save()
    key = session.session_key
    plain = import_module("django.contrib.sessions.backends.db").SessionStore(key)
    assert stores.SessionStore(key).load() == plain.load() == {"team": "payments"}
    Session.objects.filter(pk=key).update(expire_date=timezone.now() - timedelta(seconds=1))
    for gone in (key, "0" * 32, None):
        store = stores.SessionStore(gone)
        assert store.get("team") is None
        assert store.session_key is None, "a key that nobody gave out is not taken over"


def test_a_person_of_something_is_no_other_person(cast: Cast) -> None:
    """The manager of a relation is made of the class of the model's own."""
    robot = User.objects.create(username="robot", service_of=cast.payments)
    assert cast.payments.services.get(pk=robot.pk) == robot
    with pytest.raises(User.DoesNotExist):
        cast.payments.services.get(pk=cast.dana.pk)
    with pytest.raises(User.DoesNotExist):
        User.objects.filter(is_operator=True).get(pk=cast.bob.pk)


def test_a_person_is_read_by_number_as_by_anything_else(cast: Cast) -> None:
    assert User.objects.get(pk=cast.bob.pk) == User.objects.get(username="bob") == cast.bob
    with pytest.raises(User.DoesNotExist):
        User.objects.get(pk=10**6)
    with CaptureQueriesContext(connection) as queries:
        assert Membership.objects.get(user=User.objects.get(pk=cast.bob.pk)).role == "member"
    assert len(queries) == 2
