"""A router's own packet: to a VM of a subnet that it has a leg in, and outside.

(payments-router, on every host)==vni 4097==[br-int@hv1]--7--[web-1]
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse

from portal.networks.models import Router
from portal.traces.models import TraceRequest
from tests.portal.clients import client_of
from tests.traces.conftest import Street


@pytest.fixture
def routed(street: Street) -> Street:
    Router.objects.filter(pk=street.cast.router.pk).update(gateway_host=street.host)
    street.install()
    return street


def ask(street: Street, **asked: Any) -> Any:
    body = {"router": street.cast.router.name, "target": "web-1", "protocol": "tcp", "port_dst": 22, **asked}
    return client_of(street.cast.bob).post("/api/v1/traces", json.dumps(body), content_type="application/json")


def answered(street: Street, response: Any) -> dict[str, Any]:
    assert response.status_code in (202, 302), response.content
    street.answer()
    row = TraceRequest.objects.latest("id")
    assert row.result is not None, row.error
    return row.result  # type: ignore[no-any-return]


def test_it_is_judged_by_the_vms_own_groups_as_the_subnets_gateway(routed: Street) -> None:
    result = answered(routed, ask(routed))
    assert [hop["kind"] for hop in result["hops"][:3]] == ["router", "tunnel_decap", "bridge"]
    gateway = routed.cast.network.subnets.all()[0].gateway
    assert result["packet"]["nw_src"] == gateway
    assert result["packet"]["dl_src"] == routed.cast.network.router_mac
    tables = [step["table"] for hop in result["hops"] for step in hop["steps"]]
    assert tables[:2] == [0, 50] and 65 in tables, "in by the tunnel, and through web-1's rules"
    assert result["verdict"] == "dropped", "web-1 is in a group that lets nobody in"
    page = client_of(routed.cast.bob).get(reverse("trace", args=[TraceRequest.objects.latest("id").uuid]))
    assert routed.cast.router.name in page.content.decode() and 'value="router:' in page.content.decode()


def test_outside_it_is_translated_on_its_gateway_host(routed: Street) -> None:
    result = answered(routed, ask(routed, target="203.0.113.80", protocol="icmp"))
    tables = [step["table"] for hop in result["hops"] for step in hop["steps"]]
    assert tables[:2] == [0, 45], "in by the router's own tunnel, and to its translation"
    assert result["hops"][0]["object"] == routed.cast.router.name


def test_the_form_offers_the_teams_routers(routed: Street) -> None:
    client = client_of(routed.cast.bob)
    name = routed.cast.router.name
    assert f'value="router:{name}"' in client.get(reverse("trace_new")).content.decode()
    form = {"source": f"router:{name}", "target": "web-1", "protocol": "icmp", "port_dst": "0"}
    assert answered(routed, client.post(reverse("trace_new"), form))["hops"][0]["kind"] == "router"
    assert f"router:{name}" not in client_of(routed.cast.dana).get(reverse("trace_new")).content.decode()


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({"router": "nowhere"}, "router", "was given; Payments has"),
        ({"protocol": "arp"}, "protocol", "a router's icmp, tcp, udp, sctp is followed"),
        ({"target": "nobody"}, "target", "nobody"),
        ({"moment": "next"}, "moment", "waited for now, at a VM's own port"),
        ({"deliver": True}, "deliver", "nothing else is handed over"),
    ],
)
def test_what_a_router_does_not_send_is_said(routed: Street, asked: dict[str, Any], field: str, words: str) -> None:
    answer = ask(routed, **asked)
    assert answer.status_code == 422 and words in answer.json()["errors"][field][0], answer.content


def test_without_a_leg_or_a_way_outside_it_says_so(routed: Street) -> None:
    Router.objects.filter(pk=routed.cast.router.pk).update(external=None)
    answer = ask(routed, target="203.0.113.80")
    assert answer.status_code == 422 and "leads to no external network" in answer.json()["errors"]["target"][0]
    routed.cast.router.ports.all().delete()
    answer = ask(routed)
    assert answer.status_code == 422 and "has no leg in a subnet of web-1" in answer.json()["errors"]["target"][0]
