"""Real traffic between a trace's ends, once a second on the topic `observed:<trace>`, while somebody looks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from portal.hosts.models import Host
from portal.live.transient import Change, TransientWriter
from portal.networks.causes import explain_causes
from portal.traces.models import TraceRequest
from portal.traces.presentation import read_trace, with_cookie_text
from sdn.model.trace import Hop, Trace, to_json
from sdn.observe import Rate, Seeing, observed_trace, part, three_way
from sdn.observe.look import Looker
from sdn.observe.session import Session
from sdn.trace import Question
from sdn.trace.redact import redacted
from tasks.rows import in_rows
from tasks.trace_rows import question_of, read_ports, read_setting

LOOK_EVERY_S = 1.0
READ_EVERY = 10  # looks: a VM may have moved meanwhile, and a probe come back
CONNECTIONS_SHOWN = 20
DIRECTIONS = ("forward", "return")


@dataclass(frozen=True, slots=True)
class Scene:
    """A trace's questions with their predictions, there and, where there is one, back; and what a probe did."""

    questions: tuple[Question, ...]
    predicted: tuple[Trace, ...]
    probed: Trace | None
    team: str = ""  # the trace's: what is another's is told to nobody who follows the topic


async def watch_observed(uuid: str) -> None:
    """Keep the topic true until cancelled; what a host does not answer is said in the topic itself."""
    writer = TransientWriter(f"observed:{uuid}")
    await asyncio.to_thread(writer.load)
    looker = Looker(await in_rows(_rundirs))
    session = Session(looker, await in_rows(_underlay))
    try:
        while True:
            scene = await in_rows(read_scene, uuid)
            for _ in range(READ_EVERY):
                views = await in_rows(look, session, scene)
                await asyncio.to_thread(writer.write, [Change("observed.changed", name, view) for name, view in views.items()])  # fmt: skip
                await asyncio.sleep(LOOK_EVERY_S)
    finally:
        looker.close()


def read_scene(uuid: str) -> Scene:
    """The trace's rows as they are now; no questions where it has no answer yet, or an end of it is gone."""
    request = TraceRequest.objects.select_related("team").filter(uuid=uuid).first()
    forward = read_trace(request.result) if request else None
    if request is None or forward is None or request.source_id is None:
        return Scene((), (), None)
    rows = {port.id: port for port in read_ports().filter(id__in=[request.source_id, request.target_id or 0])}
    source, target = rows.get(request.source_id), rows.get(request.target_id or 0)
    if source is None or (target is None and not request.address):
        return Scene((), (), None)
    setting = read_setting((source, target) if target else (source,))
    questions, predicted = [question_of(request, setting, source, target, "forward")[0]], [forward]
    back = read_trace(request.reply)
    if target is not None and back is not None:
        questions.append(question_of(request, setting, target, source, "return")[0])
        predicted.append(back)
    return Scene(tuple(questions), tuple(predicted), read_trace((request.probe or {}).get("trace")), request.team.slug)


def look(session: Session, scene: Scene) -> dict[str, dict[str, Any]]:
    """Direction → what real traffic does in it now, as the page and the API read it."""
    seen = session.see(scene.questions, time.time())
    return {
        question.direction: view_of(
            one, predicted, scene.probed if question.direction == "forward" else None, scene.team
        )
        for question, predicted, one in zip(scene.questions, scene.predicted, seen, strict=True)
    }


def view_of(seeing: Seeing, predicted: Trace, probed: Trace | None, team: str) -> dict[str, Any]:
    """One direction as JSON: its trace, the sentence over all three, its rate and its connections."""
    seen = observed_trace(predicted, seeing, explain_causes)
    observed = redacted(seen, team)
    parted = part(predicted, observed)
    last = seeing.passages[-1] if seeing.passages else None
    rate = seeing.rate(last.host, last.stages[-1]) if last else Rate()
    return {
        "trace": with_cookie_text(to_json(observed)),
        "hop_pps": [_pps(hop, seeing) for hop in observed.hops],
        "sentence": three_way(predicted, probed, observed),
        "divergence": asdict(parted) if parted else None,
        "pps": round(rate.pps, 1),
        "bps": round(rate.bps),
        "packets": last.stages[-1].packets if last else 0,
        "bytes": last.stages[-1].bytes if last else 0,
        "connections": _connections(seeing) if observed is seen else [],
        "explained_by": _explained_by(seeing),
        "at_s": round(seeing.at_s, 1),
    }


def _pps(hop: Hop, seeing: Seeing) -> float | None:
    """Packets a second through a switch; None for what has no count of its own."""
    passage = next((one for one in seeing.passages if one.host == hop.host), None)
    if hop.kind != "bridge" or not hop.measured or passage is None:
        return None
    return round(seeing.rate(passage.host, passage.stages[-1]).pps, 1)


def _connections(seeing: Seeing) -> list[dict[str, Any]]:
    found = [
        {"host": passage.host, "zone": one.zone, "protocol": one.protocol, "state": one.state, "timeout_s": one.timeout_s,
         "original": _tuple_words(one.original), "reply": _tuple_words(one.reply), "translated": one.is_translated}
        for passage in seeing.passages for one in passage.connections
    ]  # fmt: skip
    return found[:CONNECTIONS_SHOWN]


def _tuple_words(side: Mapping[str, str]) -> str:
    """`10.20.0.11:43304 → 10.30.0.12:80`; an ICMP echo has an id."""
    ends = ((side.get("src", "?"), side.get("sport")), (side.get("dst", "?"), side.get("dport")))
    words = " → ".join(
        (f"[{name}]:{port}" if ":" in name else f"{name}:{port}") if port else name for name, port in ends
    )
    return f"{words}, id {side['id']}" if "id" in side else words


def _explained_by(seeing: Seeing) -> str:
    """Who told the OpenFlow look-ups behind the entries."""
    if any(one.detrace for one in seeing.explained.values()):
        return "ofproto/detrace of the entries, and ofproto/trace of their keys"
    if any(one.lookups for one in seeing.explained.values()):
        return "ofproto/trace of the entries' keys: this Open vSwitch has no ofproto/detrace (it came with 3.4)"
    return ""


def _rundirs() -> dict[str, Path]:
    return {name: Path(rundir) for name, rundir in Host.objects.values_list("name", "ovs_rundir")}


def _underlay() -> dict[str, str]:
    return {name: str(address) for name, address in Host.objects.values_list("name", "underlay_ip")}
