"""Asking for a trace: the question is checked, stored and handed to a worker."""

from __future__ import annotations

from django.db import transaction

from portal.accounts.models import Team, User
from portal.networks.models import Port
from portal.operations.dispatch import enqueue_trace
from portal.traces.models import TraceRequest

PROTOCOLS = ("icmp", "tcp", "udp")
MAX_PORT = 65535


class TraceProblem(Exception):
    """The question cannot be asked. `errors` holds field → sentences, all at once."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__("; ".join(line for lines in errors.values() for line in lines))
        self.errors = errors


def check_trace(
    team: Team, source: Port | None, target: Port | None, protocol: str, port_dst: int
) -> dict[str, list[str]]:
    """Field → what is wrong with it; empty when the trace can be asked for."""
    errors: dict[str, list[str]] = {}
    for name, port in (("source", source), ("target", target)):
        if port is None or port.network.team_id != team.pk:
            errors[name] = [f"{name} is no VM of team {team.name}: choose one of the list"]
    if source is not None and target is not None:
        if source.pk == target.pk:
            errors["target"] = [f"source and target are both {source.name}: choose two VMs"]
        elif source.network_id != target.network_id:
            errors["target"] = [
                f"{target.name} is on {target.network.name} and {source.name} on {source.network.name}: "
                "a trace runs within one network"
            ]
    if protocol not in PROTOCOLS:
        errors["protocol"] = [f"protocol {protocol!r} was given; allowed are {', '.join(PROTOCOLS)}"]
    elif protocol != "icmp" and not 1 <= port_dst <= MAX_PORT:
        errors["port_dst"] = [f"port {port_dst} was given; {protocol} takes 1 to {MAX_PORT}"]
    return errors


def trace_title(source: Port, target: Port, protocol: str, port_dst: int) -> str:
    """`web-1 → db-1 tcp/5432`."""
    service = protocol if protocol == "icmp" else f"{protocol}/{port_dst}"
    return f"{source.name} → {target.name} {service}"


def create_trace(
    team: Team, user: User, source_port: Port, target_port: Port, protocol: str, port_dst: int
) -> TraceRequest:
    """A stored trace in state running, sent to a worker on commit. Raises TraceProblem, and then nothing is stored."""
    errors = check_trace(team, source_port, target_port, protocol, port_dst)
    if errors:
        raise TraceProblem(errors)
    with transaction.atomic():
        trace = TraceRequest.objects.create(
            team=team,
            created_by=user,
            source=source_port,
            target=target_port,
            protocol=protocol,
            port_dst=0 if protocol == "icmp" else port_dst,
            title=trace_title(source_port, target_port, protocol, port_dst),
        )
        transaction.on_commit(lambda: enqueue_trace(trace.pk))
    return trace
