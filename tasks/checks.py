"""Looking at path checks on the warm shadow, when a change may touch their packets, and every period; a turn is kept with its cause."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from portal.accounts.audit import words_of
from portal.accounts.models import AuditRow
from portal.checks.models import CheckTurn, PathCheck
from portal.checks.serialize import check_changed
from portal.networks.models import Generation, Port
from portal.traces.models import TraceRequest
from sdn.model.trace import Trace
from sdn.reach import SwitchState, Watched
from sdn.trace import Question, predict
from tasks.check_memory import CheckMemory
from tasks.shadows import Stage, desk, read_intent
from tasks.trace_rows import Setting, question_of, read_ports, read_setting

log = logging.getLogger("hopsight.checks")
PERIOD_S, TURNS_KEPT, CHANGES_KEPT = 60, 30, 5
memory = CheckMemory()
Look = tuple[PathCheck, Trace, datetime | None]  # with when its answer before was last known to hold


def run_checks(check_id: int = 0) -> None:
    """Look at that check, or (0) at every one that is due: looked at a period ago, or whose packet a change since may touch."""
    due = list(_due(check_id).select_related("team", "source", "target"))
    if not due:
        return
    ids = {port_id for check in due for port_id in (check.source_id, check.target_id) if port_id}
    ports = {port.pk: port for port in read_ports().filter(pk__in=ids)}
    now, setting = timezone.now(), read_setting(())
    snapshot, views = read_intent()
    with desk.held() as held:
        stage = held.stage(snapshot, views)
        memory.forget_others(set(PathCheck.objects.values_list("pk", flat=True)))
        asked = [(check, _question(check, ports, setting)) for check in due if check.source_id in ports]
        states = stage.world.states
        stand = memory.standing([one for one in asked if not check_id and not _is_old(one[0], now)], states, now)
        looks = [_look(*one, stage, states, now) for one in asked if one[0].pk not in stand]
    PathCheck.objects.filter(pk__in=stand, generation__lt=snapshot.generation).update(generation=snapshot.generation)
    for look in looks:
        _note(look, snapshot.generation)


def _due(check_id: int) -> QuerySet[PathCheck]:
    if check_id:
        return PathCheck.objects.filter(pk=check_id)
    generation = Generation.objects.filter(id=1).values_list("value", flat=True).first() or 0
    old = Q(checked_at__isnull=True) | Q(checked_at__lt=timezone.now() - timedelta(seconds=PERIOD_S))
    return PathCheck.objects.filter(old | ~Q(generation=generation))


def _is_old(check: PathCheck, now: datetime) -> bool:
    return check.checked_at is None or check.checked_at < now - timedelta(seconds=PERIOD_S)


def _question(check: PathCheck, ports: dict[int, Port], setting: Setting) -> Question:
    source, target = ports[check.source_id], ports.get(check.target_id or 0)
    asked = TraceRequest(
        team=check.team, source=source, target=target, address=check.address, protocol=check.protocol,
        port_dst=check.port_dst, moment="first",
    )  # fmt: skip
    ends = (source, target) if target else (source,)
    question, _ = question_of(asked, replace(setting, ends=ends), source, target, "forward")
    return question


def _look(check: PathCheck, question: Question, stage: Stage, states: Mapping[str, SwitchState], now: datetime) -> Look:
    watched = Watched(stage.world, states)
    trace, since = predict(question, watched, lambda causes: {}), memory.seen_at(check)
    memory.keep(check, question, trace, watched.footprint, states, now)
    return check, trace, since


def _note(look: Look, generation: int) -> None:
    """Keep the answer; a turn with what changed since the answer before it was last known to hold."""
    check, trace, since = look
    arrived = trace.verdict == check.expected or (check.expected == "delivered" and trace.verdict == "flooded")
    state = PathCheck.State.PASSING if arrived else PathCheck.State.FAILING
    now = timezone.now()
    with transaction.atomic():
        row = PathCheck.objects.select_for_update(of=("self",)).filter(pk=check.pk).select_related("team", "source", "target").first()  # fmt: skip
        if row is None:
            return
        turned = (row.state, row.verdict) != (state, trace.verdict)
        if turned:
            changes = _changes(row, since)
            CheckTurn.objects.create(
                check_row=row, at=now, state=state, verdict=trace.verdict, reason=trace.reason,
                generation_before=row.generation, generation=generation, changes=changes,
            )  # fmt: skip
            row.since = now
            CheckTurn.objects.filter(pk__in=list(row.turns.values_list("pk", flat=True)[TURNS_KEPT:])).delete()
        told = turned or row.reason != trace.reason
        row.state, row.verdict, row.reason = state, trace.verdict, trace.reason
        row.checked_at, row.generation = now, generation
        row.save(update_fields=["state", "verdict", "reason", "since", "checked_at", "generation"])
        if told:
            check_changed(row)
        if turned:
            log.info("check=%s state=%s verdict=%s generation=%s", row.uuid, state, trace.verdict, generation)


def _changes(row: PathCheck, since: datetime | None) -> list[dict[str, str]]:
    """What the team's audit says was done since then, newest first."""
    if since is None:
        return []
    return list(_as_changes(AuditRow.objects.filter(team_id=row.team_id, at__gte=since)[:CHANGES_KEPT]))


def _as_changes(rows: Iterable[AuditRow]) -> Iterable[dict[str, str]]:
    for audit in rows:
        told = audit.after or audit.before or {}
        change = told.get("rule") or told.get("groups") or ""
        words = f"{words_of(audit.action)} {audit.object_name}{f': {change}' if change else ''}"
        yield {"at": audit.at.isoformat(), "actor": audit.actor, "words": words}
