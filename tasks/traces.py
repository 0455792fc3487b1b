"""Answering a trace request: rows become a question, the hosts' switches answer, the answer is stored and told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from django.db import connection, transaction

from portal.config.kept_query import KeptQuery
from portal.live.publishers import trace_changed
from portal.networks.models import Port
from portal.traces.desk import tell_answered
from portal.traces.models import TraceRequest
from portal.traces.packets import KINDS, WITH_PORTS
from portal.traces.presentation import AnswerTexts, answer_text
from portal.traces.question import made_asked
from sdn.model.addresses import HostName, IfaceId
from sdn.model.cookie import Cause
from sdn.model.trace import Intent, Trace, from_json, to_json
from sdn.trace import HostUnreachable, LiveWorld, Question, predict
from sdn.trace.question import linux_bridges_of, tunnel_ports
from sdn.trace.redact import redacted
from tasks.probe_desk import ProbeRefused, order_stand_in
from tasks.probes import probe
from tasks.trace_kept import Kept
from tasks.trace_outside import asked_question
from tasks.trace_rows import CLIENT_PORT, Setting, question_of, read_generation
from tasks.trace_then import Explain, predict_then

log = logging.getLogger("hopsight.traces")
CLIENT_PORTS = 1024  # and above
GONE = "An end of this path no longer exists."
_REQUEST = KeptQuery(
    lambda trace_id: TraceRequest.objects.select_related("team").filter(pk=trace_id).order_by()
)  # the rest is seldom there
_ANSWERED = (
    f'UPDATE "{TraceRequest._meta.db_table}" SET "state" = %s, "error" = %s, '
    '"result" = CAST(%s AS {0}), "reply" = CAST(%s AS {0}) WHERE "id" = %s'
)


def run_trace(trace_id: int, kept: Kept | None = None, later: Callable[[Callable[[], None]], None] | None = None) -> None:  # fmt: skip
    """Answer the request, both directions; whatever is wrong with a host ends as words in the answer.

    The answer is stored and told first; the real packet beside it is sent by `later` (None: here and now).
    """
    request = next(iter(_REQUEST(trace_id)), None)
    if request is None or request.state != TraceRequest.State.RUNNING:
        return
    try:
        found = answer(request, kept or Kept())
    except Exception:  # the task's edge: the asker must not wait for ever
        log.exception("trace=%s failed", request.uuid)
        give_up(request, "The trace failed inside Hopsight; the log of the worker has the details.")
        return
    _store(request, found.result if found else None, found.reply if found else None, "")
    is_live = (
        request.source_id is not None and request.at is None and not request.header_fields
    )  # as a guest would send it
    if found is not None and is_live:
        hand_over = request.is_handed_over
        (later or _now)(lambda: _store_probe(request, probe(found.question(), found.predicted, hand_over=hand_over)))


def give_up(request: TraceRequest, why: str) -> None:
    """The trace has failed, and says why."""
    _store(request, None, None, why)


def _now(work: Callable[[], None]) -> None:
    work()


@dataclass(frozen=True, slots=True)
class Answer:
    """Both directions as JSON (no way back where the target is nobody's), and what a probe is made from."""

    result: dict[str, object]
    reply: dict[str, object] | None
    asked: Question
    predicted: Trace
    rundirs: dict[str, Path]

    def question(self) -> Question:
        """The question with the tunnel ports of the hosts on the path, as their switches tell them."""
        world = LiveWorld(self.rundirs)
        try:
            return _with_tunnels(_of_another_connection(self.asked), self.predicted, world)
        finally:
            world.close()


def answer(request: TraceRequest, kept: Kept) -> Answer | None:
    """The answer there and back; None where an end of the path is gone."""
    is_outside = request.outside is not None or request.router is not None
    if (request.source_id is None and not is_outside) or (
        request.target_id is None and (request.outside is not None or not request.address)
    ):
        return None
    generation = read_generation()
    rows = kept.ports(generation, [pk for pk in (request.source_id, request.target_id) if pk])
    source, target = rows.get(request.source_id or 0), rows.get(request.target_id or 0)
    if (source is None and not is_outside) or (request.target_id and target is None):
        return None
    ends = tuple(port for port in (source, target) if port)
    setting = Setting(kept.hosts(generation), generation, ends, _stood_in(request, source, ends))

    def explain(causes: Iterable[Cause]) -> dict[Cause, Intent]:
        return kept.explain(generation, causes)

    if request.at is not None:
        return _answer_then(request, setting, source, target, explain)
    rundirs = {host.name: Path(host.ovs_rundir) for host in setting.hosts}
    world = LiveWorld(rundirs, lent=kept.lines())
    try:
        on = {end.host.name for end in ends if end.host is not None}
        if len(on) > 1:
            world.ask_ports_early(
                sorted(on)
            )  # through a tunnel, or by the wire: what that is called on both is asked for
        question, told = asked_question(request, setting, source, target)
        world.ask_bridges_early(linux_bridges_of(question))
        asked = made_asked(request, source, target, question.packet.ip_dst.version)
        predicted = redacted(predict(question, world, explain), request.team.slug)
        predicted = replace(predicted, findings=(*told, *predicted.findings), question=asked)
        reply: dict[str, object] | None = None
        if source is not None and target is not None and KINDS[request.protocol].has_answer:
            back, _ = question_of(request, setting, target, source, "return")
            returned = redacted(predict(back, world, explain), request.team.slug)
            reply = to_json(replace(returned, question=asked))
        return Answer(to_json(predicted), reply, question, predicted, rundirs)
    finally:
        world.close()


def _of_another_connection(question: Question) -> Question:
    """Asked of a packet with a client's port that no guest's connection has: a probe must not be taken for one of it."""
    packet = question.packet
    is_client = packet.protocol in WITH_PORTS and packet.port_src >= CLIENT_PORTS
    return replace(question, packet=replace(packet, port_src=CLIENT_PORT)) if is_client else question


def _stood_in(request: TraceRequest, source: Port | None, ends: tuple[Port, ...]) -> frozenset[int]:
    """The ports of the ends that send, are plugged in nowhere, and whose switches take packets in their name now."""
    if source is None or request.at is not None:
        return frozenset()
    senders = ends if KINDS[request.protocol].has_answer else (source,)
    return frozenset(port.pk for port in senders if _stands_in(port))


def _stands_in(port: Port) -> bool:
    """Does the switch of a port that is plugged nowhere take packets in its name now? It is asked to, for a while."""
    if port.ofport is not None or port.host is None:
        return False
    try:
        order_stand_in(HostName(port.host.name), IfaceId(str(port.uuid)))
    except ProbeRefused as problem:
        log.info("no stand-in port=%s problem=%s", port.uuid, problem)
        return False
    return True


def _answer_then(request: TraceRequest, setting: Setting, source: Port | None, target: Port | None, explain: Explain) -> Answer:  # fmt: skip
    """The answer as of an instant that is over, out of the recorded flows."""
    question, there, back = predict_then(request, setting, source, target, explain)
    asked = made_asked(request, source, target, question.packet.ip_dst.version)
    predicted = replace(redacted(there, request.team.slug), question=asked)
    reply = to_json(replace(redacted(back, request.team.slug), question=asked)) if back is not None else None
    return Answer(to_json(predicted), reply, question, predicted, {})


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
    if "trace" in answer:
        answer["trace"] = to_json(redacted(from_json(cast(dict[str, Any], answer["trace"])), request.team.slug))
    with transaction.atomic():
        request.probe = answer
        request.save(update_fields=["probe"])
        trace_changed(request)


def _store(request: TraceRequest, result: object, reply: object, error: str) -> None:
    """Keep the answer and tell it. It is written as JSON once, for the row and for who waits alike."""
    request.error = GONE if result is None and not error else error
    request.state = TraceRequest.State.FAILED if request.error else TraceRequest.State.DONE
    request.result, request.reply = result, reply
    texts = AnswerTexts.of(result, reply)
    with transaction.atomic():
        answers = (texts.result if result is not None else None, texts.reply if reply is not None else None)
        with connection.cursor() as cursor:
            kind = "jsonb" if connection.vendor == "postgresql" else "text"
            cursor.execute(_ANSWERED.format(kind), [request.state, request.error, *answers, request.pk])
        transaction.on_commit(lambda: tell_answered(request.pk, answer_text(request, texts)))
        trace_changed(request)
