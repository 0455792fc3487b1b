"""A packet of the model as a frame, with a probe's token in its payload. Built by os_ken.lib.packet, checksums too."""

from __future__ import annotations

from os_ken.lib.packet import arp, ethernet, icmp, ipv4, tcp, udp
from os_ken.lib.packet.packet import Packet as Frame

from sdn.model.packet import Packet

TOKEN_MARK = b"hopsight"
TOKEN_BYTES = 16
BROADCAST = "ff:ff:ff:ff:ff:ff"
PROTOCOL_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17}


def build_frame(packet: Packet, token: bytes) -> bytes:
    """The frame, with the token after its last header (for ARP: behind the message, where a switch leaves it alone)."""
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
        return bytes(frame.data)[:42] + TOKEN_MARK + token
    ends = {"src": str(packet.ip_src), "dst": str(packet.ip_dst)}
    frame.add_protocol(ipv4.ipv4(proto=PROTOCOL_NUMBERS[packet.protocol], ttl=packet.ttl, **ends))
    _add_transport(frame, packet, TOKEN_MARK + token)
    frame.serialize()
    return bytes(frame.data)


def _add_transport(frame: Frame, packet: Packet, payload: bytes) -> None:
    if packet.protocol == "icmp":
        echo = icmp.echo(id_=int.from_bytes(payload[-2:]), seq=1, data=payload)
        frame.add_protocol(icmp.icmp(type_=packet.port_dst, code=0, data=echo))
        return
    ports = {"src_port": packet.port_src, "dst_port": packet.port_dst}
    if packet.protocol == "tcp":
        frame.add_protocol(tcp.tcp(seq=1, bits=tcp.TCP_SYN, window_size=1024, **ports))
    else:
        frame.add_protocol(udp.udp(**ports))
    frame.add_protocol(payload)


def token_of(frame: bytes) -> bytes | None:
    """The token in a frame, wherever its headers end; None when there is none."""
    at = frame.find(TOKEN_MARK)
    token = frame[at + len(TOKEN_MARK) : at + len(TOKEN_MARK) + TOKEN_BYTES]
    return token if at >= 0 and len(token) == TOKEN_BYTES else None
