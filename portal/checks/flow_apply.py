"""Applying a what-if about a flow: only to a bridge that is not ours, exactly as it was tried, and with consent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils.translation import gettext

from portal.accounts.models import User
from portal.checks.models import FlowWhatIf, RunState
from portal.checks.requests import SHOWN_CHARS, CheckProblem, Errors
from portal.operations.cancel import OperationProblem
from portal.operations.models import Operation
from portal.operations.requests import Subject, begin_operation
from portal.topology.bridges import OURS
from sdn.reconcile import WireFlow, WireKey, is_ours, wire_flow


@dataclass(frozen=True, slots=True)
class Exact:
    """One flow as it is and as it would be, in the switch's own bytes; None: it is not there."""

    before: WireFlow | None
    after: WireFlow | None

    @property
    def key(self) -> WireKey:
        flow = self.after or self.before
        assert flow is not None
        return flow.key


def pack_exact(changes: Iterable[Exact]) -> list[list[Any]]:
    """As JSON; `exact_of` is the inverse."""
    return [[_packed(one.before), _packed(one.after)] for one in changes]


def exact_of(run: FlowWhatIf) -> list[Exact]:
    """The change of the what-if, flow by flow."""
    return [Exact(_unpacked(before), _unpacked(after)) for before, after in run.exact]


def _packed(flow: WireFlow | None) -> list[Any] | None:
    if flow is None:
        return None
    match, instructions = flow.match.hex(), flow.instructions.hex()
    return [flow.table_id, flow.priority, match, flow.cookie, instructions, flow.timeouts]


def _unpacked(values: list[Any] | None) -> WireFlow | None:
    if values is None:
        return None
    table, priority, match, cookie, instructions, timeouts = values
    return wire_flow(table, priority, bytes.fromhex(match), cookie, bytes.fromhex(instructions), timeouts)


def why_not(run: FlowWhatIf) -> str:
    """Why it cannot be applied; nothing when it can."""
    if run.state != RunState.DONE:
        return gettext("it has no answer to apply")
    if run.applied_at is not None:
        return gettext("it was applied already")
    if run.bridge == OURS:
        return gettext(
            "%(ours)s is Hopsight’s: its flows come from rows, and foreign ones are no business of Hopsight’s"
        ) % {"ours": OURS}
    flows = [flow for one in exact_of(run) for flow in (one.before, one.after) if flow]
    if any(is_ours(flow.cookie) for flow in flows):
        return gettext("a cookie with Hopsight’s mark has no place on another bridge")
    return ""


def apply_flow_what_if(run: FlowWhatIf, user: User, typed: str) -> Operation:
    """The operation that sends it. `typed` must be the bridge's name: the consent. Raises CheckProblem with all reasons."""
    with transaction.atomic():
        locked = FlowWhatIf.objects.select_for_update(of=("self",)).select_related("host").get(pk=run.pk)
        errors: Errors = {}
        if reason := why_not(locked):
            errors["what_if"] = [reason]
        if typed.strip() != locked.bridge:
            errors["typed"] = [
                gettext("type %(bridge)s to consent; “%(typed)s” was typed")
                % {"bridge": locked.bridge, "typed": typed[:SHOWN_CHARS]}
            ]
        if errors:
            raise CheckProblem(errors)
        lines = [f"{sign} {line}" for sign, line, _ in (locked.result or {}).get("lines", [])]
        after = {"bridge": locked.bridge, "flows": lines}
        subject = Subject("host", locked.host.uuid, locked.host.name)
        return begin_operation("flow.apply", None, user, subject, {"what_if": str(locked.uuid)}, after)


def apply_again(operation: Operation, user: User) -> Operation:
    """The same once more. Raises OperationProblem."""
    run = FlowWhatIf.objects.filter(uuid=operation.params["what_if"]).first()
    if run is None:
        raise OperationProblem(gettext("the what-if was thrown away"))
    try:
        return apply_flow_what_if(run, user, run.bridge)
    except CheckProblem as problem:
        raise OperationProblem(str(problem)) from None
