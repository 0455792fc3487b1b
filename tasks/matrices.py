"""Answering who reaches whom, on the warm shadow."""

from __future__ import annotations

import logging
from typing import cast

from django.db import transaction

from portal.checks.models import MatrixRun, RunState
from portal.checks.serialize import run_changed
from portal.traces.requests import ports_of
from sdn.reach import SOURCE, TARGET, Cell, Matrix, Service, matrix
from sdn.reach.pairs import ServiceProtocol
from tasks.shadows import desk, read_intent

log = logging.getLogger("hopsight.matrices")


def run_matrix(run_id: int) -> None:
    """Compute the matrix and tell the team; whatever fails ends as words in it."""
    run = MatrixRun.objects.filter(pk=run_id, state=RunState.RUNNING).select_related("team").first()
    if run is None:
        return
    try:
        run.result, run.generation = _computed(run)
        run.state = RunState.DONE
    except Exception:  # the task's edge: whoever waits must be told
        log.exception("matrix=%s failed", run.uuid)
        run.state, run.error = RunState.FAILED, "The shadow switch failed; the log of the worker has the details."
    with transaction.atomic():
        run.save(update_fields=["state", "result", "generation", "error"])
        run_changed(run)


def _computed(run: MatrixRun) -> tuple[dict[str, object], int]:
    ports = [port for port in ports_of(run.team) if run.network_id in (None, port.network_id)]
    snapshot, views = read_intent()
    known = {port.id for port in snapshot.ports}
    ports = [port for port in ports if port.pk in known]
    service = Service(cast(ServiceProtocol, run.protocol), run.port_dst)
    with desk.held() as held:
        stage = held.stage(snapshot, views)
        found = matrix(stage.scene, stage.world, service, [port.pk for port in ports])
    names = [{"uuid": str(port.uuid), "name": port.vm.name if port.vm else port.name, "network": port.network.name} for port in ports]  # fmt: skip
    return {"ports": names, **_rows(found, [port.pk for port in ports]), "traces": found.traces}, snapshot.generation


def _rows(found: Matrix, ids: list[int]) -> dict[str, object]:
    """Cells as indexes into a list of answers, in which {source} and {target} stand for the ends' names."""
    answers: dict[tuple[str, str], int] = {}
    rows = []
    for source in ids:
        row: list[int | None] = []
        for target in ids:
            cell = found.shared.get((source, target))
            row.append(None if cell is None else answers.setdefault(_answer(cell), len(answers)))
        rows.append(row)
    return {"reasons": [list(answer) for answer in answers], "rows": rows}


def _answer(cell: Cell) -> tuple[str, str]:
    return cell.verdict, cell.reason.replace(SOURCE, "{source}").replace(TARGET, "{target}")
