"""A packet at any port of a live host's bridges: the host's own switch says its way, and the next hosts' theirs."""

from __future__ import annotations

import logging
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from portal.hosts.models import Host
from portal.networks.models import Port
from portal.traces.models import PortTrace
from portal.traces.port_traces import port_trace_changed
from sdn.model.trace import Trace, to_json
from sdn.trace import LiveWorld, Question
from sdn.trace.fields import flow_text
from sdn.trace.predict import predict_flow
from sdn.trace.question import Endpoint, HostUnreachable, PortFacts
from tasks.raw_flows import ANY, LOCAL, FlowProblem, asked_by_flow, packet_of, read_flow
from tasks.trace_kept import Kept
from tasks.trace_rows import endpoint_of, read_ports, read_setting

log = logging.getLogger("hopsight.traces")
OURS = "br-int"
BROKE = "It could not be followed: the log of the worker has the details."


def run_port_trace(trace_id: int) -> None:
    """Follow the packet and tell; what is wrong with it ends as words. May run twice."""
    row = PortTrace.objects.filter(pk=trace_id, state=PortTrace.State.RUNNING).select_related("host").first()
    if row is None:
        return
    try:
        row.result, row.state = to_json(follow(row)), PortTrace.State.DONE
    except FlowProblem as problem:
        row.state, row.error = PortTrace.State.FAILED, str(problem)
    except Exception:  # the task's edge: whoever waits must be told
        log.exception("port_trace=%s failed", row.uuid)
        row.state, row.error = PortTrace.State.FAILED, BROKE
    with transaction.atomic():
        if PortTrace.objects.filter(pk=row.pk).update(result=row.result, state=row.state, error=row.error):
            port_trace_changed(row)


def follow(row: PortTrace) -> Trace:
    """The way of the packet. Raises FlowProblem for one that can't be asked about, and for a host that doesn't answer."""
    setting, kept = read_setting(()), Kept()
    world = LiveWorld({host.name: Path(host.ovs_rundir) for host in setting.hosts})
    try:
        ports = {one.ofport: one for one in world.ports(row.host.name) if one.bridge == row.bridge}
        fields = read_flow(row.flow, row.bridge, {one.name: number for number, one in ports.items()})
        family = 6 if "ipv6_dst" in fields or "ipv6_src" in fields else 4
        question = Question(
            id=str(row.uuid), source=_source(row.host, row.bridge, int(fields["in_port"]), ports, family), target=None,
            packet=packet_of(fields), hosts=setting.trace_hosts(None, family), generation=setting.generation,
            started_at=timezone.now().isoformat(), bridge=row.bridge, ct_next=tuple(row.ct_next),
            is_one_host=row.bridge != OURS,
        )  # fmt: skip
        world.ofproto_trace(row.host.name, row.bridge, flow_text(fields), ())  # does the switch take it at all?
        trace = predict_flow(question, world, fields, lambda causes: kept.explain(setting.generation, causes))
        return replace(trace, question=asked_by_flow(question, row.flow))
    except HostUnreachable as problem:
        raise FlowProblem(f"Open vSwitch of {row.host.name} gave no trace of {row.flow!r}: {problem}") from problem
    finally:
        world.close()


def _source(host: Host, bridge: str, number: int, ports: dict[int, PortFacts], family: int) -> Endpoint:
    """The port that the packet comes in by, with the VM behind it where it is one of ours. Raises FlowProblem."""
    known = read_ports().filter(host=host, ofport=number).first() if bridge == OURS else None
    if isinstance(known, Port):
        return endpoint_of(known, family)
    name = bridge if number == LOCAL else ports[number].name if number in ports else ""
    if not name:
        have = ", ".join(f"{ofport} ({one.name})" for ofport, one in sorted(ports.items())) or "none"
        raise FlowProblem(f"in_port {number} was given; {bridge} of {host.name} has the ports {have}")
    return Endpoint(name, "", "", ip_address(ANY), host.name, name, number, "", "", "-")
