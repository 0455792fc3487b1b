"""What can be asked: from outside to a floating address, with TCP's flags, and with header fields that no guest would send.

(outside)--[br-ex]--9--[br-int@hv1]--7--[web-1]     [db-1]--8--/
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse

from portal.networks.floating_requests import give_floating
from portal.traces.header_fields import read_fields
from portal.traces.models import TraceRequest
from tests.portal.clients import client_of
from tests.traces.conftest import Street


def post(street: Street, **asked: Any) -> Any:
    body = {"target": "db-1", "protocol": "tcp", "port_dst": 22, **asked}
    return client_of(street.cast.bob).post("/api/v1/traces", json.dumps(body), content_type="application/json")


def answered(street: Street, answer: Any) -> dict[str, Any]:
    assert answer.status_code in (202, 302), answer.content
    street.answer()
    row = TraceRequest.objects.latest("id")
    assert row.result is not None, row.error
    return row.result  # type: ignore[no-any-return]


def test_the_form_and_the_api_take_an_external_network_as_the_source(street: Street) -> None:
    floating = give_floating(street.cast.payments, street.web)
    street.install()
    for target in ("web-1", str(floating)):
        result = answered(street, post(street, outside="internet", target=target, source_address="203.0.113.80"))
        assert (result["packet"]["nw_src"], result["packet"]["nw_dst"]) == ("203.0.113.80", str(floating))
        assert result["hops"][0]["kind"] == "external" and result["verdict"] == "dropped"
    client = client_of(street.cast.bob)
    form = {"source": "outside:internet", "target": "web-1", "protocol": "tcp", "port_dst": "22"}
    assert answered(street, client.post(reverse("trace_new"), form))["hops"][0]["kind"] == "external"
    row = TraceRequest.objects.latest("id")
    page = client.get(reverse("trace", args=[row.uuid])).content.decode()
    assert 'value="outside:internet"' in page and "Trace again" in page
    again = client.get(f"{reverse('trace_new')}?source=outside:internet&target=web-1&source_address=203.0.113.80")
    assert (
        '<option value="outside:internet" selected>' in again.content.decode()
        and "203.0.113.80" in again.content.decode()
    )


def test_from_outside_by_ipv6_too(street: Street) -> None:
    four, six = (give_floating(street.cast.payments, street.web, family) for family in (4, 6))
    street.install()
    result = answered(street, post(street, outside="internet", target=str(six).upper()))
    assert (result["packet"]["ipv6_src"], result["packet"]["ipv6_dst"]) == ("2001:db8::1", str(six))
    assert result["hops"][0]["kind"] == "external"
    tables = [step["table"] for hop in result["hops"] for step in hop["steps"]]
    assert 49 in tables and 65 in tables, "translated, and judged by web-1's own groups"
    by_name = answered(street, post(street, outside="internet", target="web-1"))
    assert by_name["packet"]["nw_dst"] == str(four), "a name is reached by IPv4 first"
    refused = post(street, outside="internet", target=str(six), source_address="203.0.113.80")
    assert refused.status_code == 422 and "single IPv6 host" in refused.json()["errors"]["source_address"][0]


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({"outside": "moon"}, "outside", "external networks are internet"),
        ({"outside": "internet", "target": "db-1"}, "target", "from outside a floating address is reached"),
        ({"outside": "internet", "target": "web-1", "protocol": "arp"}, "protocol", "stays on one network"),
        ({"outside": "internet", "target": "web-1", "source_address": "fd00::1"}, "source_address", "single IPv4 host"),
        ({"outside": "internet", "target": "web-1", "moment": "next"}, "moment", "waited for now, at a VM's own port"),
        ({}, "source", "no source was given"),
        ({"outside": "internet", "target": "web-1", "deliver": True}, "deliver", "nothing else is handed over"),
    ],
)
def test_what_cannot_come_from_outside_is_said(street: Street, asked: dict[str, Any], field: str, words: str) -> None:
    give_floating(street.cast.payments, street.web)
    answer = post(street, **asked)
    assert answer.status_code == 422 and words in answer.json()["errors"][field][0], answer.content


def test_header_fields_are_the_packets_own(street: Street) -> None:
    street.closed.rules.create(direction="ingress", family=4, protocol="any")
    street.install()
    plain = answered(street, post(street, source=str(street.web.uuid)))
    assert plain["verdict"] == "delivered" and plain["packet"]["tcp_flags"] == "syn"
    finished = answered(
        street, post(street, source=str(street.web.uuid), header_fields="tcp_flags=+fin+ack, tp_src=53,nw_tos=184")
    )
    assert {name: finished["packet"][name] for name in ("tcp_flags", "tp_src", "nw_tos")} == {"tcp_flags": "fin|ack", "tp_src": "53", "nw_tos": "184"}  # fmt: skip
    assert finished["verdict"] == "delivered"
    spoofed = answered(street, post(street, source=str(street.web.uuid), header_fields="nw_src=10.20.0.250"))
    assert spoofed["verdict"] == "dropped" and "port_security" in spoofed["reason"]
    row = TraceRequest.objects.latest("id")
    assert row.probe is None, "no real packet is sent in another's name"
    page = client_of(street.cast.bob).get(reverse("trace", args=[row.uuid])).content.decode()
    assert "nw_src=10.20.0.250" in page


def test_the_form_takes_flags_and_fields(street: Street) -> None:
    form = {"source": str(street.web.uuid), "target": "db-1", "protocol": "tcp", "port_dst": "22", "tcp_flags": "rst", "header_fields": "nw_ttl=9"}  # fmt: skip
    result = answered(street, client_of(street.cast.bob).post(reverse("trace_new"), form))
    assert (result["packet"]["tcp_flags"], result["packet"]["nw_ttl"]) == ("rst", "9")
    wrong = client_of(street.cast.bob).post(reverse("trace_new"), form | {"header_fields": "nw_ttl=999,eth_type=5", "protocol": "udp"})  # fmt: skip
    told = wrong.content.decode()
    for words in ("0 to 255 is allowed", "allowed are dl_src", "tcp_flags is no field of udp"):
        assert words in told
    nobody = client_of(street.cast.bob).post(reverse("trace_new"), form | {"source": "outside:moon"})
    assert "choose one of the list" in nobody.content.decode()


@pytest.mark.parametrize(
    ("text", "protocol", "found"),
    [
        ("", "tcp", {}),
        ("eth_src=52:54:00:AA:00:01,ip_ttl=1", "icmp", {"dl_src": "52:54:00:aa:00:01", "nw_ttl": "1"}),
        ("tcp_flags=syn,icmp_type=8", "icmp", None),
        ("dl_src=52:54:00", "tcp", None), ("nw_tos=3", "tcp", None), ("tcp_flags=|", "tcp", None), ("nw_src=fd00::1", "tcp", None),
        ("x" * 301, "tcp", None), ("nw_ttl=٣", "tcp", None), ("resubmit(,9)", "tcp", None), ("nw_ttl=1,", "tcp", {"nw_ttl": "1"}),
    ],
)  # fmt: skip
def test_fields_are_read_or_refused_in_words(text: str, protocol: str, found: dict[str, str] | None) -> None:
    fields, problems = read_fields(text, protocol)
    assert bool(problems) == (found is None)
    if found is not None:
        assert fields == found
