"""A packet at any port of a live host's bridges, foreign ones too: asked by operators, answered by a worker."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from portal.accounts.audit import record
from portal.accounts.models import User
from portal.hosts.models import Host
from portal.live.events import publish
from portal.operations.dispatch import enqueue_port_trace
from portal.topology.models import HostSeen
from portal.traces.models import PortTrace
from portal.traces.raw import PacketAsked, packet_errors
from portal.traces.requests import TraceProblem
from sdn.model.switch import SwitchSeen, switch_from_json

MOST = 50  # of a host; the oldest go


def switch_of(host: Host) -> SwitchSeen | None:
    """What the host's OVSDB told last."""
    seen = HostSeen.objects.filter(host=host).first()
    return switch_from_json(seen.switch) if seen is not None and seen.switch else None


@transaction.atomic
def ask_port_trace(host: Host, user: User, asked: PacketAsked) -> PortTrace:
    """The packet's way, sent to a worker on commit. Raises TraceProblem, and then nothing is stored."""
    switch = switch_of(host)
    bridges = [bridge.name for bridge in switch.bridges] if switch else []
    if errors := packet_errors(asked, bridges, host.name):
        raise TraceProblem(errors)
    made = PortTrace.objects.create(
        host=host, created_by=user, bridge=asked.bridge, flow=asked.flow.strip(), ct_next=list(asked.ct_next)
    )
    record("flow.trace", None, user, ("host", str(host.pk), host.name), after={"bridge": asked.bridge, "flow": made.flow[:200]})  # fmt: skip
    for old in PortTrace.objects.filter(host=host)[MOST:]:
        publish("hosts", "port_trace.deleted", _object(old), {})
        old.delete()
    port_trace_changed(made)
    transaction.on_commit(lambda: enqueue_port_trace(made.pk))
    return made


def port_trace_changed(row: PortTrace) -> None:
    """Tell the operators how far it is."""
    publish("hosts", "port_trace.changed", _object(row), {"state": row.state})


def port_traces_state() -> dict[str, Any]:
    """What the operators' topic tells of them, in one query."""
    return {_object(row): {"state": row.state} for row in PortTrace.objects.only("uuid", "state")}


def _object(row: PortTrace) -> str:
    return f"port_trace:{row.uuid}"
