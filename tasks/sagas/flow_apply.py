"""Sending exactly the change of a what-if to a bridge that is not ours, in one bundle, if the bridge is as it was when it
was tried. What is there already stays; a bridge that somebody changed meanwhile is left alone, and the operation says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from django.utils import timezone

from portal.checks.flow_apply import Exact, exact_of
from portal.checks.models import FlowWhatIf
from portal.checks.serialize import flow_what_if_changed
from portal.topology.flow_rows import flow_line
from sdn.reconcile import Plan, WireFlow, WireKey
from sdn.transport.openflow import ChannelError, open_channel
from tasks.sagas.engine import Context, Saga, Stage, StageError
from tasks.sagas.rows import operation_params

Table = Mapping[WireKey, WireFlow]


def look(context: Context) -> str:
    run = _run(context)
    return f"{run.bridge} is as it was tried" if _left(run, _table(run)) else "the change is there already"


def apply(context: Context) -> str:
    """What an earlier worker sent is there, and is not sent again."""
    run = _run(context)
    left = _left(run, _table(run))
    after = _table(run, _plan(left))
    missing = [one for one in exact_of(run) if after.get(one.key) != one.after]
    if missing:
        raise StageError(f"{run.bridge} did not take it as it was tried: {_line(missing[0])}")
    FlowWhatIf.objects.filter(pk=run.pk).update(applied_at=timezone.now(), applied_by=context.operation.created_by)
    flow_what_if_changed(run)
    return f"{len(left)} flow{'' if len(left) == 1 else 's'} in one bundle"


def _run(context: Context) -> FlowWhatIf:
    uuid = operation_params(context)["what_if"]
    run = FlowWhatIf.objects.select_related("host").filter(uuid=uuid).first()
    if run is None:
        raise StageError("the what-if was thrown away meanwhile")
    return run


def _table(run: FlowWhatIf, plan: Plan | None = None) -> Table:
    """The bridge's flows, after the plan."""
    try:
        return asyncio.run(_changed(Path(run.host.ovs_rundir) / f"{run.bridge}.mgmt", plan))
    except (ChannelError, OSError) as problem:
        raise StageError(f"{run.bridge} on {run.host.name}: {problem}") from problem


def _left(run: FlowWhatIf, table: Table) -> list[Exact]:
    """What is not as it is wanted yet. Raises StageError where it is not as it was tried either."""
    left = [one for one in exact_of(run) if table.get(one.key) != one.after]
    for one in left:
        there = table.get(one.key)  # a copy's flows have no timeouts
        if (there._replace(timeouts=0) if there and one.before else there) != one.before:
            raise StageError(f"{run.bridge} is other than when it was tried, nothing was sent: {_line(one)}")
    return left


def _line(one: Exact) -> str:
    flow = one.after or one.before
    return flow_line(flow) if flow else ""


def _plan(left: list[Exact]) -> Plan:
    return Plan(
        add=tuple(one.after for one in left if one.after and not one.before),
        replace=tuple(one.after for one in left if one.after and one.before),
        delete=tuple(one.before for one in left if one.before and not one.after),
    )


async def _changed(mgmt: Path, plan: Plan | None) -> Table:
    channel = await open_channel(str(mgmt))
    try:
        if plan is not None and not plan.is_empty:
            await channel.apply(plan)
        return {flow.key: flow for flow in await channel.dump_flows()}
    finally:
        channel.close("done")


SAGAS: dict[str, Saga] = {"flow.apply": (Stage("look", look), Stage("apply", apply))}
