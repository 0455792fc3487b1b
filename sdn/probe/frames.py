"""A packet of the model, of either IP family, as a frame of its size with a probe's token in its payload. Built by
os_ken.lib.packet, checksums too.
"""

from __future__ import annotations

import struct

from os_ken.lib.packet import arp, ethernet, icmp, icmpv6, ipv4, ipv6, tcp, udp
from os_ken.lib.packet.packet import Packet as Frame
from os_ken.lib.packet.packet_utils import checksum_ip

from sdn.model.packet import Packet
from sdn.trace.fields import solicited_mac

TOKEN_MARK = b"hopsight"
TOKEN_BYTES = 16
BROADCAST = "ff:ff:ff:ff:ff:ff"
PROTOCOL_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}
INIT, UNKNOWN_PARAMETER = 1, 0x8048  # SCTP: "10…" in a type's top bits says to pass over it (RFC 9260, 3.2.1)
ICMP6, SOLICITATION = 58, 135
SOURCE_LINK, EXPERIMENT = 1, 253  # RFC 4861, 4.6.1; RFC 4727, 5.1.3: receivers pass over what they do not know


def build_frame(packet: Packet, token: bytes) -> bytes:
    """The frame, with the token after its last header (for ARP: behind the message, where a switch leaves it alone).

    It is as long as the packet is said to be, so that a link that is too narrow for it shows; never shorter than the token
    needs. A question of ARP or ND has the length that it has.
    """
    frame = _built(packet, TOKEN_MARK + token)
    lacks = packet.size_bytes - len(frame)
    if packet.protocol in ("arp", "nd") or lacks <= 0:
        return frame
    return _built(packet, TOKEN_MARK + token + bytes(lacks - lacks % 4 if packet.protocol == "sctp" else lacks))


def _built(packet: Packet, payload: bytes) -> bytes:
    if packet.ip_dst.version == 6:
        return _build_ipv6(packet, payload)
    ether_type = 0x0806 if packet.protocol == "arp" else 0x0800
    frame = Frame()
    frame.add_protocol(ethernet.ethernet(dst=packet.eth_dst, src=packet.eth_src, ethertype=ether_type))
    if packet.protocol == "arp":
        question = arp.arp(
            opcode=1, src_mac=packet.eth_src, src_ip=str(packet.ip_src), dst_mac="00:00:00:00:00:00",
            dst_ip=str(packet.ip_dst),
        )  # fmt: skip
        frame.add_protocol(question)
        frame.serialize()
        return bytes(frame.data)[:42] + payload
    ends = {"src": str(packet.ip_src), "dst": str(packet.ip_dst)}
    frame.add_protocol(ipv4.ipv4(proto=PROTOCOL_NUMBERS[packet.protocol], ttl=packet.ttl, **ends))
    _add_transport(frame, packet, payload)
    frame.serialize()
    return bytes(frame.data)


def _build_ipv6(packet: Packet, payload: bytes) -> bytes:
    """The same of IPv6. A solicitation has the token in an option of its own, behind its sender's MAC."""
    frame = Frame()
    is_question = packet.protocol == "nd"
    target = _solicited(packet.ip_dst.packed) if is_question else str(packet.ip_dst)
    eth_dst = str(solicited_mac(packet.ip_dst.packed)) if is_question else packet.eth_dst
    number = ICMP6 if is_question or packet.protocol == "icmp" else PROTOCOL_NUMBERS[packet.protocol]
    frame.add_protocol(ethernet.ethernet(dst=eth_dst, src=packet.eth_src, ethertype=0x86DD))
    limit = 255 if is_question else packet.ttl
    header = ipv6.ipv6(nxt=number, hop_limit=limit, src=str(packet.ip_src), dst=target)
    frame.add_protocol(header)
    if is_question:
        sender = bytes((SOURCE_LINK, 1)) + bytes.fromhex(str(packet.eth_src).replace(":", ""))
        option = bytes((EXPERIMENT, (len(payload) + 2 + 7) // 8)) + payload
        body = bytes(4) + packet.ip_dst.packed + sender + option + bytes(-len(option) % 8)
        whole = bytes((SOLICITATION, 0, 0, 0)) + body
        frame.add_protocol(whole[:2] + checksum_ip(header, len(whole), whole).to_bytes(2) + body)
    else:
        _add_transport(frame, packet, payload)
    frame.serialize()
    return bytes(frame.data)


def _solicited(address: bytes) -> str:
    """RFC 4291, 2.7.1: the solicited-node multicast address."""
    return f"ff02::1:ff{address[-3]:02x}:{address[-2]:02x}{address[-1]:02x}"


def _add_transport(frame: Frame, packet: Packet, payload: bytes) -> None:
    if packet.protocol == "icmp":
        if packet.ip_dst.version == 6:
            asked = icmpv6.echo(id_=_echo_id(payload), seq=1, data=payload)
            frame.add_protocol(icmpv6.icmpv6(type_=packet.port_dst, code=0, data=asked))
            return
        echo = icmp.echo(id_=_echo_id(payload), seq=1, data=payload)
        frame.add_protocol(icmp.icmp(type_=packet.port_dst, code=0, data=echo))
        return
    ports = {"src_port": packet.port_src, "dst_port": packet.port_dst}
    if packet.protocol == "sctp":
        frame.add_protocol(_sctp(packet, payload))
        return
    if packet.protocol == "tcp":
        frame.add_protocol(tcp.tcp(seq=1, bits=tcp.TCP_SYN, window_size=1024, **ports))
    else:
        frame.add_protocol(udp.udp(**ports))
    frame.add_protocol(payload)


def _echo_id(payload: bytes) -> int:
    """Of the token's end, which is another for each probe."""
    end = len(TOKEN_MARK) + TOKEN_BYTES
    return int.from_bytes(payload[end - 2 : end])


def _sctp(packet: Packet, payload: bytes) -> bytes:
    """An SCTP packet (RFC 9260, 3) with a first packet's chunk, INIT, whose unknown parameter has the token."""
    parameter = struct.pack("!HH", UNKNOWN_PARAMETER, 4 + len(payload)) + payload
    chunk = struct.pack("!BBHIIHHI", INIT, 0, 20 + len(parameter), 1, 65536, 1, 1, 1) + parameter
    head = struct.pack("!HHI", packet.port_src, packet.port_dst, 0)  # an INIT's verification tag is 0
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk


def crc32c(data: bytes) -> int:
    """Castagnoli's CRC, SCTP's checksum (RFC 9260, appendix A)."""
    found = 0xFFFFFFFF
    for byte in data:
        found = found >> 8 ^ CRC32C[(found ^ byte) & 0xFF]
    return found ^ 0xFFFFFFFF


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


CRC32C = tuple(_crc_of(byte) for byte in range(256))


def token_of(frame: bytes) -> bytes | None:
    """The token in a frame, wherever its headers end; None when there is none."""
    at = frame.find(TOKEN_MARK)
    token = frame[at + len(TOKEN_MARK) : at + len(TOKEN_MARK) + TOKEN_BYTES]
    return token if at >= 0 and len(token) == TOKEN_BYTES else None
