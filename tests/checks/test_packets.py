"""Every kind of packet that the form offers, followed over the flows compiled from rows.

[web-1]--[br-int@hv1]==[br-int@hv2]--[db-1]   all of group `closed`, which allows all out and nothing in
"""

from __future__ import annotations

import pytest
from django.urls import reverse

from portal.networks.groups import add_rule
from portal.networks.rule_check import RuleSpec
from portal.traces.forms import TraceForm
from portal.traces.models import TraceRequest
from portal.traces.packets import KINDS
from portal.traces.requests import TraceProblem, TraceSpec, create_trace, find_target
from sdn.model.trace import Trace
from sdn.trace import predict
from tasks.shadows import desk, read_intent
from tasks.trace_rows import question_of, read_ports, read_setting
from tests.checks.conftest import Town
from tests.portal.clients import client_of


def sent(town: Town, protocol: str, target: str = "", port_dst: int = 0) -> Trace:
    """The way of the packet that the form would ask about."""
    port, address, problem = find_target(town.cast.payments, town.web_1, target, protocol)
    assert not problem, problem
    asked = create_trace(town.cast.payments, town.cast.alice, TraceSpec(town.web_1, port, protocol, port_dst, address, "first"))  # fmt: skip
    rows = {one.pk: one for one in read_ports().filter(pk__in=[town.web_1.pk, port.pk if port else 0])}
    source, end = rows[town.web_1.pk], rows.get(port.pk) if port else None
    snapshot, views = read_intent()
    with desk.held() as held:
        stage = held.stage(snapshot, views)
        question, _ = question_of(asked, read_setting(tuple(rows.values())), source, end, "forward")
        return predict(question, stage.world, lambda causes: {})


def test_a_dhcp_question_goes_to_the_controller_although_nobody_typed_where(town: Town) -> None:
    trace = sent(town, "dhcp")
    assert trace.verdict == "to_controller", trace.reason
    assert (trace.packet["nw_src"], trace.packet["nw_dst"]) == ("0.0.0.0", "255.255.255.255")
    assert (trace.packet["tp_src"], trace.packet["tp_dst"]) == ("68", "67")


def test_a_dns_question_goes_to_the_gateway_of_the_network_by_itself(town: Town) -> None:
    gateway = next(row.gateway for row in town.web_1.network.subnets.all() if ":" not in row.gateway)
    trace = sent(town, "dns")
    assert trace.verdict == "to_controller", trace.reason
    assert (trace.packet["nw_dst"], trace.packet["tp_dst"]) == (gateway, "53")


def test_sctp_is_dropped_and_passes_by_its_own_rule_alone(town: Town) -> None:
    assert sent(town, "sctp", "db-1", 3868).verdict == "dropped"
    add_rule(town.closed, RuleSpec(protocol="tcp", ports="3868"), town.cast.bob)
    assert sent(town, "sctp", "db-1", 3868).verdict == "dropped"
    add_rule(town.closed, RuleSpec(protocol="sctp", ports="3868"), town.cast.bob)
    assert sent(town, "sctp", "db-1", 3868).verdict == "delivered"


@pytest.mark.parametrize(("protocol", "field"), [("arp", "arp_tpa"), ("nd", "nd_target")])
def test_who_has_it_is_asked_in_the_family_of_the_question(town: Town, protocol: str, field: str) -> None:
    own = {":" in row.address: row.address for row in town.db_1.addresses.all()}
    trace = sent(town, protocol, "db-1")
    assert trace.packet[field] == own[protocol == "nd"]
    assert trace.verdict == "delivered", trace.reason  # the switch answers both by itself


def test_the_form_offers_them_all_and_asks_no_target_where_none_is_needed(town: Town) -> None:
    page = client_of(town.cast.bob).get(reverse("trace_new")).content.decode()
    assert all(f'value="{name}"' in page for name in KINDS)
    given = {"source": str(town.web_1.uuid), "target": "", "protocol": "dhcp", "moment": "as_is", "size_bytes": "84"}
    assert TraceForm(given, team=town.cast.payments).is_valid()
    missing = TraceForm(given | {"protocol": "tcp", "port_dst": "22"}, team=town.cast.payments)
    assert "target is empty" in missing.errors["target"][0]


def test_a_packet_of_the_other_family_is_refused_in_words(town: Town) -> None:
    asked = TraceSpec(town.web_1, None, "arp", 0, "2001:db8::1")
    with pytest.raises(TraceProblem, match="IPv"):
        create_trace(town.cast.payments, town.cast.alice, asked)
    assert not TraceRequest.objects.exists()
