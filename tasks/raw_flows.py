"""A packet that people write as a flow in ovs-ofctl's syntax, with the port that it comes in by."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import cast

from sdn.model.addresses import Mac
from sdn.model.asked import Asked
from sdn.model.packet import Address, Packet, Protocol
from sdn.trace.fields import field_name, protocol_of
from sdn.trace.parser import parse_flow
from sdn.trace.question import Question

ANY = "0.0.0.0"
LOCAL = 65534


class FlowProblem(Exception):
    """The packet can't be asked about; the message says what was given and what is allowed."""


def fields_in(text: str) -> dict[str, str]:
    """The flow as fields by their newer names, as it was typed."""
    return {field_name(name): value.strip('"') for name, value in parse_flow(text.strip()).items()}


def read_flow(text: str, bridge: str, numbers: Mapping[str, int]) -> dict[str, str]:
    """The flow as fields, an in_port's name as its number; `numbers` are the bridge's ports by name. Raises FlowProblem."""
    fields = fields_in(text)
    given = fields.get("in_port", "")
    if given == "LOCAL" or given == bridge:
        fields["in_port"] = str(LOCAL)
    elif given and not given.isdigit():
        number = numbers.get(given)
        if number is None:
            known = ", ".join(numbers) or "none"
            raise FlowProblem(f"in_port {given!r} was given; {bridge} has the ports {known}")
        fields["in_port"] = str(number)
    elif not given:
        raise FlowProblem("the flow has no in_port: say where the packet comes in, such as in_port=9,tcp,…")
    if "nw_ttl" not in fields and protocol_of(fields) not in ("", "arp", "rarp"):
        fields["nw_ttl"] = "64"  # a packet without one would be dropped at the first router, and no guest sends it so
    return fields


def packet_of(fields: Mapping[str, str]) -> Packet:
    """The flow as a packet of the model, for the words of the answer; the trace itself takes the flow as given."""
    protocol = protocol_of(fields).rstrip("6") or "ip"
    known = protocol if protocol in ("icmp", "tcp", "udp", "sctp", "arp") else "icmp"
    source = fields.get("nw_src") or fields.get("ipv6_src") or fields.get("arp_spa") or ANY
    target = fields.get("nw_dst") or fields.get("ipv6_dst") or fields.get("arp_tpa") or ANY
    return Packet(
        cast(Protocol, known), Mac(fields.get("dl_src", "00:00:00:00:00:00")),
        Mac(fields.get("dl_dst", "00:00:00:00:00:00")), _address(source), _address(target),
        port_dst=int(fields.get("tp_dst", "0")) if fields.get("tp_dst", "0").isdigit() else 0,
    )  # fmt: skip


def asked_by_flow(question: Question, flow: str) -> Asked:
    """The question of a packet that was given as a flow, which its answer repeats."""
    version = question.packet.ip_dst.version if str(question.packet.ip_dst) != ANY else 0
    return Asked(
        bridge=question.bridge, flow=flow.strip(), ct_next=question.ct_next, protocol=question.packet.protocol,
        source_name=question.source.name, target_name=question.target_name if version else "", family=version,
        asked_at=question.started_at,
    )  # fmt: skip


def _address(text: str) -> Address:
    try:
        return ip_address(text.partition("/")[0])
    except ValueError:
        return ip_address(ANY)
