"""A what-if about a foreign bridge's flow, applied to a real switch: exactly as it was tried, with consent, or not at all.

eth1--[br-ex@hv1]--eth2
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from django.urls import reverse
from django.utils import timezone

from portal.accounts.models import AuditRow
from portal.checks.flow_apply import apply_flow_what_if
from portal.checks.flow_requests import FlowWhatIfSpec, ask_flow_what_if
from portal.checks.models import FlowWhatIf
from portal.checks.requests import CheckProblem
from portal.hosts.models import Host
from portal.operations.models import Operation
from portal.operations.retry import request_retry
from portal.topology.flow_rows import FlowDelta, pack
from portal.topology.models import FlowRecord, HostSeen
from sdn.model.switch import BridgeSeen, InterfaceSeen, PortSeen, SwitchSeen, switch_to_json
from sdn.reconcile import WireFlow
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.transport.openflow import open_channel
from tasks.flow_what_ifs import run_flow_what_if
from tasks.sagas.engine import run_operation
from tasks.sagas.table import SAGAS
from tests.cast import Cast
from tests.portal.clients import client_of, made_host

LINES = "table=0,priority=0 actions=NORMAL\ncookie=0x9,table=0,priority=7,tcp,tp_dst=23 actions=drop"


@dataclass(frozen=True)
class Site:
    cast: Cast
    host: Host
    shadow: Shadow

    def flows(self) -> set[str]:
        """The real switch's flows, without their counters."""
        lines = self.shadow.ofctl_words("dump-flows", "br-ex", "--no-stats").splitlines()
        return {line.strip() for line in lines if "actions=" in line}

    def record(self, bridge: str = "br-ex") -> None:
        """What the recorder would keep of it now."""

        async def dump() -> list[WireFlow]:
            channel = await open_channel(str(self.shadow.rundir / "br-ex.mgmt"))
            try:
                return await channel.dump_flows()
            finally:
                channel.close("read")

        flows = asyncio.run(dump())
        FlowRecord.objects.filter(host=self.host, bridge=bridge).delete()
        record = FlowRecord.objects.create(host=self.host, bridge=bridge, seen_at=timezone.now())
        record.checkpoints.create(at=timezone.now(), count=len(flows), flows=pack(map(FlowDelta, flows)))

    def tried(self, action: str, flow: str, bridge: str = "br-ex") -> FlowWhatIf:
        self.record(bridge)
        run = ask_flow_what_if(self.cast.olga, FlowWhatIfSpec("hv1", bridge, action, flow))
        run_flow_what_if(run.pk)
        run.refresh_from_db()
        assert run.state == "done", run.error
        return run

    def applied(self, run: FlowWhatIf, twice: bool = False) -> Operation:
        operation = apply_flow_what_if(run, self.cast.olga, run.bridge)
        stages = tuple(replace(one, do=_twice(one.do)) if twice else one for one in SAGAS["flow.apply"])
        run_operation(operation.pk, {"flow.apply": stages})
        operation.refresh_from_db()
        return operation


def _twice(do):  # type: ignore[no-untyped-def]
    return lambda context: (do(context), do(context))[1]


@pytest.fixture
def site(cast: Cast) -> Iterator[Site]:
    with Shadow() as shadow:
        shadow.load([ShadowBridge("br-ex", (ShadowPort("eth1", 1), ShadowPort("eth2", 2)), LINES)])
        host = made_host()
        host.ovs_rundir = str(shadow.rundir)
        host.save()
        ports = tuple(
            PortSeen(name, (InterfaceSeen(name, "", at, link="up"),)) for name, at in (("eth1", 1), ("eth2", 2))
        )
        bridges = (
            BridgeSeen("br-ex", "netdev", "", "none", ports),
            BridgeSeen("br-int", "netdev", "secure", "away", ports),
        )
        HostSeen.objects.create(host=host, switch=switch_to_json(SwitchSeen("3.1.0", bridges)))
        yield Site(cast, host, shadow)


@pytest.mark.parametrize(
    ("action", "flow", "gone", "come"),
    [
        ("add", "table=0,priority=9,udp,tp_dst=53 actions=drop", set(), {"priority=9,udp,tp_dst=53 actions=drop"}),
        ("add", "table=0,priority=9,udp,idle_timeout=600 actions=drop", set(), {"idle_timeout=600, priority=9,udp actions=drop"}),
        ("edit", "table=0,priority=7,tcp,tp_dst=23 actions=output:2", {"actions=drop"}, {'cookie=0x9, priority=7,tcp,tp_dst=23 actions=output:2'}),
        ("remove", "table=0,priority=7,tcp,tp_dst=23", {"actions=drop"}, set()),
    ],
)  # fmt: skip
def test_exactly_the_change_that_was_tried_is_on_the_switch_then_and_is_sent_once(
    site: Site, action: str, flow: str, gone: set[str], come: set[str]
) -> None:
    before = site.flows()
    run = site.tried(action, flow)
    assert site.flows() == before, "trying changes nothing"
    operation = site.applied(run, twice=True)
    assert operation.state == "done", operation.error
    after = site.flows()
    assert len(before - after) == len(gone) and all(any(word in line for line in before - after) for word in gone)
    assert {line.replace('"', "").removeprefix("cookie=0x0, ") for line in after - before} == come
    run.refresh_from_db()
    assert run.applied_at is not None and run.applied_by == site.cast.olga
    row = AuditRow.objects.get(action="flow.apply")
    assert row.after is not None and row.after["bridge"] == "br-ex" and len(row.after["flows"]) == 1
    with pytest.raises(CheckProblem, match="applied already"):
        apply_flow_what_if(run, site.cast.olga, "br-ex")


def test_a_bridge_that_somebody_changed_meanwhile_is_left_alone(site: Site) -> None:
    run = site.tried("edit", "table=0,priority=7,tcp,tp_dst=23 actions=output:2")
    site.shadow.ofctl_words("mod-flows", "br-ex", "table=0,tcp,tp_dst=23 actions=output:1")
    before = site.flows()
    operation = site.applied(run)
    assert operation.state == "failed" and "is other than when it was tried, nothing was sent" in operation.error
    assert site.flows() == before
    run.refresh_from_db()
    assert run.applied_at is None
    site.shadow.ofctl_words("mod-flows", "br-ex", "table=0,tcp,tp_dst=23 actions=drop")
    again = request_retry(operation, site.cast.olga)
    run_operation(again.pk, SAGAS)
    again.refresh_from_db()
    assert again.state == "done" and site.flows() != before


def test_a_switch_that_is_away_fails_in_words(site: Site) -> None:
    run = site.tried("add", "table=0,priority=9,udp actions=drop")
    Host.objects.update(ovs_rundir="/nonexistent")
    operation = site.applied(run)
    assert operation.state == "failed" and "br-ex on hv1" in operation.error


def test_without_consent_of_br_int_or_with_our_mark_it_is_refused_with_all_reasons(site: Site) -> None:
    ours = site.tried("add", "table=0,priority=9,udp actions=drop", "br-int")
    with pytest.raises(CheckProblem) as refused:
        apply_flow_what_if(ours, site.cast.olga, "br-ex")
    assert set(refused.value.errors) == {"what_if", "typed"}
    marked = site.tried("add", "cookie=0x4853010000000007,table=0,priority=9,udp actions=drop")
    with pytest.raises(CheckProblem, match="Hopsight’s mark"):
        apply_flow_what_if(marked, site.cast.olga, "br-ex")
    assert not Operation.objects.exists()


def test_the_page_and_the_api_apply_it_for_operators_who_typed_the_bridges_name(site: Site) -> None:
    run = site.tried("add", "table=0,priority=9,udp actions=drop")
    client, url = client_of(site.cast.olga), reverse("flow_what_if_apply", args=[run.uuid])
    assert "Apply this change" in client.get(reverse("flow_what_if", args=[run.uuid])).content.decode()
    assert client_of(site.cast.alice).post(url, {"typed": "br-ex"}).status_code == 403
    refused = client.post(url, {"typed": "br-int"})
    assert refused.status_code == 422 and "type br-ex to consent" in refused.content.decode()
    path = f"/api/v1/flow-what-ifs/{run.uuid}/apply"
    assert client.post(path, {"typed": ""}, content_type="application/json").status_code == 422
    told = client.post(path, {"typed": "br-ex"}, content_type="application/json")
    assert told.status_code == 202 and told.json()["operation"]["kind"] == "flow.apply"
    answer = client.post(url, {"typed": "br-ex"})
    assert answer.status_code == 302 and "/operations/" in answer["Location"]
    for operation in Operation.objects.order_by("id"):
        run_operation(operation.pk, SAGAS)
    assert set(Operation.objects.values_list("state", flat=True)) == {"done"}, "the second one finds it there"
    assert "Applied by olga" in client.get(reverse("flow_what_if", args=[run.uuid])).content.decode()
