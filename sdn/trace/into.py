"""Where a packet leaves by a port whose cable ends in a network namespace: into which, by which interface, and whether it is for it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_interface

from sdn.linux.namespaces import FarEnd
from sdn.model.trace import Hop, Verdict
from sdn.trace.fields import header_of, stack_of
from sdn.trace.journey import Journey, Leg
from sdn.trace.question import HostUnreachable, PortFacts, TraceHost


def into_namespace(journey: Journey, host: TraceHost, port: PortFacts, far: FarEnd, fields: Mapping[str, str]) -> Leg | None:  # fmt: skip
    """The end of a packet that is for the interface there; None where the frame is for another MAC: what the namespace does with
    it (a bridge in it passes it on) is not told by its interface."""
    out = _cable_hop(host, port, far, fields)
    if not far.interface.is_up:
        reason = f"Dropped at the end of {port.name} of {port.bridge} on {host.name}: {far.words}, is down."
        suggestion = f"Have an operator of {host.name} look at {_command(far)}."
        return Leg("dropped", reason, [out], where="dropped", host=host.name, suggestion=suggestion)
    if not _is_for(far, fields):
        return None
    target = journey.question.target
    meant = target is not None and target.mac.lower() != far.interface.mac and not _is_group(fields)
    instead = f" instead of to {target.name}" if meant and target else ""
    reason = f"It leaves {host.name} by {port.name} of {port.bridge} into {far.words}{instead}.{_beyond(far, fields)}"
    verdict: Verdict = "unknown" if meant else "delivered"
    return Leg(verdict, reason, [out, _inner_hop(host, far, fields)], where=far.words, host=host.name)


def out_of_namespace(journey: Journey, host: TraceHost, fields: Mapping[str, str]) -> list[Hop]:
    """The interface that a packet comes from which is put into its source's port, where that port's cable leads out of a namespace."""
    question = journey.question
    try:
        ports = journey.world.ports(host.name)
    except HostUnreachable:
        return []
    own = (question.bridge, question.source.ofport)
    port = next((one for one in ports if (one.bridge, one.ofport) == own), None)
    far = journey.world.behind(host.name, port) if port is not None else None
    return [] if far is None else [_inner_hop(host, far, fields)]


def told_of(hop: Hop, far: FarEnd) -> Hop:
    """A hop that leads out of what we know, with what is at its other end."""
    inner = f", in {far.interface.bridge} there" if far.interface.bridge else ""
    return replace(hop, detail=f"{hop.detail}, into {far.words}{inner}", commands=(*hop.commands, _command(far)))


def _is_for(far: FarEnd, fields: Mapping[str, str]) -> bool:
    return _is_group(fields) or fields.get("dl_dst", "").lower() == far.interface.mac.lower()


def _is_group(fields: Mapping[str, str]) -> bool:
    try:
        return bool(int(fields.get("dl_dst", "00")[:2], 16) & 1)
    except ValueError:
        return False


def _beyond(far: FarEnd, fields: Mapping[str, str]) -> str:
    """What is to be said where the packet's address is none of the interface's."""
    address = fields.get("nw_dst") or fields.get("ipv6_dst") or fields.get("arp_tpa") or ""
    own = [str(ip_interface(one).ip) for one in far.interface.addresses]
    if not address or not own or address in own or (_is_group(fields) and "arp_tpa" not in fields):
        return ""
    return f" The address {address} is none of that interface's: whether it is passed on from there is the namespace's to say."


def _cable_hop(host: TraceHost, port: PortFacts, far: FarEnd, fields: Mapping[str, str]) -> Hop:
    is_moved = far.interface.name == port.name
    detail = (
        f"port {port.ofport} of {port.bridge}, {'moved' if is_moved else 'cable'} into namespace {far.namespace.name}"
    )
    header = header_of(fields)
    return Hop(
        "ovs_port" if is_moved else "veth", "host", host.name, port.name, detail, header_before=header, header_after=header,
        header_stack=stack_of(fields), commands=(f"ovs-vsctl list interface {port.name}", "ip -j netns list"),
    )  # fmt: skip


def _inner_hop(host: TraceHost, far: FarEnd, fields: Mapping[str, str]) -> Hop:
    header, one = header_of(fields), far.interface
    told = [f"namespace {far.namespace.name}", far.namespace.process, ", ".join(one.addresses) or "no address", one.mac]
    return Hop(
        "guest_nic", "guest", host.name, f"{far.namespace.name} {one.name}", ", ".join(filter(None, told)), header_before=header,
        header_after=header, header_stack=stack_of(fields), commands=(_command(far),),
    )  # fmt: skip


def _command(far: FarEnd) -> str:
    name = far.namespace.name
    shown = f"ip address show dev {shlex.quote(far.interface.name)}"  # whoever owns the namespace gave that name
    if name.startswith("pid "):
        return f"nsenter -t {name[4:]} -n {shown}"
    return f"ip netns exec {shlex.quote(name)} {shown}"
