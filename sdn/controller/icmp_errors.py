"""ICMP errors that routers tell senders (RFC 792, 1191, 4443): what was dropped, made into its answer. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from sdn.controller.datagrams import Icmp6, checksum, format_icmp6, mac_bytes
from sdn.model.addresses import Mac

QUOTED_BYTES = 28  # IPv4 header without options and 8 bytes: what every sender reads
QUOTED_BYTES_6 = 48
ICMP, ICMP_6 = 1, 58
ECHO_REQUEST = 8


@dataclass(frozen=True, slots=True)
class IcmpError:
    """(type, code) of each family."""

    four: tuple[int, int]
    six: tuple[int, int]


# By the drop reason's name. RFC 792: net, host unreachable, fragmentation needed, time exceeded; RFC 4443: no route, address
# unreachable, packet too big, hop limit exceeded.
ERRORS: dict[str, IcmpError] = {
    "no_route": IcmpError((3, 0), (1, 0)),
    "no_neighbour": IcmpError((3, 1), (1, 3)),
    "too_big": IcmpError((3, 4), (2, 0)),
    "ttl_exceeded": IcmpError((11, 0), (3, 0)),
}


def icmp_error(frame: bytes, reason: str, router: tuple[Mac, IPv4Address | IPv6Address], to_mac: str, mtu: int = 0) -> bytes | None:  # fmt: skip
    """The router's answer to a packet that it dropped, or None where none may be sent (RFC 1122, 3.2.2).

    `mtu` is told where the packet was too big, whether its sender forbade fragments or not: the switch makes none.
    """
    error = ERRORS[reason]
    if frame[12:14] == b"\x08\x00" and isinstance(router[1], IPv4Address):
        return _error_4(frame[14:], error.four, (router[0], router[1]), to_mac, mtu)
    if frame[12:14] == b"\x86\xdd" and isinstance(router[1], IPv6Address):
        return _error_6(frame[14:], error.six, (router[0], router[1]), to_mac, mtu)
    return None


def _error_4(packet: bytes, kind: tuple[int, int], router: tuple[Mac, IPv4Address], to_mac: str, mtu: int) -> bytes | None:  # fmt: skip
    if len(packet) < QUOTED_BYTES or packet[0] != 0x45:
        return None
    is_fragment = struct.unpack_from("!H", packet, 6)[0] & 0x1FFF
    is_error = packet[9] == ICMP and packet[20] not in (0, ECHO_REQUEST, 13, 14)
    if is_fragment or is_error or packet[16] >= 224 or not any(packet[12:16]):
        return None
    body = struct.pack("!BBHI", *kind, 0, mtu) + packet[:QUOTED_BYTES]
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, ICMP, 0, router[1].packed, packet[12:16])
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return mac_bytes(to_mac) + mac_bytes(router[0]) + b"\x08\x00" + head + body


def _error_6(packet: bytes, kind: tuple[int, int], router: tuple[Mac, IPv6Address], to_mac: str, mtu: int) -> bytes | None:  # fmt: skip
    if len(packet) < QUOTED_BYTES_6 or packet[0] >> 4 != 6 or not any(packet[8:24]):
        return None
    if packet[24] == 0xFF and kind[0] != 2:  # RFC 4443, 2.4 (e.3): of these only "too big" may answer a multicast
        return None
    if packet[6] == ICMP_6 and packet[40] < 128:
        return None
    body = struct.pack("!BBHI", *kind, 0, mtu) + packet[:QUOTED_BYTES_6]
    return format_icmp6(Icmp6(mac_bytes(router[0]), router[1], IPv6Address(packet[8:24]), 64, body), mac_bytes(to_mac))
