"""Sagas: an operation as a declared list of stages, each with an undo.

Rules. Every `do` and `undo` may run twice and may be cut anywhere. One worker at a time holds an operation, by
compare-and-set on its lease; a worker that lost its lease stops at the next row it writes. A stage that fails, or waits
for longer than its deadline, is undone with all before it, in reverse, and so is one before which somebody asked to
cancel or that asks `stop_if_cancelled` while it waits; what is done late is done. An undo that fails leaves the operation
`undoing`: the sweep tries again when the lease is over, until it ends as the object or as nothing.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, Q
from django.utils import timezone

from portal.hosts.models import Host
from portal.live.publishers import operation_changed
from portal.operations.dispatch import enqueue_operation
from portal.operations.models import UNFINISHED, Operation, OperationState, StageState
from tasks.hypervisor.disks import DiskProblem
from tasks.hypervisor.driver import Hypervisor, HypervisorError
from tasks.hypervisor.registry import hypervisor_of

log = logging.getLogger("hopsight.saga")
LEASE_S = 15.0
RENEW_S = 4.0
STAGE_DEADLINE_S = 60.0
CLAIMS_MAX = 6  # a create that took so many workers with it is undone
LOG_LINES_MAX = 200
MOVES_AT_ONCE = 2  # from one host
Hypervisors = Callable[[Host], Hypervisor]


class StageError(Exception):
    """A stage can't be done; the message is for people."""


class Cancelled(Exception):
    """Somebody asked to cancel; the message says who."""


class LeaseLost(Exception):
    """Another worker has the operation now: touch nothing more."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a stage gets. `deadline` is on the monotonic clock."""

    operation: Operation
    hypervisors: Hypervisors
    deadline: float = field(default_factory=lambda: time.monotonic() + STAGE_DEADLINE_S)
    tell: Callable[[str], None] = lambda _words: None  # how far a stage is, for its line
    told: dict[str, object] = field(default_factory=dict)  # params that are written with the stage's end, for readers


def stop_if_cancelled(context: Context) -> None:
    """For a stage that waits: raises Cancelled when somebody asked to cancel, so that it ends now and is undone."""
    rows = Operation.objects.filter(pk=context.operation.pk, cancel_asked_at__isnull=False)
    for who in rows.values_list("cancel_asked_by__username", flat=True):
        raise Cancelled(f"Cancelled by {who or 'Hopsight'}.")


def nothing(context: Context) -> None:
    """The undo of a stage that leaves nothing behind."""


@dataclass(frozen=True, slots=True)
class Stage:
    """`do` gives a few words for the stage's line, or None."""

    name: str
    do: Callable[[Context], str | None]
    undo: Callable[[Context], None] = nothing
    deadline_s: float = STAGE_DEADLINE_S


Saga = tuple[Stage, ...]


def run_operation(operation_id: int, sagas: Mapping[str, Saga], hypervisors: Hypervisors = hypervisor_of) -> None:
    """Bring an operation to its end, if nobody else is at it and no earlier one of the same object is unfinished."""
    worker = f"{_machine()}{os.getpid()}:{secrets.token_hex(4)}"
    operation = claim(operation_id, worker)
    if operation is None:
        return
    with _Renewal(operation_id, worker):
        try:
            _Run(operation, worker, sagas[operation.kind], hypervisors).run()
        except LeaseLost:
            log.warning("lease lost operation=%s worker=%s", operation.uuid, worker)
            return
    _enqueue_next(operation)


def claim(operation_id: int, worker: str) -> Operation | None:
    """The operation, held by this worker; None when it is finished, held, or not yet its turn.

    What nobody held before is as it was read: had somebody had it since, its worker or its lease would be another. One
    whose lease ran out is read again: its worker may live, and wrote until it was taken.
    """
    now, unfinished = timezone.now(), Operation.objects.filter(state__in=UNFINISHED)
    rows = unfinished.select_related("team", "created_by", "cancel_asked_by", "retry_of").prefetch_related("stages")
    operation = rows.filter(pk=operation_id).first()
    if operation is None or _must_wait(operation):
        return None
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    earlier = unfinished.filter(object_uuid=operation.object_uuid, pk__lt=operation_id)
    as_read = unfinished.filter(pk=operation_id, worker=operation.worker, lease_until=operation.lease_until)
    until = now + timedelta(seconds=LEASE_S)
    if not as_read.filter(free, ~Exists(earlier)).update(worker=worker, lease_until=until):
        return None
    if operation.lease_until is not None:
        return rows.get(pk=operation_id)
    operation.worker, operation.lease_until = worker, until
    return operation


def release_dead_workers() -> None:
    """Free what workers of this machine held that have died, so that it goes on at once and not when a lease runs out.
    Should one live after all, in its stage's commit it finds its lease lost."""
    held = Operation.objects.filter(worker__startswith=_machine(), lease_until__gt=timezone.now(), state__in=UNFINISHED)
    for pk, worker in held.values_list("pk", "worker"):
        if not _is_running(int(worker.removeprefix(_machine()).partition(":")[0])):
            Operation.objects.filter(pk=pk, worker=worker).update(lease_until=timezone.now(), worker="")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _machine() -> str:
    """What names of this machine's workers begin with; process ids mean something in their own namespace only."""
    namespace = os.readlink("/proc/self/ns/pid") if os.path.exists("/proc/self/ns/pid") else ""
    return f"{socket.gethostname()[:20]}:{''.join(filter(str.isdigit, namespace))}:"


def due_operations() -> list[int]:
    """Ids of unfinished operations that nobody holds, oldest first."""
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=timezone.now())
    rows = Operation.objects.filter(free, state__in=UNFINISHED).order_by("id")
    return list(rows.values_list("id", flat=True)[:200])


def _must_wait(operation: Operation) -> bool:
    """So many VMs at a time leave a host: each move holds one of the few calls that its libvirt takes."""
    if operation.kind != "vm.migrate":
        return False
    moving = Operation.objects.filter(kind=operation.kind, state__in=UNFINISHED, lease_until__gt=timezone.now())
    return moving.filter(params__from=operation.params["from"]).exclude(pk=operation.pk).count() >= MOVES_AT_ONCE


def _enqueue_next(operation: Operation) -> None:
    same = Operation.objects.filter(object_uuid=operation.object_uuid, state__in=UNFINISHED, pk__gt=operation.pk)
    waiting = Operation.objects.filter(kind="vm.migrate", state=OperationState.QUEUED)
    moves = waiting.filter(params__from=operation.params["from"]) if operation.kind == "vm.migrate" else waiting.none()
    for rows in (same, moves):
        if (following := rows.order_by("pk").first()) is not None:
            enqueue_operation(following.pk)


class _Renewal:
    """Keeps a lease while its worker lives, from a thread with its own database connection. Rows that cannot be reached
    are asked again at the next turn: several fit into a lease."""

    def __init__(self, operation_id: int, worker: str) -> None:
        self._rows = Operation.objects.filter(pk=operation_id, worker=worker)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease-{operation_id}", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_problem: object) -> None:
        self._stop.set()
        self._thread.join()

    def _renew(self) -> None:
        try:
            while not self._stop.wait(RENEW_S):
                if not self._is_ours():
                    return
        except Exception:  # the thread's edge: a lease that is not renewed runs out, and the sweep takes over
            log.exception("lease not renewed")
        finally:
            connection.close()

    def _is_ours(self) -> bool:
        until = timezone.now() + timedelta(seconds=LEASE_S)
        try:
            return bool(self._rows.filter(lease_until__isnull=False).update(lease_until=until))
        except DatabaseError as problem:
            log.warning("lease not renewed problem=%s", problem)
            connection.close()  # the next turn connects anew
            return True


class _Run:
    """One worker's run over an operation. A stage's end is written together with what follows it: one commit a stage."""

    def __init__(self, operation: Operation, worker: str, saga: Saga, hypervisors: Hypervisors) -> None:
        self._operation = operation
        self._worker = worker
        self._saga = saga
        self._hypervisors = hypervisors
        self._rows = {row.name: row for row in operation.stages.all()}  # the same objects that are published
        self._unsaved: set[str] = set()
        self._told: dict[str, object] = {}  # params that the next save adds
        self._is_cancel_asked = False  # as the last save saw it

    def run(self) -> None:
        if self._operation.state != OperationState.UNDOING:
            params = dict(self._operation.params)
            params["claims"] = claims = int(params.get("claims", 0)) + 1
            started = self._operation.started_at or timezone.now()
            self._note(f"taken by worker {self._worker}")
            begun = {"state": OperationState.RUNNING, "params": params, "started_at": started}
            if claims > CLAIMS_MAX:
                self._save(**begun)
                self._fail(None, f"given up after {CLAIMS_MAX} workers ended in the middle of it")
            elif not self._do_all(begun):
                return self._undo_all()
            else:
                self._note("done")
                columns = {"state": OperationState.DONE, "finished_at": timezone.now(), "lease_until": None}
                return self._save(**columns, **self._without_asked())
        self._undo_all()

    def _do_all(self, begun: Mapping[str, object]) -> bool:
        for stage in self._saga:
            if self._rows[stage.name].state == StageState.DONE:
                continue
            self._mark(stage, state=StageState.RUNNING, started_at=timezone.now(), finished_at=None, detail="")
            self._save(**begun)
            begun = {}
            try:
                if self._is_cancel_asked:
                    stop_if_cancelled(self._context(stage))
                problem = self._do(stage)
            except Cancelled as words:
                self._fail(stage, str(words), StageState.CANCELLED)
                return False
            if problem is not None:
                self._fail(stage, problem)
                return False
        return True

    def _without_asked(self) -> dict[str, object]:
        """The params without what only a retry needs: user-data may be a secret."""
        if "asked" not in self._operation.params:
            return {}
        stored: dict[str, object] = Operation.objects.values_list("params", flat=True).get(pk=self._operation.pk)
        return {"params": {name: value for name, value in stored.items() if name != "asked"}}

    def _do(self, stage: Stage) -> str | None:
        """Words for why the stage failed, or None."""
        try:
            context = self._context(stage)
            detail = stage.do(context) or ""
            self._told |= context.told
        except (StageError, HypervisorError, DiskProblem, OSError) as problem:
            return str(problem)
        except (LeaseLost, Cancelled):
            raise
        except Exception as problem:  # a stage's edge: a bug of ours must not leave half a VM
            log.exception("stage broke operation=%s stage=%s", self._operation.uuid, stage.name)
            return f"internal error in stage {stage.name}: {problem!r}"
        self._mark(stage, state=StageState.DONE, finished_at=timezone.now(), detail=detail[:300])
        return None

    def _fail(self, stage: Stage | None, problem: str, state: StageState = StageState.FAILED) -> None:
        if stage is not None:
            self._mark(stage, state=state, finished_at=timezone.now(), detail=problem[:300])
        self._note("undoing what was done")
        self._save(state=OperationState.UNDOING, error=problem)

    def _undo_all(self) -> None:
        for stage in reversed(self._saga):
            row = self._rows[stage.name]
            if row.state in (StageState.WAITING, StageState.UNDONE):
                continue
            try:
                stage.undo(self._context(stage))
            except (StageError, HypervisorError, DiskProblem, OSError) as problem:
                return self._later(stage, str(problem))
            if row.state in (StageState.FAILED, StageState.CANCELLED):
                self._note(f"{row.title}: what it began is undone")
            else:
                self._mark(stage, state=StageState.UNDONE, finished_at=timezone.now())
                self._save()
        was_cancelled = any(row.state == StageState.CANCELLED for row in self._rows.values())
        ended = OperationState.CANCELLED if was_cancelled else OperationState.FAILED
        self._note(str(ended.value))
        self._save(state=ended, finished_at=timezone.now(), lease_until=None)

    def _later(self, stage: Stage, problem: str) -> None:
        """The undo is tried again when the lease that stands now has run out."""
        log.warning("undo waits operation=%s stage=%s problem=%s", self._operation.uuid, stage.name, problem)
        self._mark(stage, detail=f"undo waits: {problem}"[:300])
        self._save()

    def _context(self, stage: Stage) -> Context:
        def tell(words: str) -> None:
            self._rows[stage.name].detail = words[:300]
            self._unsaved.add(stage.name)
            self._save()

        return Context(self._operation, self._hypervisors, time.monotonic() + stage.deadline_s, tell)

    def _mark(self, stage: Stage, **columns: object) -> None:
        """Change a stage's line; the next save writes it."""
        row = self._rows[stage.name]
        for name, value in columns.items():
            setattr(row, name, value)
        self._unsaved.add(stage.name)
        self._note(f"{row.title}: {row.state}" + f" ({row.detail})" * bool(row.detail))

    def _note(self, words: str) -> None:
        """A line of the log; the next save writes it."""
        self._operation.log = [*self._operation.log, [timezone.now().isoformat(), words]][-LOG_LINES_MAX:]

    def _save(self, **columns: Any) -> None:
        """Write the marked stages and these columns of the operation, if it is still ours; tell its readers.

        The same statement sees whether somebody asked to cancel."""
        if self._told:
            columns["params"] = columns.get("params", self._operation.params) | self._told
        with transaction.atomic():
            mine = Operation.objects.filter(pk=self._operation.pk, worker=self._worker)
            written = {"log": self._operation.log, **columns}
            self._is_cancel_asked = not mine.filter(cancel_asked_at__isnull=True).update(**written)
            if self._is_cancel_asked and not mine.update(**written):
                raise LeaseLost(str(self._operation.uuid))
            if self._is_cancel_asked and self._operation.cancel_asked_at is None:
                self._operation.refresh_from_db(fields=["cancel_asked_at", "cancel_asked_by"])
            for name in self._unsaved:
                self._rows[name].save(update_fields=["state", "started_at", "finished_at", "detail"])
            for name, value in columns.items():
                setattr(self._operation, name, value)
            operation_changed(self._operation)
        self._told.clear()
        self._unsaved.clear()
