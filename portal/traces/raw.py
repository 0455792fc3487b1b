"""A packet written as a flow: what a form's fields come to, and what is wrong with one, for bundles and live hosts alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.http import QueryDict
from django.utils.translation import gettext

MAX_FLOW_CHARS, MAX_STATES, SHOWN_CHARS = 2000, 8, 60
PROTOCOLS = ("icmp", "tcp", "udp", "sctp", "arp", "icmp6", "tcp6", "udp6", "ip", "ipv6")
FIELDS = ("in_port", "protocol", "dl_src", "dl_dst", "vlan", "source", "target", "port_dst")


@dataclass(frozen=True, slots=True)
class PacketAsked:
    """A packet: on which bridge it comes in, as a flow in ovs-ofctl's syntax, and conntrack's states in order."""

    bridge: str
    flow: str
    ct_next: tuple[str, ...] = ()


def packet_of_form(posted: QueryDict) -> PacketAsked:
    """The raw flow where one was typed, else what the fields come to."""
    flow = posted.get("flow", "").strip() or flow_of_fields({name: posted.get(name, "") for name in FIELDS})
    states = tuple(one.strip() for one in posted.get("ct_next", "").split(";") if one.strip())
    return PacketAsked(posted.get("bridge", ""), flow, states)


def given_in(posted: QueryDict) -> dict[str, str]:
    """What the form is shown with again."""
    names = (*FIELDS, "flow", "bridge", "ct_next")
    return {"protocol": "tcp", **{name: posted.get(name, "") for name in names if name in posted}}


def packet_errors(asked: PacketAsked, bridges: Iterable[str], where: str) -> dict[str, list[str]]:
    """Field → what is wrong with it; `where` has the bridges."""
    errors: dict[str, list[str]] = {}
    names = list(bridges)
    if asked.bridge not in names:
        errors["bridge"] = [
            gettext("bridge %(bridge)s was given; %(where)s has %(names)s")
            % {"bridge": f"{asked.bridge[:SHOWN_CHARS]!r}", "where": where, "names": ", ".join(names) or "none"}
        ]
    if not asked.flow.strip() or len(asked.flow) > MAX_FLOW_CHARS or not asked.flow.isprintable():
        errors["flow"] = [gettext("a flow of 1 to %(max_flow_chars)s printable characters is allowed, such as in_port=9,tcp,nw_dst=10.0.0.2,tp_dst=22") % {"max_flow_chars": MAX_FLOW_CHARS}]  # fmt: skip
    if len(asked.ct_next) > MAX_STATES or any(not one.isprintable() or len(one) > SHOWN_CHARS for one in asked.ct_next):
        errors["ct_next"] = [
            gettext("at most %(max_states)s states are allowed, such as trk,est") % {"max_states": MAX_STATES}
        ]
    return errors


def flow_of_fields(fields: Mapping[str, str]) -> str:
    """The form's fields as a flow in ovs-ofctl's syntax; an empty one is left out."""
    protocol = fields.get("protocol", "")
    is_v6 = protocol.endswith("6") or protocol == "ipv6"
    source, target = ("arp_spa", "arp_tpa") if protocol == "arp" else ("ipv6_src", "ipv6_dst") if is_v6 else ("nw_src", "nw_dst")  # fmt: skip
    given: Iterable[tuple[str, str]] = (
        ("in_port", fields.get("in_port", "")), ("dl_src", fields.get("dl_src", "")), ("dl_dst", fields.get("dl_dst", "")),
        ("dl_vlan", fields.get("vlan", "")), (source, fields.get("source", "")), (target, fields.get("target", "")),
        ("tp_dst", fields.get("port_dst", "") if protocol.rstrip("6") in ("tcp", "udp", "sctp") else ""),
    )  # fmt: skip
    parts = [f"{name}={value.strip()}" for name, value in given if value.strip()]
    return ",".join([parts[0], protocol, *parts[1:]] if protocol in PROTOCOLS and parts else parts)
