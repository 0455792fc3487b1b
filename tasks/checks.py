"""Looking at path checks on the warm shadow, when the intent has changed and every period; a turn is kept with its cause."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta

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
from sdn.trace import predict
from tasks.shadows import Stage, desk, read_intent
from tasks.trace_rows import question_of, read_ports, read_setting

log = logging.getLogger("hopsight.checks")
PERIOD_S, TURNS_KEPT, CHANGES_KEPT = 60, 30, 5


def run_checks(check_id: int = 0) -> None:
    """Look at that check, or (0) at every one that is due: of an older generation, or looked at a period ago."""
    due = list(_due(check_id).select_related("team", "source", "target"))
    if not due:
        return
    ids = {port_id for check in due for port_id in (check.source_id, check.target_id) if port_id}
    ports = {port.pk: port for port in read_ports().filter(pk__in=ids)}
    snapshot, views = read_intent()
    with desk.held() as held:
        stage = held.stage(snapshot, views)
        answers = [(check, _look(check, ports, stage)) for check in due if check.source_id in ports]
    for check, trace in answers:
        _note(check, trace, snapshot.generation)


def _due(check_id: int) -> QuerySet[PathCheck]:
    if check_id:
        return PathCheck.objects.filter(pk=check_id)
    generation = Generation.objects.filter(id=1).values_list("value", flat=True).first() or 0
    old = Q(checked_at__isnull=True) | Q(checked_at__lt=timezone.now() - timedelta(seconds=PERIOD_S))
    return PathCheck.objects.filter(old | ~Q(generation=generation))


def _look(check: PathCheck, ports: dict[int, Port], stage: Stage) -> Trace:
    source, target = ports[check.source_id], ports.get(check.target_id or 0)
    asked = TraceRequest(
        team=check.team, source=source, target=target, address=check.address, protocol=check.protocol,
        port_dst=check.port_dst, moment="first",
    )  # fmt: skip
    question, _ = question_of(asked, read_setting((source, target) if target else (source,)), source, target, "forward")
    return predict(question, stage.world, lambda causes: {})


def _note(check: PathCheck, trace: Trace, generation: int) -> None:
    """Keep the answer; a turn with what changed since the look before it."""
    arrived = trace.verdict == check.expected or (check.expected == "delivered" and trace.verdict == "flooded")
    state = PathCheck.State.PASSING if arrived else PathCheck.State.FAILING
    now = timezone.now()
    with transaction.atomic():
        row = PathCheck.objects.select_for_update(of=("self",)).filter(pk=check.pk).select_related("team", "source", "target").first()  # fmt: skip
        if row is None:
            return
        turned = (row.state, row.verdict) != (state, trace.verdict)
        if turned:
            changes = _changes(row)
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


def _changes(row: PathCheck) -> list[dict[str, str]]:
    """What the team's audit says was done since the check was last looked at, newest first."""
    if row.checked_at is None:
        return []
    return list(_as_changes(AuditRow.objects.filter(team_id=row.team_id, at__gte=row.checked_at)[:CHANGES_KEPT]))


def _as_changes(rows: Iterable[AuditRow]) -> Iterable[dict[str, str]]:
    for audit in rows:
        told = audit.after or audit.before or {}
        change = told.get("rule") or told.get("groups") or ""
        words = f"{words_of(audit.action)} {audit.object_name}{f': {change}' if change else ''}"
        yield {"at": audit.at.isoformat(), "actor": audit.actor, "words": words}
