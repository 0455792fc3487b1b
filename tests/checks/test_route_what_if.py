"""What-ifs of static routes: a packet that has no way gets one on the copy, applied as the router's page would, or not at all.

[web-1]--[br-int@hv1: 172.16.0.0/16 by db-1]==[br-int@hv2]--[db-1]
"""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from portal.accounts.models import AuditRow
from portal.checks.models import WhatIf
from portal.checks.presentation import current_generation
from portal.networks.models import Port
from portal.networks.router_requests import add_route, remove_route
from portal.traces.models import TraceRequest
from tasks.what_ifs import run_what_if
from tests.checks.conftest import Town
from tests.portal.clients import client_of

FAR = "172.16.0.0/16"


def v4(port: Port) -> str:
    return str(port.addresses.get(address__contains=".").address)


def asked(town: Town, destination: str, next_hop: str, **more: str) -> WhatIf:
    given = {"router": str(town.cast.router.uuid), "destination": destination, "next_hop": next_hop, **more}
    answer = client_of(town.cast.bob).post(reverse("what_if_new"), given)
    assert answer.status_code == 302, answer.content.decode()
    run = WhatIf.objects.get(uuid=answer["Location"].rstrip("/").rpartition("/")[2])
    run_what_if(run.pk)
    run.refresh_from_db()
    assert run.state == "done", run.error
    return run


@pytest.fixture
def far_trace(town: Town) -> TraceRequest:
    """web-1 → 172.16.0.9, which only a route leads to; the router leads nowhere outside."""
    town.cast.router.external = None
    town.cast.router.save()
    town.closed.rules.create(direction="ingress", family=4, protocol="any")
    return TraceRequest.objects.create(
        team=town.cast.payments, created_by=town.cast.alice, title="web-1 → 172.16.0.9 icmp", source=town.web_1,
        address="172.16.0.9", protocol="icmp",
    )  # fmt: skip


def test_a_route_tried_shows_flows_and_the_trace_before_and_after_and_writes_nothing(
    town: Town, far_trace: TraceRequest
) -> None:
    before = current_generation()
    run = asked(town, FAR, v4(town.db_1), trace=str(far_trace.uuid))
    assert current_generation() == before and not town.cast.router.routes.exists()
    assert run.title == f"Route to {FAR} by {v4(town.db_1)}, router {town.cast.router.name}"
    assert run.result is not None and set(run.result["flows"]) == {"hv1", "hv2"}
    assert any(line.startswith("+ ") and f"nw_dst={FAR}" in line for line in run.result["flows"]["hv1"])
    assert run.result["before"]["verdict"] == "dropped" and "no route" in run.result["before"]["reason"].lower()
    assert run.result["after"]["verdict"] == "delivered" and "db-1" in run.result["after"]["reason"]
    page = client_of(town.cast.charlie).get(reverse("what_if", args=[run.uuid])).content.decode()
    assert "Now: dropped" in page and "With the change: delivered" in page


def test_apply_makes_that_route_once_and_a_replaced_one_goes(town: Town, far_trace: TraceRequest) -> None:
    add_route(town.cast.router, FAR, v4(town.db_1))
    run = asked(town, FAR, v4(town.web_2), trace=str(far_trace.uuid))
    assert run.action == "replace" and run.result is not None and "web-2" in run.result["after"]["reason"]
    url = reverse("what_if_apply", args=[run.uuid])
    assert client_of(town.cast.charlie).post(url).status_code == 403
    for _ in range(2):
        assert client_of(town.cast.bob).post(url).status_code == 302
    assert [(route.destination, route.next_hop) for route in town.cast.router.routes.all()] == [(FAR, v4(town.web_2))]
    assert AuditRow.objects.filter(object_type="router", actor="bob").count() == 2, "one taken away, one added"


def test_the_end_of_a_route_is_foretold_and_refused_when_somebody_was_faster(
    town: Town, far_trace: TraceRequest
) -> None:
    route = add_route(town.cast.router, FAR, v4(town.db_1))
    run = asked(town, FAR, "", trace=str(far_trace.uuid))
    assert run.result is not None
    assert (run.result["before"]["verdict"], run.result["after"]["verdict"]) == ("delivered", "dropped")
    remove_route(route)
    page = client_of(town.cast.bob).post(reverse("what_if_apply", args=[run.uuid]))
    assert page.status_code == 422 and "somebody removed it" in page.content.decode()
    assert client_of(town.cast.bob).post(reverse("what_if_discard", args=[run.uuid]))["Location"] == reverse("trace", args=[far_trace.uuid])  # fmt: skip


def test_pairs_whose_way_a_route_takes_over_are_told(town: Town) -> None:
    """A route is preferred to nothing that is attached: neighbours stay reachable, and are asked for by ping."""
    town.closed.rules.create(direction="ingress", family=4, protocol="icmp")
    run = asked(town, FAR, v4(town.db_1))
    assert run.result is not None and run.result["services"] == ["icmp"]
    assert run.result["pairs"] >= 6 and run.result["changed"] == []


def test_what_is_wrong_with_a_route_is_said_on_the_routers_page_and_by_the_api(town: Town) -> None:
    client, router = client_of(town.cast.bob), str(town.cast.router.uuid)
    page = client.post(
        reverse("what_if_new"), {"router": router, "destination": "172.16.0.1/16", "next_hop": "192.0.2.1"}
    )
    assert page.status_code == 422 and "172.16.0.1/16" in page.content.decode()
    for given, field in (({"destination": FAR, "next_hop": "192.0.2.9"}, "next_hop"), ({"destination": FAR}, "next_hop"), ({"destination": "x"}, "destination")):  # fmt: skip
        answer = client.post(
            "/api/v1/what-ifs", json.dumps({"router": router, **given}), content_type="application/json"
        )
        assert answer.status_code == 422 and field in answer.json()["errors"], answer.content
    assert "group" in client.post("/api/v1/what-ifs", "{}", content_type="application/json").json()["errors"]
    dana = client_of(town.cast.dana).post("/api/v1/what-ifs", json.dumps({"router": router, "destination": FAR}), content_type="application/json")  # fmt: skip
    assert dana.status_code == 404
    assert not WhatIf.objects.exists()
