"""What a trace's page offers to do with its path: pin it as a check, or try a rule on a copy."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from portal.compute.models import VM, VMState
from portal.networks.models import Port
from portal.networks.router_models import family_of
from portal.traces.models import TraceRequest
from portal.traces.outside import source_of
from sdn.model.trace import Trace
from sdn.pipeline import DROP_REASONS

CHECKED = ("tcp", "udp", "icmp")
# how a drop's reason ends where a rule of a group would have let the packet through
UNRULED = tuple(one.words for one in DROP_REASONS if one.name in ("egress_denied", "ingress_denied", "reply_denied"))


def pin_of(row: TraceRequest, trace: Trace | None, direction: str) -> dict[str, Any] | None:
    """The form fields of a check that the path stays as it is; None where it cannot be one."""
    to = row.target.uuid if row.target else row.address
    if trace is None or direction != "forward" or row.source is None or not to or row.protocol not in CHECKED:
        return None
    expected = "dropped" if trace.verdict == "dropped" else "delivered"
    return {"source": row.source.uuid, "target": to, "protocol": row.protocol, "port_dst": row.port_dst, "expected": expected}  # fmt: skip


def what_if_of(row: TraceRequest, trace: Trace | None, direction: str) -> dict[str, Any] | None:
    """The rule that would let the packet through, as a form; None where no group of the team judges it."""
    if trace is None or direction != "forward" or row.protocol not in CHECKED or not (row.source or row.outside):
        return None
    is_out = row.source is not None and (row.target is None or "egress" in trace.reason)
    judged = row.source if is_out else row.target
    groups = [group.name for group in judged.groups.all()] if judged else []
    if not groups:
        return None
    other = _address(row.target, trace) or row.address if is_out else _sender(row, trace)
    cidr = f"{other}/{ip_address(other).max_prefixlen}" if other else ""
    return {
        "direction": "egress" if is_out else "ingress", "protocol": row.protocol, "ports": row.port_dst or "",
        "cidr": cidr, "family": ip_address(other).version if other else 4, "groups": groups, "group": groups[-1],
        "protocols": CHECKED, "is_answer": any(words in trace.reason for words in UNRULED),
    }  # fmt: skip


def starts_of(row: TraceRequest, trace: Trace | None) -> VM | None:
    """The end that the trace says to start, where it is off."""
    for port in (row.source, row.target):
        said = (f"Start {port.name}.", f"Start {port.name}:") if port is not None else ()
        vm = port.vm if port is not None else None
        if vm is not None and vm.state == VMState.STOPPED and trace is not None and trace.suggestion.startswith(said):
            return vm
    return None


def _address(port: Port | None, trace: Trace) -> str:
    """The port's address that the traced packet has, or its first."""
    own = [row.address for row in port.addresses.all()] if port else []
    packet = set(trace.packet.values())
    return next((address for address in own if address in packet), own[0] if own else "")


def _sender(row: TraceRequest, trace: Trace) -> str:
    """The address that the packet comes from."""
    if row.outside is not None:
        return source_of(row.outside, row.source_address, family_of(row.address))
    return _address(row.source, trace)
