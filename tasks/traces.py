"""Answering a trace request: rows become a question, the hosts' switches answer, the answer is stored and told."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from portal.hosts.models import Host
from portal.live.publishers import trace_changed
from portal.networks.causes import explain_causes
from portal.networks.models import Generation, Port
from portal.traces.models import TraceRequest
from sdn.model.addresses import Mac
from sdn.model.packet import Packet, Protocol
from sdn.model.trace import Direction, Trace, to_json
from sdn.trace import Endpoint, LiveWorld, Question, TraceHost, predict
from sdn.transport.ovsdb import TUNNEL
from sdn.transport.unixctl import UnixctlClient, UnixctlError, find_vswitchd_socket
from tasks.probes import probe

log = logging.getLogger("hopsight.traces")
CLIENT_PORT = 49152  # the source port of a predicted packet: any connection that is not there yet
ECHO_REQUEST, ECHO_REPLY = 8, 0


def run_trace(trace_id: int) -> None:
    """Answer the request, both directions; whatever is wrong with a host ends as words in the answer."""
    request = TraceRequest.objects.select_related("source", "target", "team").filter(id=trace_id).first()
    if request is None or request.state != TraceRequest.State.RUNNING:
        return
    try:
        found = answer(request)
    except Exception:  # the task's edge: the asker must not wait for ever
        log.exception("trace=%s failed", request.uuid)
        _store(request, None, None, "The trace failed inside Hopsight; the log of the worker has the details.")
        return
    _store(request, found.result if found else None, found.reply if found else None, "")
    if found is not None:
        _store_probe(request, probe(found.question, found.predicted))


@dataclass(frozen=True, slots=True)
class Answer:
    """Both directions as JSON, and what a probe is made from."""

    result: dict[str, object]
    reply: dict[str, object]
    question: Question
    predicted: Trace


def answer(request: TraceRequest) -> Answer | None:
    """The answer there and back; None where an end of the path is gone."""
    if request.source is None or request.target is None:
        return None
    rows = {port.id: port for port in _ports()}
    rundirs = {host.name: Path(host.ovs_rundir) for host in Host.objects.all()}
    hosts = tuple(_host(host, rows.values()) for host in Host.objects.order_by("id"))
    world = LiveWorld(rundirs)
    try:
        there = _question(request, rows[request.source.id], rows[request.target.id], hosts, "forward")
        back = _question(request, rows[request.target.id], rows[request.source.id], hosts, "return")
        predicted = predict(there, world, explain_causes)
        reply = to_json(predict(back, world, explain_causes))
        return Answer(to_json(predicted), reply, there, predicted)
    finally:
        world.close()


def _ports() -> list[Port]:
    return list(Port.objects.select_related("vm", "host", "network").prefetch_related("addresses", "network__subnets"))


def _host(host: Host, ports: object) -> TraceHost:
    endpoints = {
        port.ofport: endpoint_of(port)
        for port in ports  # type: ignore[attr-defined]
        if port.host_id == host.id and port.ofport is not None
    }
    return TraceHost(host.name, host.underlay_ip, _tunnel_ofport(host), endpoints)


def _tunnel_ofport(host: Host) -> int | None:
    """The tunnel's ofport as the switch itself tells ("port vxlan0: 1 …" of `dpif/show`)."""
    try:
        client = UnixctlClient(find_vswitchd_socket(Path(host.ovs_rundir)), deadline_s=2)
        text = client.run("dpif/show")
        client.close()
    except UnixctlError:
        return None
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == TUNNEL:
            return int(words[1].partition("/")[0])
    return None


def endpoint_of(port: Port) -> Endpoint:
    """A port row as a trace's end."""
    address = next((row.address for row in port.addresses.all()), "0.0.0.0")
    return Endpoint(
        name=port.vm.name if port.vm else port.name,
        nic="eth0",
        mac=port.mac,
        address=IPv4Address(address),
        host=port.host.name if port.host else "",
        tap=port.tap or "no tap",
        ofport=port.ofport,
        nic_model=port.nic_model if port.vm else "veth",
        backend=port.backend if port.vm else "veth pair",
        domain=port.vm.domain if port.vm else "-",
    )


def _question(request: TraceRequest, source: Port, target: Port, hosts: tuple[TraceHost, ...], direction: Direction) -> Question:  # fmt: skip
    generation = Generation.objects.filter(id=1).values_list("value", flat=True).first() or 0
    packet = _packet(request, source, target, direction)
    now = timezone.now().isoformat()
    return Question(
        str(request.uuid), endpoint_of(source), endpoint_of(target), packet, hosts, generation, now, direction
    )


def _packet(request: TraceRequest, source: Port, target: Port, direction: Direction) -> Packet:
    protocol: Protocol = request.protocol  # type: ignore[assignment]
    here, there = endpoint_of(source), endpoint_of(target)
    if protocol == "icmp":
        ports = (0, ECHO_REQUEST if direction == "forward" else ECHO_REPLY)
    else:
        ports = (CLIENT_PORT, request.port_dst) if direction == "forward" else (request.port_dst, CLIENT_PORT)
    same = source.network_id == target.network_id
    to = there.mac if same else source.network.router_mac
    return Packet(protocol, Mac(here.mac), Mac(to), here.address, there.address, port_src=ports[0], port_dst=ports[1])


def _store_probe(request: TraceRequest, answer: dict[str, object]) -> None:
    """Keep what a real packet did, and tell the readers, who have the prediction already."""
    with transaction.atomic():
        request.probe = answer
        request.save(update_fields=["probe"])
        trace_changed(request)


def _store(request: TraceRequest, result: object, reply: object, error: str) -> None:
    gone = "An end of this path no longer exists." if result is None and not error else error
    with transaction.atomic():
        request.result, request.reply, request.error = result, reply, gone
        request.state = TraceRequest.State.FAILED if gone else TraceRequest.State.DONE
        request.save(update_fields=["result", "reply", "error", "state"])
        trace_changed(request)
