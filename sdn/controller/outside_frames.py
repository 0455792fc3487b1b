"""Frames that the controller makes of its own accord: ARP (RFC 826) and ICMP time exceeded (RFC 792). Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from sdn.controller.datagrams import Icmp6, checksum, format_icmp6, mac_bytes
from sdn.model.addresses import Mac

BROADCAST = b"\xff" * 6
ARP_REQUEST, ARP_REPLY = 1, 2
TIME_EXCEEDED, TIME_EXCEEDED_6 = 11, 3
QUOTED_BYTES = 28  # IPv4 header without options and 8 bytes: what every traceroute reads
QUOTED_BYTES_6 = 48
ICMP, ICMP_6 = 1, 58
ECHO_REQUEST = 8


@dataclass(frozen=True, slots=True)
class ArpAnswer:
    """Who has which address, as an ARP frame tells."""

    address: IPv4Address
    mac: Mac


def arp_question(mac: Mac, address: IPv4Address, wanted: IPv4Address) -> bytes:
    """Who has `wanted`? Tell `address` at `mac`. With wanted = address it is the gratuitous announcement (RFC 5227)."""
    own, ends = mac_bytes(mac), struct.pack("!HHBBH", 1, 0x0800, 6, 4, ARP_REQUEST)
    return BROADCAST + own + b"\x08\x06" + ends + own + address.packed + b"\0" * 6 + wanted.packed


def parse_arp_answer(frame: bytes) -> ArpAnswer | None:
    """What an ARP answer tells; None for any other frame, and for an answer that no host could be meant by."""
    if (
        len(frame) < 42
        or frame[12:14] != b"\x08\x06"
        or frame[14:22] != struct.pack("!HHBBH", 1, 0x0800, 6, 4, ARP_REPLY)
    ):
        return None
    mac = frame[22:28]
    if mac[0] & 1 or not any(mac):
        return None
    return ArpAnswer(IPv4Address(frame[28:32]), Mac(":".join(f"{byte:02x}" for byte in mac)))


def time_exceeded(frame: bytes, router_mac: Mac, router: IPv4Address | IPv6Address) -> bytes | None:
    """The router's answer to a packet whose TTL ran out, or None where none may be sent (RFC 1122, 3.2.2)."""
    if frame[12:14] == b"\x08\x00" and isinstance(router, IPv4Address):
        return _time_exceeded_4(frame, router_mac, router)
    if frame[12:14] == b"\x86\xdd" and isinstance(router, IPv6Address):
        return _time_exceeded_6(frame, router_mac, router)
    return None


def _time_exceeded_4(frame: bytes, router_mac: Mac, router: IPv4Address) -> bytes | None:
    packet = frame[14:]
    if len(packet) < QUOTED_BYTES or packet[0] != 0x45:
        return None
    is_fragment = struct.unpack_from("!H", packet, 6)[0] & 0x1FFF
    is_error = packet[9] == ICMP and packet[20] not in (0, ECHO_REQUEST, 13, 14)
    if is_fragment or is_error or packet[16] >= 224:
        return None
    body = struct.pack("!BBHI", TIME_EXCEEDED, 0, 0, 0) + packet[:QUOTED_BYTES]
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, ICMP, 0, router.packed, packet[12:16])
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return frame[6:12] + mac_bytes(router_mac) + b"\x08\x00" + head + body


def _time_exceeded_6(frame: bytes, router_mac: Mac, router: IPv6Address) -> bytes | None:
    packet = frame[14:]
    if len(packet) < QUOTED_BYTES_6 or packet[0] >> 4 != 6 or packet[24] == 0xFF or not any(packet[8:24]):
        return None
    if packet[6] == ICMP_6 and packet[40] < 128:
        return None
    body = struct.pack("!BBHI", TIME_EXCEEDED_6, 0, 0, 0) + packet[:QUOTED_BYTES_6]
    return format_icmp6(Icmp6(mac_bytes(router_mac), router, IPv6Address(packet[8:24]), 64, body), frame[6:12])
