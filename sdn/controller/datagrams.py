"""Ethernet frames of both IP families, read and written as bytes. Pure; what is no such frame is None, never an exception."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

ETHERNET, IPV4, IPV6, UDP = 14, 20, 40, 8
IS_IPV4, IS_IPV6 = b"\x08\x00", b"\x86\xdd"
UDP_PROTOCOL, ICMPV6_PROTOCOL = 17, 58
ALL_NODES, ALL_NODES_MAC = IPv6Address("ff02::1"), b"\x33\x33\x00\x00\x00\x01"

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram: its ends, and what it carries."""

    source_mac: bytes
    source: Address
    target: Address
    ports: tuple[int, int]
    body: bytes


@dataclass(frozen=True, slots=True)
class Icmp6:
    """One ICMPv6 message; `body` begins with its type."""

    source_mac: bytes
    source: IPv6Address
    target: IPv6Address
    hop_limit: int
    body: bytes


def parse_datagram(frame: bytes) -> Datagram | None:
    """The UDP datagram of a frame of either family. IPv4 options and IPv6 extension headers are not followed."""
    if (
        frame[12:14] == IS_IPV4
        and len(frame) >= ETHERNET + IPV4 + UDP
        and frame[14] == 0x45
        and frame[23] == UDP_PROTOCOL
    ):
        if struct.unpack_from("!H", frame, 20)[0] & 0x3FFF:  # a fragment
            return None
        source: Address = IPv4Address(frame[26:30])
        target: Address = IPv4Address(frame[30:34])
        at = ETHERNET + IPV4
    elif frame[12:14] == IS_IPV6 and len(frame) >= ETHERNET + IPV6 + UDP and frame[20] == UDP_PROTOCOL:
        source, target, at = IPv6Address(frame[22:38]), IPv6Address(frame[38:54]), ETHERNET + IPV6
    else:
        return None
    from_port, to_port, length = struct.unpack_from("!HHH", frame, at)
    if length < UDP or at + length > len(frame):
        return None
    return Datagram(frame[6:12], source, target, (from_port, to_port), frame[at + UDP : at + length])


def parse_icmp6(frame: bytes) -> Icmp6 | None:
    """The ICMPv6 message of a frame, when its checksum is right (RFC 4443, 2.3)."""
    if len(frame) < ETHERNET + IPV6 + 4 or frame[12:14] != IS_IPV6 or frame[20] != ICMPV6_PROTOCOL:
        return None
    length = struct.unpack_from("!H", frame, 18)[0]
    body = frame[ETHERNET + IPV6 : ETHERNET + IPV6 + length]
    if len(body) != length or length < 4 or checksum(_pseudo(frame[22:54], ICMPV6_PROTOCOL, body)):
        return None
    return Icmp6(frame[6:12], IPv6Address(frame[22:38]), IPv6Address(frame[38:54]), frame[21], body)


def format_datagram(datagram: Datagram, to_mac: bytes) -> bytes:
    """The frame that carries the datagram; IPv4 leaves UDP's checksum out, IPv6 must have it."""
    ports, body = datagram.ports, datagram.body
    udp = struct.pack("!HHHH", *ports, UDP + len(body), 0) + body
    ends = datagram.source.packed + datagram.target.packed
    if datagram.source.version == 4:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, IPV4 + len(udp), 0, 0, 64, UDP_PROTOCOL, 0) + ends
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        return to_mac + datagram.source_mac + IS_IPV4 + ip + udp
    total = checksum(_pseudo(ends, UDP_PROTOCOL, udp)) or 0xFFFF
    udp = udp[:6] + struct.pack("!H", total) + udp[8:]
    return to_mac + datagram.source_mac + IS_IPV6 + _ipv6_head(len(udp), UDP_PROTOCOL, 64) + ends + udp


def format_icmp6(message: Icmp6, to_mac: bytes) -> bytes:
    """The frame that carries the message, whose checksum is worked out here."""
    ends = message.source.packed + message.target.packed
    body = message.body[:2] + b"\0\0" + message.body[4:]
    body = body[:2] + struct.pack("!H", checksum(_pseudo(ends, ICMPV6_PROTOCOL, body))) + body[4:]
    head = _ipv6_head(len(body), ICMPV6_PROTOCOL, message.hop_limit)
    return to_mac + message.source_mac + IS_IPV6 + head + ends + body


def checksum(words: bytes) -> int:
    """The internet checksum (RFC 1071) of an even or odd number of bytes; 0 over bytes that hold a right one."""
    if len(words) % 2:
        words += b"\0"
    total: int = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac_bytes(text: str) -> bytes:
    """A MAC's six bytes."""
    return bytes.fromhex(text.replace(":", ""))


def format_names(names: tuple[str, ...]) -> bytes:
    """Domain names as labels (RFC 1035, 3.1), uncompressed, one after the other; names that have no such form are left out."""
    found = b""
    for name in names:
        labels = [label.encode("ascii", "replace") for label in name.split(".")]
        if all(0 < len(label) < 64 for label in labels) and len(name) < 254:
            found += b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return found


def _ipv6_head(length: int, protocol: int, hop_limit: int) -> bytes:
    return struct.pack("!IHBB", 6 << 28, length, protocol, hop_limit)


def _pseudo(ends: bytes, protocol: int, body: bytes) -> bytes:
    """RFC 8200, 8.1."""
    return ends + struct.pack("!II", len(body), protocol) + body
