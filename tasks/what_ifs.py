"""Answering a what-if: the intent of now on one world of the shadow, the edited one on the other, and what differs."""

from __future__ import annotations

import logging
from ipaddress import ip_address, ip_network
from typing import cast

from django.db import transaction
from django.db.models import Max

from portal.checks.models import RunState, WhatIf
from portal.checks.requests import rule_of
from portal.checks.serialize import run_changed
from portal.networks.causes import explain_causes
from portal.networks.groups import GroupProblem
from portal.networks.intent import rule_intent
from portal.networks.models import SecurityRule
from portal.networks.rule_check import check_rule
from portal.traces.models import TraceRequest
from portal.traces.requests import ports_of
from sdn.model.intent import IntentSnapshot
from sdn.model.trace import to_json
from sdn.reach import (
    AddRule,
    Changed,
    Edit,
    RemoveRule,
    Service,
    SetRoute,
    changed_pairs,
    edited,
    flow_diff,
    matrix,
    touched_pairs,
    touched_services,
)
from sdn.reach import rule_of as edit_rule
from sdn.reach.pairs import ServiceProtocol
from sdn.trace import predict
from sdn.trace.redact import redacted
from tasks.shadows import EDITED, Stage, desk, read_intent
from tasks.trace_outside import asked_question
from tasks.trace_rows import read_ports, read_setting

log = logging.getLogger("hopsight.what_ifs")
LINES_KEPT, PAIRS_KEPT = 200, 200
GONE = "What it is about is gone: somebody changed it meanwhile."


def run_what_if(run_id: int) -> None:
    """Compute it and tell the team; whatever fails ends as words in it."""
    run = WhatIf.objects.filter(pk=run_id, state=RunState.RUNNING).select_related("team", "group", "removed", "trace__team", "trace__outside").first()  # fmt: skip
    if run is None:
        return
    try:
        run.result, run.generation = _computed(run)
        run.state = RunState.DONE
    except (KeyError, GroupProblem):
        run.state, run.error = RunState.FAILED, GONE
    except Exception:  # the task's edge: whoever waits must be told
        log.exception("what_if=%s failed", run.uuid)
        run.state, run.error = RunState.FAILED, "The shadow switch failed; the log of the worker has the details."
    with transaction.atomic():
        run.save(update_fields=["state", "result", "generation", "error"])
        run_changed(run)


def _computed(run: WhatIf) -> tuple[dict[str, object], int]:
    ports = {port.pk: port.vm.name if port.vm else port.name for port in ports_of(run.team)}
    snapshot, views = read_intent()
    known = {port.id for port in snapshot.ports}
    ids = [port_id for port_id in ports if port_id in known]
    edit = _edit(run)
    services = _services(snapshot, edit, run)
    pairs = touched_pairs(snapshot, edit, ids)
    with desk.held() as held:
        before, after = held.stage(snapshot, views), held.stage(edited(snapshot, edit), views, EDITED)
        changed = [
            pair
            for service in services
            for pair in changed_pairs(
                matrix(before.scene, before.world, service, ids, pairs),
                matrix(after.scene, after.world, service, ids, pairs),
            )
        ]
        traces = [_traced(run.trace, stage) for stage in (before, after)]
        flows = flow_diff(before.scene.flows, after.scene.flows)
    found = {
        "flows": {host: list(lines[:LINES_KEPT]) for host, lines in flows.items()},
        "flow_count": sum(map(len, flows.values())),
        "before": traces[0], "after": traces[1],
        "changed": [_as_json(one, ports) for one in changed[:PAIRS_KEPT]],
        "changed_count": len(changed), "services": [str(service) for service in services],
        "pairs": len(ids) * (len(ids) - 1) * len(services),
    }  # fmt: skip
    return found, snapshot.generation


def _services(snapshot: IntentSnapshot, edit: Edit, run: WhatIf) -> tuple[Service, ...]:
    """What the pairs are asked for. Routes know no services: a ping stands for all of them, beside the trace's own."""
    if isinstance(edit, SetRoute):
        return tuple(dict.fromkeys((Service("icmp"), *_asked(run.trace))))
    rules = [rule for group in snapshot.groups for rule in group.rules]
    return touched_services(rules, edit_rule(snapshot, edit), _asked(run.trace))


def _edit(run: WhatIf) -> Edit:
    """The edit; a new rule has the id that its row would most likely get. Raises KeyError, GroupProblem."""
    if run.router_id is not None:
        via = run.rule["next_hop"]
        return SetRoute(run.router_id, ip_network(run.rule["destination"]), ip_address(via) if via else None)
    if run.group_id is None:
        raise KeyError("group")
    if run.action == WhatIf.Action.REMOVE:
        if run.removed_id is None:
            raise KeyError(run.group_id)
        return RemoveRule(run.group_id, run.removed_id)
    columns, errors = check_rule(rule_of(run))
    if errors:
        raise GroupProblem(errors)
    next_id = (SecurityRule.objects.aggregate(last=Max("pk"))["last"] or 0) + 1
    return AddRule(run.group_id, rule_intent(SecurityRule(pk=next_id, group_id=run.group_id, **columns)))


def _asked(trace: TraceRequest | None) -> list[Service]:
    """The trace's own service is compared, too."""
    if trace is None or trace.protocol not in ("tcp", "udp", "icmp"):
        return []
    return [Service(cast(ServiceProtocol, trace.protocol), trace.port_dst)]


def _traced(request: TraceRequest | None, stage: Stage) -> dict[str, object] | None:
    """The trace's question asked of the stage; None where there is none, or an end of it is gone."""
    if request is None or (request.target_id is None and not request.address):
        return None
    rows = {port.pk: port for port in read_ports().filter(pk__in=[request.source_id or 0, request.target_id or 0])}
    source, target = rows.get(request.source_id or 0), rows.get(request.target_id or 0)
    if (source is None and (request.outside is None or target is None)) or (request.target_id and target is None):
        return None
    first = TraceRequest(
        team=request.team, source=source, target=target, address=request.address, protocol=request.protocol,
        port_dst=request.port_dst, moment="first", size_bytes=request.size_bytes, outside=request.outside,
        source_address=request.source_address, header_fields=request.header_fields,
    )  # fmt: skip
    setting = read_setting(tuple(port for port in (source, target) if port))
    question, _ = asked_question(first, setting, source, target)
    return to_json(redacted(predict(question, stage.world, explain_causes), request.team.slug))


def _as_json(one: Changed, names: dict[int, str]) -> dict[str, str]:
    return {
        "service": str(one.service), "source": names[one.source], "target": names[one.target],
        "before": one.before.verdict, "after": one.after.verdict, "reason": one.after.reason,
    }  # fmt: skip
