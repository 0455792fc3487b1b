"""Who may join a topic, and a topic's state as of one number."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction

from portal.accounts.models import Membership, User
from portal.compute.models import VM
from portal.compute.serialize import vm_as_json
from portal.live.models import Topic
from portal.live.transient import transient_snapshot
from portal.operations.models import Operation
from portal.operations.serialize import operation_as_json
from portal.traces.models import TraceRequest
from portal.traces.serialize import trace_as_json

OPERATIONS_SHOWN = 100


def refusal_of(user: User, topic: str) -> str:
    """Why the person may not join the topic; nothing when they may. Strangers cannot tell absent from forbidden."""
    kind, _, name = topic.partition(":")
    if topic == "hosts" or (kind == "flows" and user.is_operator):
        return ""
    if kind == "team" and Membership.objects.filter(user=user, team__slug=name).exists():
        return ""
    asked = TraceRequest.objects.filter(team__memberships__user=user)
    if kind in ("trace", "counters") and _uuid(name) and asked.filter(uuid=name).exists():
        return ""
    return f"no topic {topic[:100]} for you"


def snapshot_of(topic: str) -> dict[str, Any]:
    """`{"seq": n, "state": {object: data}}`; the caller checked that the reader may join."""
    kind, _, name = topic.partition(":")
    if kind in ("counters", "flows") or topic == "hosts":
        live = transient_snapshot(topic)
        if topic != "hosts" or live["seq"]:
            return live
    with transaction.atomic():
        row = Topic.objects.filter(name=topic).first()
        state: dict[str, Any] = {}
        if kind == "team":
            state = _team_state(name)
        elif kind == "trace":
            trace = TraceRequest.objects.get(uuid=name)
            state = {f"trace:{name}": trace_as_json(trace)}
        return {"seq": row.seq if row else 0, "state": state}


def _team_state(slug: str) -> dict[str, Any]:
    vms = VM.objects.filter(team__slug=slug).select_related("image", "flavor", "host")
    vms = vms.prefetch_related("ports__addresses", "ports__network")
    state: dict[str, Any] = {f"vm:{vm.uuid}": vm_as_json(vm) for vm in vms}
    operations = Operation.objects.filter(team__slug=slug).prefetch_related("stages")[:OPERATIONS_SHOWN]
    state.update({f"operation:{one.uuid}": operation_as_json(one) for one in operations})
    return state


def _uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
