"""Reads `dpctl/dump-flows -m` (OVS lib/odp-util.c, dpif.c): the entries that real packets made in a host's datapath.

A line is `ufid:…, key(value/mask),…, packets:N, bytes:N, used:1.2s, dp:ovs, actions:…, dp-extra-info:…`. With -m the key
holds the first packet's values even where the mask is nought: those are somebody's packet, not what the entry matches, so
`text` leaves them out. What is of a shape not known is kept as text and matches anything; nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

_USED = re.compile(r"^([0-9]{1,20}(?:\.[0-9]{1,20})?)s")
_NESTED = {
    "eth": {"src": "dl_src", "dst": "dl_dst"},
    "ipv4": {"src": "nw_src", "dst": "nw_dst", "proto": "nw_proto"},
    "ipv6": {"src": "ipv6_src", "dst": "ipv6_dst", "proto": "nw_proto"},
    "tcp": {"src": "tp_src", "dst": "tp_dst"},
    "udp": {"src": "tp_src", "dst": "tp_dst"},
    "sctp": {"src": "tp_src", "dst": "tp_dst"},
    "icmp": {"type": "icmp_type"},
    "icmpv6": {"type": "icmp_type"},
    "arp": {"sip": "arp_spa", "tip": "arp_tpa", "op": "arp_op"},
    "vlan": {"vid": "dl_vlan"},
    "tunnel": {"tun_id": "tun_id", "src": "tun_src", "dst": "tun_dst"},
}
_BARE = {"eth_type": "dl_type"}
_WIDEST = 128  # bits: an IPv6 address
_TAGS = 8  # VLAN tags within each other; OVS keeps two (vlan-limit)
_WIDTH = {"dl_src": 48, "dl_dst": 48, "nw_src": 32, "nw_dst": 32, "arp_spa": 32, "arp_tpa": 32, "tun_src": 32, "tun_dst": 32,
          "ipv6_src": 128, "ipv6_dst": 128, "tun_id": 64, "nw_proto": 8, "tp_src": 16, "tp_dst": 16}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Masked:
    """What a field must be: `value` where `mask` has ones."""

    value: int
    mask: int

    def takes(self, number: int) -> bool:
        return number & self.mask == self.value & self.mask


@dataclass(frozen=True, slots=True)
class DatapathFlow:
    """One entry. `used_s`: seconds since its last packet, None for never; `raw` is its key as OVS takes it back."""

    ufid: str
    fields: Mapping[str, Masked]  # in a flow's words: dl_src, nw_dst, tun_id, …
    recirc_id: int
    in_port: str
    packets: int
    bytes: int
    used_s: float | None
    actions: tuple[str, ...]
    text: str  # what it matches and does, without what it does not look at
    raw: str

    def takes(self, packet: Mapping[str, str]) -> bool:
        """Could the packet be one of this entry's? What is not known of the packet is no reason against it."""
        for name, wanted in self.fields.items():
            given = packet.get(name)
            if given is not None and (number := number_of(given)) is not None and not wanted.takes(number):
                return False
        return True

    def looks_at(self, name: str) -> bool:
        """Does every bit of the field matter to it?"""
        width, wanted = _WIDTH.get(name, 16), self.fields.get(name)
        return wanted is not None and wanted.mask & ((1 << width) - 1) == (1 << width) - 1


def parse_dump(text: str) -> tuple[DatapathFlow, ...]:
    """The entries, in the dump's order; lines that are none are passed over."""
    return tuple(flow for line in text.splitlines() if (flow := _parse_line(line)) is not None)


def split_list(text: str) -> list[str]:
    """The parts of a comma list, commas inside of brackets apart."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth = max(depth - 1, 0)
        elif char == "," and not depth:
            parts.append(text[start:at].strip())
            start = at + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def number_of(text: str) -> int | None:
    """A MAC, an address or a number as one integer; None for what is none, and for what no field holds."""
    try:
        if text.count(":") == 5 and all(len(part) == 2 for part in text.split(":")):
            number = int(text.replace(":", ""), 16)
        elif ":" in text:
            number = int(IPv6Address(text))
        else:
            number = int(IPv4Address(text)) if text.count(".") == 3 else int(text, 0)
    except (AddressValueError, ValueError):
        return None
    return number if 0 <= number < 1 << _WIDEST else None


def _parse_line(line: str) -> DatapathFlow | None:
    head, found, tail = line.partition(", actions:")
    if not found or "in_port(" not in head:
        return None
    parts = split_list(head)
    stats = dict(part.partition(":")[::2] for part in parts if "(" not in part.partition(":")[0])
    keys = [part for part in parts if "(" in part.partition(":")[0]]
    actions = tail.partition(", dp-extra-info:")[0].strip()
    named = dict(_named(keys))
    shown = [text for key in keys if (text := _shown(key))]
    used = _USED.match(stats.get("used", ""))
    return DatapathFlow(
        ufid=stats.get("ufid", ""), fields=dict(_fields(named)), recirc_id=number_of(named.get("recirc_id", "0")) or 0,
        in_port=named.get("in_port", ""), packets=_count(stats, "packets"), bytes=_count(stats, "bytes"),
        used_s=float(used[1]) if used else None, actions=tuple(split_list(actions)),
        text=f"{','.join(shown)}, actions:{actions}", raw=",".join(keys),
    )  # fmt: skip


def _count(stats: Mapping[str, str], name: str) -> int:
    text = stats.get(name, "")
    return int(text) if text.isdecimal() and len(text) <= 20 else 0


def _named(keys: list[str]) -> Iterator[tuple[str, str]]:
    for key in keys:
        name, _, rest = key.partition("(")
        yield name, rest.removesuffix(")")


def _fields(named: Mapping[str, str], tags: int = 0) -> Iterator[tuple[str, Masked]]:
    for key, body in named.items():
        if key == "encap" and tags < _TAGS:  # what is behind a VLAN tag, its own eth_type included
            yield from _fields(dict(_named(split_list(body))), tags + 1)
        elif key in _BARE and "encap" not in named and (one := _masked(body)):
            yield _BARE[key], one
        for name, value in (part.partition("=")[::2] for part in split_list(body) if key in _NESTED):
            field = _NESTED[key].get(name)
            if field and (one := _masked(value)):
                yield field, one


def _masked(text: str) -> Masked | None:
    value, slash, mask = text.partition("/")
    number, bits = number_of(value), number_of(mask) if slash else (1 << 128) - 1
    return Masked(number, bits) if number is not None and bits is not None else None


def _shown(key: str) -> str:
    """The part of a key that the entry looks at; "" for none: values under a mask of nought are another packet's."""
    name, _, rest = key.partition("(")
    body = rest.removesuffix(")")
    parts = [shown for part in split_list(body) if (shown := _shown_value(part))]
    return f"{name}({','.join(parts)})" if parts else ""


def _shown_value(part: str) -> str:
    name, equals, value = part.rpartition("=")
    text, slash, mask = value.partition("/")
    if not slash:
        return part
    number, bits = number_of(text), number_of(mask)
    if bits == 0:
        return ""
    if number is None or bits is None:
        return part
    return f"{name}{equals}{_like(text, number & bits)}/{mask}"


def _like(text: str, number: int) -> str:
    """The number as the text was written: MAC, address or hexadecimal."""
    if text.count(":") == 5 and all(len(part) == 2 for part in text.split(":")):
        return ":".join(f"{number >> shift & 255:02x}" for shift in range(40, -8, -8))
    if ":" in text:
        return str(IPv6Address(number))
    if text.count(".") == 3:
        return str(IPv4Address(number))
    return f"{number:#x}" if text.startswith("0x") else str(number)
