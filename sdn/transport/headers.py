"""A frame's headers in words, layer by layer. Of the payload nothing is told, and no frame is too short or too odd to read."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

ETHERTYPES = {0x0800: "IPv4", 0x0806: "ARP", 0x86DD: "IPv6", 0x8100: "VLAN", 0x88A8: "VLAN", 0x88CC: "LLDP"}
PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 47: "GRE", 58: "ICMPv6", 132: "SCTP"}
ARP_OPS = {1: "asks who has", 2: "says it has"}
ICMP_TYPES = {0: "echo reply", 3: "unreachable", 5: "redirect", 8: "echo request", 11: "time exceeded"}
ICMP6_TYPES = {
    1: "unreachable", 2: "packet too big", 128: "echo request", 129: "echo reply", 133: "router solicitation",
    134: "router advertisement", 135: "neighbour solicitation", 136: "neighbour advertisement", 137: "redirect",
}  # fmt: skip
TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")


@dataclass(frozen=True, slots=True)
class FrameWords:
    """`summary` is one line; `layers` are (name, text) from the outside in."""

    summary: str
    layers: tuple[tuple[str, str], ...]


def read_headers(frame: bytes) -> FrameWords:
    """The headers that are whole."""
    layers: list[tuple[str, str]] = []
    if len(frame) < 14:
        return FrameWords(f"{len(frame)} bytes, too short for Ethernet", ())
    layers.append(("Ethernet", f"{frame[6:12].hex(':')} → {frame[:6].hex(':')}"))
    kind, at = int.from_bytes(frame[12:14]), 14
    while ETHERTYPES.get(kind) == "VLAN" and len(frame) >= at + 4:
        tag = int.from_bytes(frame[at : at + 2])
        layers.append(("VLAN", f"{tag & 0xFFF}, priority {tag >> 13}"))
        kind, at = int.from_bytes(frame[at + 2 : at + 4]), at + 4
    read = {0x0800: _ipv4, 0x0806: _arp, 0x86DD: _ipv6}.get(kind)
    if read is None:
        name = ETHERTYPES.get(kind, f"type {kind:#06x}")
        return FrameWords(f"{name} {layers[0][1]}", tuple(layers))
    try:
        summary = read(frame[at:], layers)
    except (struct.error, IndexError, ValueError):
        summary = f"{ETHERTYPES[kind]}, cut short"
    return FrameWords(summary, tuple(layers))


def _arp(body: bytes, layers: list[tuple[str, str]]) -> str:
    op = struct.unpack_from("!H", body, 6)[0]
    sender, claims, target = body[8:14].hex(":"), IPv4Address(body[14:18]), IPv4Address(body[24:28])
    words = f"{claims} ({sender}) {ARP_OPS.get(op, f'operation {op}')} {target if op == 1 else claims}"
    layers.append(("ARP", words))
    return f"ARP {words}"


def _ipv4(body: bytes, layers: list[tuple[str, str]]) -> str:
    length, ttl, protocol = (body[0] & 15) * 4, body[8], body[9]
    ends = str(IPv4Address(body[12:16])), str(IPv4Address(body[16:20]))
    fragment = struct.unpack_from("!H", body, 6)[0] & 0x1FFF
    layers.append(("IPv4", f"{ends[0]} → {ends[1]}, TTL {ttl}, {struct.unpack_from('!H', body, 2)[0]} bytes"))
    if fragment:
        return f"{PROTOCOLS.get(protocol, protocol)} {ends[0]} → {ends[1]}, a later fragment"
    return _transport(protocol, body[max(length, 20) :], ends, layers)


def _ipv6(body: bytes, layers: list[tuple[str, str]]) -> str:
    size, protocol, hops = struct.unpack_from("!HBB", body, 4)
    ends = str(IPv6Address(body[8:24])), str(IPv6Address(body[24:40]))
    layers.append(("IPv6", f"{ends[0]} → {ends[1]}, hop limit {hops}, {size} bytes"))
    at = 40
    while protocol in (0, 43, 60) and len(body) >= at + 8:  # extension headers that only lead on (RFC 8200, 4.1)
        protocol, at = body[at], at + 8 + body[at + 1] * 8
    return _transport(protocol, body[at:], ends, layers)


def _transport(protocol: int, body: bytes, ends: tuple[str, str], layers: list[tuple[str, str]]) -> str:
    name = PROTOCOLS.get(protocol, f"protocol {protocol}")
    arrow = f"{ends[0]} → {ends[1]}"
    if protocol in (6, 17, 132) and len(body) >= 4:
        source, target = struct.unpack_from("!HH", body)
        flags = _flags(body) if protocol == 6 else ""
        layers.append((name, f"port {source} → {target}{', ' + flags if flags else ''}"))
        return f"{name} {_with_port(ends[0], source)} → {_with_port(ends[1], target)}{' ' + flags if flags else ''}"
    if protocol in (1, 58) and len(body) >= 2:
        kind = (ICMP_TYPES if protocol == 1 else ICMP6_TYPES).get(body[0], f"type {body[0]}")
        layers.append((name, f"{kind}, code {body[1]}"))
        return f"{name} {kind} {arrow}"
    return f"{name} {arrow}"


def _flags(body: bytes) -> str:
    return " ".join(word for bit, word in enumerate(TCP_FLAGS) if len(body) > 13 and body[13] >> bit & 1)


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
