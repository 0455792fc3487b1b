"""Payments' VMs on a switch that is really there: rows say where they are plugged, a shadow has the flows that follow.

[web-1]--7--[br-int@hv1]--9--[br-ex]--(internet)     router of payments-net: 198.51.100.x, gateway host hv1
[db-1]---8--/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from portal.compute.models import VM
from portal.hosts.models import Host
from portal.networks.groups import create_group, set_port_groups
from portal.networks.models import Port, Router, SecurityGroup
from portal.traces.models import TraceRequest
from sdn.compiler import compile_host
from sdn.model.flow import Flow, format_flow
from sdn.shadow import Shadow, ShadowBridge, ShadowPort
from sdn.shadow.world import without_limits
from tasks.shadows import read_intent
from tasks.traces import run_trace
from tests.cast import Cast
from tests.portal.clients import made_host, made_vm

CABLE = 9
TUNNEL = 1


def compiled() -> list[Flow]:
    """The flows of hv1 that the rows come to."""
    snapshot, views = read_intent()
    view = replace(next(view for view in views if view.host == "hv1"), external_ofport=CABLE, tunnel_ofport=TUNNEL)
    return list(compile_host(without_limits(snapshot), view))


@dataclass
class Street:
    """The rows, and the switch of hv1. `install` makes its flows what the rows say now."""

    cast: Cast
    host: Host
    web: Port
    db: Port
    closed: SecurityGroup
    shadow: Shadow

    def install(self) -> None:
        self.shadow.set_flows("br-int", "\n".join(map(format_flow, compiled())))

    def answer(self) -> None:
        """Answer every trace that waits, as the tracer would."""
        for trace in TraceRequest.objects.filter(state=TraceRequest.State.RUNNING).order_by("id"):
            run_trace(trace.pk, later=lambda probe: None)

    @property
    def vm(self) -> VM:
        assert self.web.vm is not None
        return VM.objects.get(pk=self.web.vm.pk)


@pytest.fixture(scope="package")
def street_switch() -> Iterator[Shadow]:
    with Shadow() as shadow:
        cable = ShadowPort("hs-ex", CABLE, "patch", {"peer": "ex-hs"})
        far = ShadowBridge("br-ex", (ShadowPort("ex-hs", 1, "patch", {"peer": "hs-ex"}),))
        ports = (cable, ShadowPort("vxlan0", TUNNEL), *(ShadowPort(f"vnet{number}", number) for number in (7, 8)))
        shadow.load([ShadowBridge("br-int", ports), far])
        yield shadow


@pytest.fixture
def street(cast: Cast, street_switch: Shadow) -> Street:
    host = made_host()
    host.ovs_rundir = str(street_switch.rundir)
    host.save()
    closed = create_group(cast.payments, "closed")
    for family in (4, 6):
        closed.rules.create(direction="egress", family=family, protocol="any")
    ports = []
    for ofport, name in ((7, "web-1"), (8, "db-1")):
        port: Port = made_vm(cast, name).ports.get()
        port.host, port.ofport, port.tap = host, ofport, f"vnet{ofport}"
        port.save()
        VM.objects.filter(ports=port).update(state="running", host=host)
        set_port_groups(port, [closed])
        ports.append(port)
    Router.objects.filter(team=cast.payments).update(gateway_host=host)
    made = Street(cast, host, *ports, closed, street_switch)
    made.install()
    return made
