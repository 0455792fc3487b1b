"""A trace's question as one line, for people: the page, files and terminals say it alike."""

from __future__ import annotations

from collections.abc import Mapping

from sdn.model.asked import Asked
from sdn.model.trace import Trace

MOMENTS = {
    "as_is": "as its connection is now",
    "first": "first of a new connection",
    "established": "one of an established connection",
    "next": "first of the next connection",
}
SOURCES, TARGETS = ("nw_src", "ipv6_src", "arp_spa"), ("nw_dst", "ipv6_dst", "arp_tpa")
ASKED_FOR = ("nd_target", *TARGETS)  # whose question goes to a group of neighbours


def question_words(trace: Trace) -> str:
    """The line of a trace's own question, whichever way it goes; "" where it carries none."""
    if trace.question is None:
        return ""
    packet = trace.packet
    if trace.direction == "return":  # the packet's ends are the question's, turned round
        turned = dict(zip(SOURCES + TARGETS, TARGETS + SOURCES, strict=True))
        packet = {turned.get(name, name): value for name, value in packet.items()}
    return asked_words(trace.question, packet)


def asked_words(asked: Asked, packet: Mapping[str, str]) -> str:
    """`tcp/22 over IPv4 from web-1 (10.20.0.11) to db-1 (10.20.0.12); first of a new connection; 84 bytes; as of now (asked …)`.

    `packet` is the packet of the way there, whose addresses are told beside the names; empty where it is not known.
    """
    when = f"as of {_clock(asked.at)}" if asked.at else "as of now"
    asked_at = f" (asked {_clock(asked.asked_at)})" if asked.asked_at else ""
    parts = _flow(asked) if asked.flow else _packet(asked, packet)
    return "; ".join([*(part for part in parts if part), f"{when}{asked_at}"])


def _flow(asked: Asked) -> tuple[str, ...]:
    states = f"conntrack says {'; '.join(asked.ct_next)}" if asked.ct_next else ""
    return (f"{asked.flow} into {asked.source_name or 'a port'} of {asked.bridge}", states)


def _packet(asked: Asked, packet: Mapping[str, str]) -> tuple[str, ...]:
    service = f"{asked.protocol}/{asked.port_dst}" if asked.port_dst else asked.protocol
    over = f" over IPv{asked.family}" if asked.family else ""
    source, target = ends_of(asked, packet)
    return (
        f"{service}{over} from {source} to {target}",
        MOMENTS.get(asked.moment, asked.moment),
        f"{asked.size_bytes} bytes",
        f"with {asked.header_fields}" if asked.header_fields else "",
        "its real packet handed over to the guest" if asked.deliver else "",
    )


def ends_of(asked: Asked, packet: Mapping[str, str]) -> tuple[str, str]:
    """Both ends by their names, with the packet's addresses where these are not the names."""
    source = _named(asked.source_name, asked.source_address or _first(packet, SOURCES))
    return source, _named(asked.target_name, _first(packet, ASKED_FOR))


def _named(name: str, address: str) -> str:
    return f"{name} ({address})" if address and address != name else name


def _first(packet: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((packet[name] for name in names if name in packet), "")


def _clock(iso: str) -> str:
    """`2026-11-26 03:10:00 UTC` of an ISO instant, whose own offset is kept where it is another."""
    day, _, time = iso.partition("T")
    offset = time[8:].lstrip(".0123456789")
    return f"{day} {time[:8]} {'UTC' if offset in ('', 'Z', '+00:00') else offset}"
