"""What-ifs of flows: Open vSwitch itself says what changes, who reaches whom then, and nothing is installed.

[web-1]--[br-int@hv1]==[br-int@hv2]--[db-1]   [web-2]--[br-int@hv1]--hs-ex [patch] hs-int--[br-ex@hv1]
"""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.checks.models import FlowWhatIf
from portal.checks.presentation import current_generation
from portal.hosts.models import Host
from portal.live.topics import snapshot_of
from portal.topology.flow_rows import FlowDelta, pack
from portal.topology.models import FlowChange, FlowRecord, HostSeen
from sdn.compiler import compile_host
from sdn.model.flow import Flow, FlowKey
from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen, switch_to_json
from sdn.transport.codec import encode_flow
from tasks.flow_what_ifs import run_flow_what_if
from tasks.shadows import read_intent
from tests.checks.conftest import Town
from tests.portal.clients import client_of

FOREIGN = Flow(FlowKey(0, 950, (("udp", ""), ("tp_dst", "9"))), 0x77, ())
NORMAL = Flow(FlowKey(0, 0, ()), 0, (f"output:{0xFFFFFFFA}",))


def port(name: str, ofport: int, type_: str = "", peer: str = "") -> PortSeen:
    remote = "flow" if type_ == "vxlan" else ""
    return PortSeen(name, (InterfaceSeen(name, type_, ofport, link="up", peer=peer, remote_ip=remote),))


@pytest.fixture
def recorded(town: Town) -> Town:
    """hv1 as its controller and recorder left it: br-int with what the rows make of it and a foreign flow, and br-ex."""
    town.closed.rules.create(direction="ingress", family=4, protocol="any")
    snapshot, views = read_intent()
    host = Host.objects.get(name="hv1")
    view = next(view for view in views if view.host == "hv1")
    own = [("vxlan0", view.tunnel_ofport, "vxlan", ""), ("hs-ex", view.external_ofport, "patch", "hs-int")]
    ports = [port(name, number, type_, peer) for name, number, type_, peer in own if number]
    ports += [port(f"vnet{one.ofport}", one.ofport or 0) for one in (town.web_1, town.web_2)]
    bridges = (
        BridgeSeen("br-ex", "netdev", "", "none", (port("hs-int", 2, "patch", "hs-ex"), port("eth1", 1))),
        BridgeSeen("br-int", "netdev", "secure", "connected", tuple(ports)),
    )
    HostSeen.objects.create(host=host, switch=json.loads(json.dumps(switch_to_json(SwitchSeen("3.1.0", bridges)))))
    for bridge, flows in (("br-int", [*compile_host(snapshot, view), FOREIGN]), ("br-ex", [NORMAL])):
        record = FlowRecord.objects.create(host=host, bridge=bridge, seen_at=timezone.now())
        packed = pack(FlowDelta(encode_flow(flow)) for flow in flows)
        record.checkpoints.create(at=timezone.now() - timedelta(seconds=1), count=len(flows), flows=packed)
    return town


def asked(town: Town, **given: str) -> FlowWhatIf:
    """What was asked on the page, answered."""
    form = {"place": "hv1 br-int", "action": "add", **given}
    answer = client_of(town.cast.olga).post(reverse("flow_what_if_new"), form)
    assert answer.status_code == 302, answer.content.decode()
    run = FlowWhatIf.objects.get(uuid=answer["Location"].rstrip("/").rpartition("/")[2])
    run_flow_what_if(run.pk)
    run.refresh_from_db()
    return run


def page(town: Town, run: FlowWhatIf) -> str:
    return client_of(town.cast.olga).get(reverse("flow_what_if", args=[run.uuid])).content.decode()


def changed(run: FlowWhatIf) -> set[tuple[str, str, str, str]]:
    assert run.state == "done" and run.result is not None, run.error
    return {(one["source"], one["target"], one["service"], one["after"]) for one in run.result["changed"]}


def test_a_foreign_drop_tells_every_pair_that_it_cuts_and_the_packets_way_before_and_after(recorded: Town) -> None:
    before = current_generation(), FlowChange.objects.count()
    web_1 = recorded.web_1
    address = web_1.addresses.get(address__contains=".").address
    packet = f"in_port={web_1.ofport},tcp,dl_src={web_1.mac},dl_dst={recorded.db_1.mac},nw_src={address},nw_dst={recorded.db_1.addresses.get(address__contains='.').address},tp_dst=443"  # fmt: skip
    run = asked(
        recorded, flow=f"table=0,priority=960,tcp,in_port={web_1.ofport},tp_dst=443 actions=drop", packet=packet
    )
    assert changed(run) == {(web_1.name, other, "tcp/443", "dropped") for other in ("web-2", "db-1")}
    assert run.result is not None and run.result["pairs"] == 6
    ((sign, line, ours),) = run.result["lines"]
    assert (sign, ours) == ("+", False) and "priority=960" in line and f"in_port={web_1.ofport}" in line
    assert (run.result["before"]["verdict"], run.result["after"]["verdict"]) == ("delivered", "dropped")
    assert (current_generation(), FlowChange.objects.count()) == before
    text = page(recorded, run)
    assert "Verdicts that change: 2" in text and "Now: " in text and "4 stay as they are" in text
    assert "Hopsight leaves foreign flows as they are" in text
    assert "ovs-ofctl -O OpenFlow14 --bundle add-flow br-int" in text
    state = snapshot_of("hosts")["state"][f"flow_what_if:{run.uuid}"]
    assert state == {"state": "done", "generation": run.generation}


def test_a_flow_of_ours_that_is_removed_would_be_put_back_and_that_is_said(recorded: Town) -> None:
    run = asked(
        recorded, action="remove", flow=f"table=0,priority={_classify(recorded)},in_port={recorded.web_2.ofport}"
    )
    assert ("web-2", "web-1", "icmp", "dropped") in changed(run)
    assert run.result is not None and [(sign, ours) for sign, _, ours in run.result["lines"]] == [("-", True)]
    text = page(recorded, run)
    assert "its controller would put it back" in text and "nothing to apply" in text and "Apply" not in text


def _classify(town: Town) -> int:
    snapshot, views = read_intent()
    flows = compile_host(snapshot, next(view for view in views if view.host == "hv1"))
    match = (("in_port", str(town.web_2.ofport)),)
    return next(flow.key.priority for flow in flows if flow.key.table_id == 0 and flow.key.match == match)


def test_a_foreign_flow_is_given_other_actions_and_no_verdict_changes(recorded: Town) -> None:
    run = asked(recorded, action="edit", flow="table=0,priority=950,udp,tp_dst=9 actions=NORMAL")
    assert run.result is not None and [(sign, ours) for sign, _, ours in run.result["lines"]] == [("~", False)]
    assert run.result["services"] == ["udp/9"]


def test_a_foreign_bridges_packet_is_followed_and_no_pair_is_asked(recorded: Town) -> None:
    packet = "in_port=eth1,udp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=203.0.113.9,nw_dst=203.0.113.8,tp_dst=53"
    run = asked(recorded, place="hv1 br-ex", flow="table=0,priority=5,udp actions=drop", packet=packet)
    assert changed(run) == set() and run.result is not None
    assert run.result["after"]["verdict"] == "dropped" != run.result["before"]["verdict"]
    text = page(recorded, run)
    assert "br-ex is not Hopsight’s" in text and "does not go by br-ex" in text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"flow": "table=0,priority=5,nonsense=1 actions=drop"}, "Open vSwitch does not take this flow: "),
        ({"flow": "table=0,udp actions=output:fish"}, "Open vSwitch does not take this flow: "),
        ({"action": "remove", "flow": "table=0,priority=951,udp,tp_dst=9"}, "has this table, priority and match"),
        ({"flow": "cookie=0x77,table=0,priority=950,udp,tp_dst=9 actions=drop"}, "has exactly this flow already"),
        (
            {"flow": "table=0,udp actions=drop", "packet": "tcp"},
            "The packet cannot be followed: the flow has no in_port",
        ),
    ],
)
def test_what_cannot_be_tried_says_why_in_open_vswitchs_words(
    recorded: Town, given: dict[str, str], words: str
) -> None:
    run = asked(recorded, **given)
    assert run.state == "failed" and words in run.error
    assert "It could not be tried" in page(recorded, run)


def test_what_is_asked_wrongly_is_refused_all_at_once_and_is_the_operators(recorded: Town) -> None:
    client = client_of(recorded.cast.olga)
    asked_wrongly = {"host": "hv9", "bridge": "br-x", "action": "paint", "flow": "a\nb", "packet": "é"}
    answer = client.post("/api/v1/flow-what-ifs", asked_wrongly, content_type="application/json")
    assert answer.status_code == 422 and set(answer.json()["errors"]) == {"host", "action", "flow", "packet"}
    for given, words in (
        ({"flow": "table=0"}, "no actions were given"), ({"flow": "", "action": "remove"}, "no flow was given"),
        ({"flow": "table=0 actions=drop", "action": "remove"}, "by its table, priority and match alone"),
        ({"flow": "table=0 actions=drop", "place": "hv1 br-x"}, "recorded of hv1: br-ex, br-int"),
    ):  # fmt: skip
        form = {"place": "hv1 br-int", "action": "add", **given}
        refused = client.post(reverse("flow_what_if_new"), form)
        assert refused.status_code == 422 and words in refused.content.decode(), given
    assert client_of(recorded.cast.alice).get(reverse("flow_what_if_new")).status_code == 403
    assert not FlowWhatIf.objects.exists()


def test_it_is_asked_over_rest_filled_in_by_links_and_thrown_away(recorded: Town) -> None:
    client = client_of(recorded.cast.olga)
    body = {"host": "hv1", "flow": "table=0,priority=2,udp actions=drop"}
    told = client.post("/api/v1/flow-what-ifs", body, content_type="application/json")
    assert told.status_code == 202 and told.json()["state"] == "running"
    run = FlowWhatIf.objects.get()
    run_flow_what_if(run.pk)
    assert client.get(f"/api/v1/flow-what-ifs/{run.uuid}").json()["result"]["lines"][0][0] == "+"
    form = client.get(reverse("flow_what_if_new"), {"host": "hv1", "bridge": "br-ex", "flow": '"><b>'}).content.decode()
    assert '<option value="hv1 br-ex" selected>' in form and '"><b>' not in form
    answer = client.post(reverse("flow_what_if_discard", args=[run.uuid]))
    assert answer["Location"] == reverse("flows", args=["hv1", "br-int"]) and not FlowWhatIf.objects.exists()
    run_flow_what_if(run.pk)  # a task that comes late finds nothing to do
