"""The flows of a table that almost matched a packet, and the field that differed.

Works on any pipeline's flows as `ovs-ofctl --no-names dump-flows` prints them. A field that is not known here is
compared as text, so a flow of a newer OVS is at worst named with one difference too many.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from sdn.trace.fields import PROTOCOLS, field_name, protocol_of
from sdn.trace.parser import parse_flow

MAX_NEAR, MAX_DIFFERING, MAX_FLOWS = 3, 2, 20_000
_LINE = re.compile(r"^\s*cookie=(?P<cookie>0x[0-9a-f]+).*?, table=(?P<table>[0-9]{1,20}),.*? (?:idle_age=[0-9]{1,20}, )?(?P<rest>(?:priority=[0-9]{1,20})?\S*) actions=(?P<actions>.*)$")  # fmt: skip
_NOT_MATCH = (
    "priority",
    "idle_timeout",
    "hard_timeout",
    "importance",
    "send_flow_rem",
    "check_overlap",
    "reset_counts",
)
_MORE_SPECIFIC = {
    "ip": ("ip", "icmp", "tcp", "udp", "sctp"), "ipv6": ("ipv6", "icmp6", "tcp6", "udp6", "sctp6"), "arp": ("arp", "rarp"),
}  # fmt: skip
_CT_FLAG = re.compile(r"([+-])(\w+)")


@dataclass(frozen=True, slots=True)
class TableFlow:
    """One flow of a dump."""

    table: int
    priority: int
    cookie: int
    match: dict[str, str]
    actions: str

    @property
    def match_text(self) -> str:
        return ",".join(name if value == "" else f"{name}={value}" for name, value in self.match.items())


@dataclass(frozen=True, slots=True)
class Near:
    """A flow and what kept the packet from matching it: (field, wanted, had)."""

    flow: TableFlow
    differs: tuple[tuple[str, str, str], ...]


def parse_flows(text: str) -> Iterator[TableFlow]:
    """The flows of a dump; lines of other shapes are passed over."""
    for line in text.splitlines()[:MAX_FLOWS]:
        found = _LINE.match(line)
        if not found:
            continue
        match = parse_flow(found["rest"])
        priority = match.get("priority", "32768")
        for name in _NOT_MATCH:
            match.pop(name, None)
        number = int(priority) if priority.isdecimal() and len(priority) < 10 else 32768
        yield TableFlow(int(found["table"]), number, int(found["cookie"], 16), match, found["actions"])


def nearest(
    flows: Iterator[TableFlow],
    packet: Mapping[str, str],
    is_way_on: Callable[[TableFlow], bool],
    may_be_told: Callable[[Near], bool] = lambda near: True,
) -> tuple[Near, ...]:
    """The flows that let a packet on and differ from this one in the fewest fields, the fewest first."""
    found: list[Near] = []
    for flow in flows:
        if not is_way_on(flow):
            continue
        differs = differences(flow.match, packet, MAX_DIFFERING)
        if differs and may_be_told(near := Near(flow, differs)):
            found.append(near)
    if not found:
        return ()
    found.sort(key=lambda near: (len(near.differs), -near.flow.priority, near.flow.match_text))
    fewest = len(found[0].differs)
    return tuple(near for near in found if len(near.differs) == fewest)[:MAX_NEAR]


def differences(match: Mapping[str, str], packet: Mapping[str, str], most: int) -> tuple[tuple[str, str, str], ...] | None:  # fmt: skip
    """Where the packet differs from the match; None when in more than `most` fields."""
    differs: list[tuple[str, str, str]] = []
    for text, wanted in match.items():
        name = field_name(text)
        had = packet.get(name, "")
        if wanted == "":
            protocol = protocol_of(packet)
            if protocol in _MORE_SPECIFIC.get(name, (name,)) or (name not in PROTOCOLS and name in packet):
                continue
            differs.append(("protocol", name, protocol or "none"))
        elif not _fits(name, wanted, had):
            differs.append((name, wanted, had or "none"))
        if len(differs) > most:
            return None
    return tuple(differs)


def _fits(name: str, wanted: str, had: str) -> bool:
    if wanted == had:
        return True
    if name == "ct_state":
        return _ct_fits(wanted, had)
    if name in ("nw_src", "nw_dst", "arp_spa", "arp_tpa", "ipv6_src", "ipv6_dst", "tun_src", "tun_dst", "nd_target"):
        return _address_fits(wanted, had)
    value, _, mask = wanted.partition("/")
    try:
        number, bits = _as_int(value), _as_int(mask) if mask else -1
        return number & bits == _as_int(had or "0") & bits
    except ValueError:
        return False


def _ct_fits(wanted: str, had: str) -> bool:
    """`+new-est+trk` against the trace's `new|trk`."""
    flags = set(re.split(r"[|,]", had))
    return all((flag in flags) == (sign == "+") for sign, flag in _CT_FLAG.findall(wanted))


def _address_fits(wanted: str, had: str) -> bool:
    try:
        return ip_address(had) in ip_network(wanted, strict=False)
    except ValueError:
        return False


def _as_int(text: str) -> int:
    return int(text.replace(":", ""), 16) if ":" in text else int(text, 0)
