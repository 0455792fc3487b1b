"""The connections of `dpctl/dump-conntrack` that a packet belongs to, and what their NAT makes of the packet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sdn.trace.fields import protocol_of

_SIDE = re.compile(r"(orig|reply)=\(([^)]*)\)")
_ZONE = re.compile(r"(?:^|,)zone=([0-9]{1,20})")
_STATE = re.compile(r"\bstate=(\w+)")
_TIMEOUT = re.compile(r"\btimeout=([0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class Connection:
    """One entry of one zone. `is_reply`: the packet is of its answering side."""

    protocol: str
    zone: int
    original: Mapping[str, str]  # src, dst, sport and dport, or id, type and code
    reply: Mapping[str, str]
    state: str
    timeout_s: int
    is_reply: bool
    text: str

    @property
    def is_translated(self) -> bool:
        """Does NAT change one of its addresses or ports?"""
        return _ends(self.original) != _ends(self.reply)[::-1]


def connections_of(dump: str, packet: Mapping[str, str], zone: int | None = None) -> tuple[Connection, ...]:
    """The entries that the packet could belong to, in either direction; a port that the packet lacks may be any."""
    word = protocol_of(packet)
    words = {word, word.rstrip("6"), {"icmp6": "icmpv6"}.get(word, word)}
    return tuple(one for one in _parse(dump, packet) if one.protocol in words and zone in (None, one.zone))


def translated(connection: Connection, packet: Mapping[str, str]) -> dict[str, str]:
    """The packet as it leaves the connection's NAT."""
    side = connection.original if connection.is_reply else connection.reply
    (source, source_port), (target, target_port) = _ends(side)[::-1]
    names = ("ipv6_src", "ipv6_dst") if "ipv6_src" in packet else ("nw_src", "nw_dst")
    found = {**packet, names[0]: source, names[1]: target}
    ports = {"tp_src": source_port, "tp_dst": target_port}
    return found | {name: value for name, value in ports.items() if value and name in packet}


def _parse(dump: str, packet: Mapping[str, str]) -> Iterator[Connection]:
    for line in dump.splitlines():
        sides = {found[1]: dict(part.partition("=")[::2] for part in found[2].split(",")) for found in _SIDE.finditer(line)}  # fmt: skip
        if len(sides) != 2:
            continue
        is_reply = not _is(sides["orig"], packet)
        if is_reply and not _is(sides["reply"], packet):
            continue
        zone, state, timeout = _ZONE.search(_SIDE.sub("", line)), _STATE.search(line), _TIMEOUT.search(line)
        yield Connection(
            line.partition(",")[0].strip(), int(zone[1]) if zone else 0, sides["orig"], sides["reply"],
            state[1] if state else "", int(timeout[1]) if timeout else 0, is_reply, line.strip(),
        )  # fmt: skip


def _ends(side: Mapping[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    return (side.get("src", ""), side.get("sport", "")), (side.get("dst", ""), side.get("dport", ""))


def _is(side: Mapping[str, str], packet: Mapping[str, str]) -> bool:
    wanted = {
        "src": packet.get("nw_src") or packet.get("ipv6_src"), "dst": packet.get("nw_dst") or packet.get("ipv6_dst"),
    }  # fmt: skip
    if any(side.get(name) != value for name, value in wanted.items()):
        return False
    if side.get("sport") == side.get("dport") == "0":
        return True  # tracked by its ends alone, as OVS's userspace conntrack does SCTP
    ports = {"sport": packet.get("tp_src"), "dport": packet.get("tp_dst")}
    return all(value is None or name not in side or side[name] == value for name, value in ports.items())
