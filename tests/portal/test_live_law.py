"""The law of live topics over random histories: snapshot(n) + events(n+1..m) = snapshot(m), with real rows and a real Redis."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.compute.models import VM
from portal.compute.requests import VMProblem, delete_vm
from portal.hosts.models import Host
from portal.live.events import channel_of, connection
from portal.live.models import Event
from portal.live.publishers import host_changed, operation_changed, trace_changed, vm_changed, vm_deleted
from portal.live.topics import snapshot_of
from portal.live.transient import publish_transient
from portal.networks.models import FixedAddress, Port
from portal.operations.models import Operation
from portal.traces.models import TraceRequest
from tests.cast import Cast
from tests.portal.clients import made_host, made_trace, made_vm
from tests.portal.sockets import DEADLINE_S

NAMES = st.sampled_from(["web-1", "web-2", "db-1"])
CHANGES = st.one_of(
    st.tuples(st.just("create"), NAMES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("release"), NAMES),
    st.tuples(st.just("state"), NAMES, st.sampled_from(["running", "stopped", "unknown"])),
    st.tuples(st.just("operation"), NAMES, st.sampled_from(["running", "done", "failed"])),
    st.tuples(st.just("host"), st.sampled_from(["hv1", "hv2"]), st.sampled_from(["", "connection refused"])),
    st.tuples(st.just("trace"), st.sampled_from(["running", "done", "failed"])),
)
HISTORY = st.lists(CHANGES, max_size=12)
LAW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def apply(state: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    """What a reader holds after the events; core/live.ts does the same."""
    after = dict(state)
    for event in events:
        if event["type"].endswith(".deleted"):
            after.pop(event["object"], None)
        else:
            after[event["object"]] = event["data"]
    return after


def plain(value: Any) -> Any:
    """The value as it comes out of the wire."""
    return json.loads(json.dumps(value, default=str))


def change(cast: Cast, trace: TraceRequest, step: tuple[str, ...]) -> None:
    """One change of rows, told as the product tells it."""
    kind, name, *rest = step
    vm = VM.objects.filter(name=name).select_related("team", "image", "flavor", "host").first()
    if kind == "create" and vm is None:
        made_vm_or_not(cast, name)
    elif kind == "delete" and vm is not None:
        delete_vm(vm, cast.bob)
    elif kind == "release" and vm is not None:
        FixedAddress.objects.filter(port__vm=vm).delete()
        Port.objects.filter(vm=vm).delete()
        vm_deleted(vm)
        vm.delete()
    elif kind == "state" and vm is not None:
        vm.state = rest[0]
        vm.save()
        vm_changed(vm)
    elif kind == "operation" and (operation := Operation.objects.filter(object_name=name).first()):
        operation.state = rest[0]
        operation.save()
        operation_changed(operation)
    elif kind == "host":
        host = Host.objects.get(name=name)
        host.libvirt_error = rest[0]
        host.save()
        host_changed(host)
    elif kind == "trace":
        trace.state = name
        trace.result = {"verdict": "delivered"} if name == "done" else None
        trace.save()
        trace_changed(trace)


def made_vm_or_not(cast: Cast, name: str) -> None:
    try:
        vm = made_vm(cast, name)
        VM.objects.filter(pk=vm.pk).update(request_key=f"{name}-{vm.pk}")  # the name may be made again
    except VMProblem:
        pass


@given(before=HISTORY, after=HISTORY)
@LAW
def test_a_snapshot_and_the_events_after_it_are_the_later_snapshot(cast: Cast, before: Any, after: Any) -> None:
    trace = made_trace(cast)
    for name in ("hv1", "hv2"):
        if not Host.objects.filter(name=name).exists():
            made_host(name)
    topics = ("team:payments", "hosts", f"trace:{trace.uuid}")
    for step in before:
        change(cast, trace, step)
    first = {topic: snapshot_of(topic) for topic in topics}
    for step in after:
        change(cast, trace, step)
    for topic in topics:
        rows = Event.objects.filter(topic=topic, seq__gt=first[topic]["seq"]).order_by("seq")
        events = [{"type": row.type, "object": row.object, "data": row.data} for row in rows]
        last = snapshot_of(topic)
        assert [row.seq for row in rows] == list(range(first[topic]["seq"] + 1, last["seq"] + 1))
        assert plain(apply(plain(first[topic]["state"]), events)) == plain(last["state"]), topic


FLOWS = st.lists(
    st.tuples(st.sampled_from(["flow.changed", "flow.deleted"]), st.sampled_from("abc"), st.integers(0, 9)), max_size=12
)


@given(before=FLOWS, after=FLOWS)
@LAW
def test_the_law_holds_for_what_lives_in_redis_alone(cast: Cast, before: Any, after: Any) -> None:
    topic = "flows:hv9/br-int"
    with connection().pubsub() as reader:
        reader.subscribe(channel_of(topic))
        assert reader.get_message(timeout=DEADLINE_S)["type"] == "subscribe"
        publish_transient(topic, "flow.changed", "first", {"packets": 0})  # numbers begin with it
        for type_, object_, packets in before:
            publish_transient(topic, type_, object_, {"packets": packets})
        first = snapshot_of(topic)
        for type_, object_, packets in after:
            publish_transient(topic, type_, object_, {"packets": packets})
        last = snapshot_of(topic)
        heard = [json.loads(reader.get_message(timeout=DEADLINE_S)["data"]) for _ in (None, *before, *after)]
    events = [event for event in heard if event["seq"] > first["seq"]]
    assert [event["seq"] for event in events] == list(range(first["seq"] + 1, last["seq"] + 1))
    assert apply(first["state"], events) == last["state"]


def test_applying_an_event_twice_does_no_harm(cast: Cast) -> None:
    before = snapshot_of("team:payments")["state"]
    made_vm(cast)
    events = list(Event.objects.filter(topic="team:payments").order_by("seq").values("type", "object", "data"))
    assert apply(apply(before, events), events) == apply(before, events)


def test_a_change_that_was_rolled_back_has_no_number(cast: Cast) -> None:
    from django.db import transaction

    with pytest.raises(InterruptedError), transaction.atomic():
        made_vm(cast)
        raise InterruptedError
    assert snapshot_of("team:payments") == {"seq": 0, "state": {}}
