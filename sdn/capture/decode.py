"""A frame in one line, as a packet list shows it. Reads what is there and says what is cut off; nothing raises."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

ETHERNET_BYTES, TAGS = 14, (0x8100, 0x88A8)
PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP", 2: "IGMP", 47: "GRE"}
TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
ICMP = {0: "echo reply", 3: "unreachable", 8: "echo request", 11: "time exceeded"}
ICMP6 = {
    1: "unreachable", 2: "packet too big", 3: "time exceeded", 128: "echo request", 129: "echo reply",
    133: "router solicitation", 134: "router advertisement", 135: "neighbour solicitation", 136: "neighbour advertisement",
}  # fmt: skip
CUT = "cut short"


def summary_of(frame: bytes) -> dict[str, str]:
    """`protocol`, `source`, `target` and `what` of the frame, in words."""
    try:
        return _ethernet(frame)
    except (struct.error, IndexError, ValueError):
        return {"protocol": "Ethernet", "source": "", "target": "", "what": CUT}


def _ethernet(frame: bytes) -> dict[str, str]:
    kind, at, tag = int.from_bytes(frame[12:14]), ETHERNET_BYTES, ""
    while kind in TAGS:
        tag = f"VLAN {int.from_bytes(frame[at : at + 2]) & 0xFFF}, "
        kind, at = int.from_bytes(frame[at + 2 : at + 4]), at + 4
    if kind == 0x0806:
        return _arp(frame[at:], tag)
    if kind == 0x0800:
        return _ipv4(frame[at:], tag)
    if kind == 0x86DD:
        return _ipv6(frame[at:], tag)
    ends = {"source": _mac(frame[6:12]), "target": _mac(frame[:6])}
    return {"protocol": f"{kind:#06x}", **ends, "what": f"{tag}{len(frame)} bytes"}


def _arp(body: bytes, tag: str) -> dict[str, str]:
    (operation,) = struct.unpack_from("!H", body, 6)
    sender, asked = IPv4Address(body[14:18]), IPv4Address(body[24:28])
    words = f"who has {asked}?" if operation == 1 else f"{sender} is at {_mac(body[8:14])}"
    return {"protocol": "ARP", "source": str(sender), "target": str(asked), "what": tag + words}


def _ipv4(body: bytes, tag: str) -> dict[str, str]:
    length = (body[0] & 15) * 4
    fragment = struct.unpack_from("!H", body, 6)[0] & 0x1FFF
    number = body[9]
    ends = {"source": str(IPv4Address(body[12:16])), "target": str(IPv4Address(body[16:20]))}
    what = f"fragment at byte {fragment * 8}" if fragment else _transport(number, body[length:])
    return {"protocol": PROTOCOLS.get(number, f"IP {number}"), **ends, "what": f"{tag}{what}, TTL {body[8]}"}


def _ipv6(body: bytes, tag: str) -> dict[str, str]:
    number = body[6]
    ends = {"source": str(IPv6Address(body[8:24])), "target": str(IPv6Address(body[24:40]))}
    what = _transport(number, body[40:])
    return {"protocol": PROTOCOLS.get(number, f"IPv6 {number}"), **ends, "what": f"{tag}{what}, hop limit {body[7]}"}


def _transport(number: int, body: bytes) -> str:
    if number in (1, 58):
        names = ICMP if number == 1 else ICMP6
        return _echo(body, names.get(body[0], f"type {body[0]}"))
    if number not in (6, 17, 132):
        return f"{len(body)} bytes"
    source, target = struct.unpack_from("!HH", body)
    if number != 6:
        return f"{source} → {target}, {len(body) - 8} bytes"
    sequence, flags = struct.unpack_from("!I", body, 4)[0], body[13]
    words = " ".join(name for bit, name in enumerate(TCP_FLAGS) if flags >> bit & 1)
    return f"{source} → {target} [{words}] seq {sequence}, {max(len(body) - (body[12] >> 4) * 4, 0)} bytes"


def _echo(body: bytes, words: str) -> str:
    if "echo" not in words:
        return words
    number, sequence = struct.unpack_from("!HH", body, 4)
    return f"{words} id {number} seq {sequence}"


def _mac(raw: bytes) -> str:
    return raw.hex(":")
