"""Who may join a topic, and a topic's state as of one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction

from portal.accounts.entries import TOPICS
from portal.accounts.factors import missing
from portal.accounts.models import ApiToken, Membership, User
from portal.accounts.permissions import is_allowed
from portal.accounts.scopes import allows
from portal.alerts.models import Alert
from portal.alerts.telling import live_alert
from portal.bundles.serialize import bundles_state
from portal.checks.serialize import flow_what_ifs_state
from portal.checks.serialize import team_state as checks_state
from portal.compute.models import VM
from portal.compute.serialize import vm_as_json
from portal.dashboards.models import Board
from portal.dashboards.requests import live_board
from portal.hosts.models import Host
from portal.hosts.serialize import host_as_json
from portal.live.models import Topic
from portal.live.transient import transient_snapshot
from portal.networks.models import Port
from portal.networks.owners import owner_of
from portal.operations.models import Operation
from portal.operations.serialize import operation_as_json
from portal.traces.models import TraceRequest
from portal.traces.port_traces import port_traces_state
from portal.traces.serialize import team_state as diagnoses_state
from portal.traces.serialize import trace_as_json
from portal.volumes.serialize import team_state as volumes_state

OPERATIONS_SHOWN = 100


def refusal_of(user: User, topic: str, token: ApiToken | None = None) -> str:
    """Why the person, who came with the token, may not join the topic; nothing when they may. Strangers cannot tell absent from
    forbidden."""
    kind, _, name = topic.partition(":")
    right = TOPICS.get(kind) if (kind != "hosts" or topic == kind) and not topic.endswith(":") else None
    one_team = token.team_id if token else None
    if token is not None and (right is None or not allows(token.scopes, right)):
        right = None
    operates = user.is_operator and one_team is None
    if right is not None and is_allowed(right, _role_over(user, kind, name, one_team), operates) and not missing(user):
        return ""
    return f"no topic {topic[:100]} for you"


def _role_over(user: User, kind: str, name: str, one_team: int | None) -> str | None:
    """The person's role in the team that a topic tells about; None for no team's topic and for no such topic."""
    memberships = Membership.objects.filter(user_id=user.pk, user__is_active=True)
    memberships = memberships if one_team is None else memberships.filter(team_id=one_team)
    if kind in ("team", "topology", "drops") and name:
        return memberships.filter(team__slug=name).values_list("role", flat=True).first()
    if kind == "sample" and _uuid(name):
        port = Port.objects.filter(uuid=name).select_related("vm__team", "network__team").first()
        return memberships.filter(team=owner_of(port)).values_list("role", flat=True).first() if port else None
    if kind == "capture" and _uuid(name):
        return memberships.filter(team__captures__uuid=name).values_list("role", flat=True).first()
    if kind == "probing" and _uuid(name):
        return memberships.filter(team__probings__uuid=name).values_list("role", flat=True).first()
    if kind in ("trace", "counters", "observed") and _uuid(name):
        return memberships.filter(team__traces__uuid=name).values_list("role", flat=True).first()
    return None


def snapshot_of(topic: str) -> dict[str, Any]:
    """`{"seq": n, "state": {object: data}}`; the caller checked that the reader may join."""
    kind, _, name = topic.partition(":")
    if kind in TRANSIENT:
        return transient_snapshot(topic)
    with transaction.atomic():
        row = Topic.objects.filter(name=topic).first()
        return {"seq": row.seq if row else 0, "state": STATES[kind](name)}


def _hosts_state(_: str) -> dict[str, Any]:
    hosts = {f"host:{host.name}": host_as_json(host) for host in Host.objects.all()}
    return hosts | bundles_state() | flow_what_ifs_state() | port_traces_state() | _operations_state(team=None)


def _trace_state(uuid: str) -> dict[str, Any]:
    trace = TraceRequest.objects.filter(uuid=uuid).first()
    return {f"trace:{uuid}": trace_as_json(trace)} if trace else {}


def _team_state(slug: str) -> dict[str, Any]:
    vms = VM.objects.filter(team__slug=slug).select_related("image", "flavor", "host")
    vms = vms.prefetch_related("ports__addresses", "ports__network", "ports__groups", "tags")
    state: dict[str, Any] = {f"vm:{vm.uuid}": vm_as_json(vm) for vm in vms}
    state.update(_operations_state(team__slug=slug))
    alerts = Alert.objects.filter(team__slug=slug, ended_at=None).select_related("acknowledged_by")
    state.update({f"alert:{alert.uuid}": live_alert(alert) for alert in alerts})
    state.update({f"board:{board.uuid}": live_board(board) for board in Board.objects.filter(team__slug=slug)})
    return state | checks_state(slug) | volumes_state(slug) | diagnoses_state(slug)


def _operations_state(**whose: Any) -> dict[str, Any]:
    rows = Operation.objects.filter(**whose).select_related("created_by", "cancel_asked_by", "retry_of")
    return {
        f"operation:{one.uuid}": operation_as_json(one) for one in rows.prefetch_related("stages")[:OPERATIONS_SHOWN]
    }


STATES: dict[str, Callable[[str], dict[str, Any]]] = {
    "team": _team_state,
    "trace": _trace_state,
    "hosts": _hosts_state,
}
TRANSIENT = ("counters", "flows", "topology", "drops", "observed", "sample", "capture", "probing")


def _uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
