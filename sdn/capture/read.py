"""A captured frame as the packet of a question: what a trace needs to ask of exactly that one."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from sdn.model.addresses import Mac
from sdn.model.packet import Packet, Protocol

ETHERNET_BYTES, IPV6_BYTES = 14, 40
PROTOCOLS: dict[int, Protocol] = {1: "icmp", 58: "icmp", 6: "tcp", 17: "udp"}
FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")


def packet_of(frame: bytes) -> Packet | None:
    """The packet; None for what is no untagged ICMP, TCP or UDP, or is cut short."""
    try:
        return _packet(frame)
    except (struct.error, IndexError, ValueError):
        return None


def _packet(frame: bytes) -> Packet | None:
    kind, body = frame[12:14], frame[ETHERNET_BYTES:]
    if kind == b"\x08\x00":
        number, ttl, length = body[9], body[8], int.from_bytes(body[2:4])
        ends, rest = (body[12:16], body[16:20]), body[(body[0] & 15) * 4 :]
    elif kind == b"\x86\xdd":
        number, ttl, length = body[6], body[7], IPV6_BYTES + int.from_bytes(body[4:6])
        ends, rest = (body[8:24], body[24:40]), body[IPV6_BYTES:]
    else:
        return None
    protocol = PROTOCOLS.get(number)
    if protocol is None:
        return None
    ports = (0, rest[0]) if protocol == "icmp" else struct.unpack_from("!HH", rest)
    flags = "|".join(name for bit, name in enumerate(FLAGS) if rest[13] >> bit & 1) if protocol == "tcp" else "syn"
    return Packet(
        protocol, Mac(frame[6:12].hex(":")), Mac(frame[:6].hex(":")), ip_address(ends[0]), ip_address(ends[1]), ttl,
        ports[0], ports[1], ETHERNET_BYTES + length, flags,
    )  # fmt: skip


def packet_as_json(packet: Packet) -> dict[str, str | int]:
    """The packet as JSON types."""
    return {
        "protocol": packet.protocol, "eth_src": packet.eth_src, "eth_dst": packet.eth_dst, "ip_src": str(packet.ip_src),
        "ip_dst": str(packet.ip_dst), "ttl": packet.ttl, "port_src": packet.port_src, "port_dst": packet.port_dst,
        "size_bytes": packet.size_bytes, "tcp_flags": packet.tcp_flags,
    }  # fmt: skip


def packet_from_json(value: dict[str, str | int]) -> Packet:
    """The packet that `packet_as_json` made this of."""
    given = {**value, "ip_src": ip_address(value["ip_src"]), "ip_dst": ip_address(value["ip_dst"])}
    return Packet(**given)  # type: ignore[arg-type]
