"""Looks again and again at one question's real traffic, and tells the rates between two looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sdn.observe.datapath import DatapathFlow
from sdn.observe.follow import Glance, Passage, follow
from sdn.observe.look import Looker, LookFailed
from sdn.observe.observed import Explained, Rate, Seeing
from sdn.trace.fields import packet_fields, protocol_of
from sdn.trace.question import Question

FORGET_S = 60.0
ETHER_TYPES = {"arp": "0x0806", "ipv4": "0x0800", "ipv6": "0x86dd"}
PROTOCOLS = {
    "icmp": "1",
    "tcp": "6",
    "udp": "17",
    "sctp": "132",
    "icmp6": "58",
    "tcp6": "6",
    "udp6": "17",
    "sctp6": "132",
}


@dataclass(slots=True)
class Counts:
    """Entries' counters at the last look, by (host, ufid)."""

    last: dict[tuple[str, str], tuple[float, int, int]] = field(default_factory=dict)

    def rates(self, glances: Mapping[str, Glance], at_s: float) -> dict[tuple[str, str], Rate]:
        """Of every entry, since the look before; an entry that is new since then made all of its packets since then."""
        found: dict[tuple[str, str], Rate] = {}
        began = max((then for then, _, _ in self.last.values()), default=None)
        for glance in glances.values():
            for flow in glance.flows:
                key = (glance.host, flow.ufid)
                then, packets, octets = self.last.get(key, (began, 0, 0) if began is not None else (at_s, flow.packets, flow.bytes))  # fmt: skip
                gap = max(at_s - then, 1e-3)
                found[key] = Rate(max(flow.packets - packets, 0) / gap, max(flow.bytes - octets, 0) * 8 / gap)
                self.last[key] = (at_s, flow.packets, flow.bytes)
        self.last = {key: one for key, one in self.last.items() if at_s - one[0] < FORGET_S}
        return found


def real_packet(question: Question) -> dict[str, str]:
    """What is known of the question's real packets: no TTL, no flags, and the client's port may be any."""
    fields = packet_fields(question.packet)
    protocol = protocol_of(fields)
    family = "arp" if protocol == "arp" else "ipv6" if "ipv6_src" in fields else "ipv4"
    free = "tp_src" if question.direction == "forward" else "tp_dst"
    dropped = (
        "nw_ttl",
        "nw_tos",
        "tcp_flags",
        "icmp_code",
        "arp_sha",
        "arp_tha",
        "nd_target",
        "nd_sll",
        "nd_options_type",
        free,
    )
    known = {name: value for name, value in fields.items() if name not in dropped}
    number = {"nw_proto": PROTOCOLS[protocol]} if protocol in PROTOCOLS else {}
    return {**known, "dl_type": ETHER_TYPES[family], **number}


class Session:
    """The looks at the ends' hosts. `underlay` is host → underlay address, of every host there is."""

    def __init__(self, looker: Looker, underlay: Mapping[str, str]) -> None:
        self._looker = looker
        self._underlay = underlay
        self._counts = Counts()

    def see(self, questions: tuple[Question, ...], at_s: float) -> tuple[Seeing, ...]:
        """What each question's traffic does now; hosts are asked once for all of them."""
        glances: dict[str, Glance] = {}
        problems: dict[str, str] = {}
        ways = [self._way(question, glances, problems) for question in questions]
        rates = self._counts.rates(glances, at_s)
        told = tuple(problems.values())
        return tuple(
            Seeing(way, {host.name: host for host in question.hosts}, at_s, self._explained(way), rates, told)
            for question, way in zip(questions, ways, strict=True)
        )

    def _way(self, question: Question, glances: dict[str, Glance], problems: dict[str, str]) -> tuple[Passage, ...]:
        source = question.source
        wanted = source.host
        wired = question.target.host if question.segment and question.target else ""
        way: tuple[Passage, ...] = ()
        while wanted and wanted not in problems:
            if wanted not in glances:
                try:
                    glances[wanted] = self._looker.look(wanted, self._underlay.get(wanted, ""))
                except LookFailed as problem:
                    problems[wanted] = str(problem)
                    break
            way = follow(glances, source.host, source.tap, real_packet(question), wired)
            wanted = self._next(way, glances, wired)
        return way

    def _next(self, way: tuple[Passage, ...], glances: Mapping[str, Glance], wired: str) -> str:
        """The host that the way goes on to and that was not asked yet; "" where it is whole."""
        if way and way[-1].end == "port" and way[-1].host != wired:
            return wired if wired not in glances else ""
        if not way or way[-1].end != "tunnel":
            return ""
        there = next((host for host, address in self._underlay.items() if address == way[-1].tun_dst), "")
        return there if there not in glances else ""

    def _explained(self, way: tuple[Passage, ...]) -> dict[tuple[str, str], Explained]:
        flows: list[tuple[str, DatapathFlow]] = [(one.host, stage.flow) for one in way for stage in one.stages]
        found: dict[tuple[str, str], Explained] = {}
        for host, flow in flows:
            try:
                found[(host, flow.ufid)] = self._looker.explain(host, flow)
            except LookFailed:
                continue  # said by the look itself, next time
        return found
