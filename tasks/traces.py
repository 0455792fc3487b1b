"""Answering a trace request: rows become a question, the hosts' switches answer, the answer is stored and told."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from django.db import transaction

from portal.live.publishers import trace_changed
from portal.networks.causes import explain_causes
from portal.traces.models import TraceRequest
from sdn.model.cookie import Cause
from sdn.model.trace import Intent, Trace, to_json
from sdn.trace import HostUnreachable, LiveWorld, Question, predict
from sdn.trace.question import tunnel_ports
from tasks.probes import probe
from tasks.trace_rows import question_of, read_ports, read_setting

log = logging.getLogger("hopsight.traces")
GONE = "An end of this path no longer exists."


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
    """Both directions as JSON (no way back where the target is nobody's), and what a probe is made from."""

    result: dict[str, object]
    reply: dict[str, object] | None
    question: Question
    predicted: Trace


def answer(request: TraceRequest) -> Answer | None:
    """The answer there and back; None where an end of the path is gone."""
    if request.source_id is None or (request.target_id is None and not request.address):
        return None
    rows = {port.id: port for port in read_ports().filter(id__in=[request.source_id, request.target_id or 0])}
    source, target = rows.get(request.source_id), rows.get(request.target_id or 0)
    if source is None or (request.target_id and target is None):
        return None
    setting = read_setting((source, target) if target else (source,))
    world = LiveWorld({host.name: Path(host.ovs_rundir) for host in setting.hosts})
    explain = _Explained()
    try:
        question, told = question_of(request, setting, source, target, "forward")
        predicted = predict(question, world, explain)
        predicted = replace(predicted, findings=(*told, *predicted.findings))
        reply: dict[str, object] | None = None
        if target is not None and request.protocol != "arp":
            back, _ = question_of(request, setting, target, source, "return")
            reply = to_json(predict(back, world, explain))
        return Answer(to_json(predicted), reply, _with_tunnels(question, predicted, world), predicted)
    finally:
        world.close()


class _Explained:
    """Flows' causes in words, each looked up once for both directions."""

    def __init__(self) -> None:
        self._known: dict[Cause, Intent] = {}

    def __call__(self, causes: Iterable[Cause]) -> dict[Cause, Intent]:
        if missing := set(causes) - self._known.keys():
            self._known |= explain_causes(missing)
        return self._known


def _with_tunnels(question: Question, predicted: Trace, world: LiveWorld) -> Question:
    """The question with the tunnel ports of the hosts on the path, as their switches told them."""
    crossed = {hop.host for hop in predicted.hops}
    known = {host.name: _tunnels(world, host.name, question.bridge) for host in question.hosts if host.name in crossed}
    return replace(question, hosts=tuple(replace(host, tunnels=known.get(host.name, ())) for host in question.hosts))


def _tunnels(world: LiveWorld, host: str, bridge: str) -> tuple[tuple[int, str], ...]:
    try:
        return tuple(tunnel_ports(world.ports(host), bridge).items())
    except HostUnreachable:
        return ()


def _store_probe(request: TraceRequest, answer: dict[str, object]) -> None:
    """Keep what a real packet did, and tell the readers, who have the prediction already."""
    with transaction.atomic():
        request.probe = answer
        request.save(update_fields=["probe"])
        trace_changed(request)


def _store(request: TraceRequest, result: object, reply: object, error: str) -> None:
    gone = GONE if result is None and not error else error
    with transaction.atomic():
        request.result, request.reply, request.error = result, reply, gone
        request.state = TraceRequest.State.FAILED if gone else TraceRequest.State.DONE
        request.save(update_fields=["result", "reply", "error", "state"])
        trace_changed(request)
