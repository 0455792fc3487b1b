"""Is a guest's SSH up? A TCP SYN from the network's gateway, and the guest's SYN-ACK, as bytes. Pure."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from sdn.compiler import SSH_PROBE_PORT
from sdn.controller.dhcp import checksum
from sdn.model.intent import NetworkIntent, PortIntent, SubnetIntent

SSH = 22
SYN, RST, SYN_ACK = 0x02, 0x04, 0x12


def syn_frame(port: PortIntent, network: NetworkIntent, subnet: SubnetIntent, sequence: int, flags: int = SYN) -> bytes:
    """The frame to hand to the guest."""
    source, target = subnet.gateway, port.addresses[0]
    tcp = struct.pack("!HHIIBBHHH", SSH_PROBE_PORT, SSH, sequence & 0xFFFFFFFF, 0, 5 << 4, flags, 1024, 0, 0)
    pseudo = source.packed + target.packed + struct.pack("!BBH", 0, 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, source.packed, target.packed)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    macs = bytes.fromhex(port.mac.replace(":", "")) + bytes.fromhex(network.router_mac.replace(":", ""))
    return macs + b"\x08\x00" + ip + tcp


def is_ssh_answer(frame: bytes) -> IPv4Address | None:
    """The guest's address when the frame is its SYN-ACK to our SYN, else None."""
    if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[14] != 0x45 or frame[23] != 6:
        return None
    source, target, flags = *struct.unpack_from("!HH", frame, 34), frame[47]
    if source == SSH and target == SSH_PROBE_PORT and flags & SYN_ACK == SYN_ACK:
        return IPv4Address(frame[26:30])
    return None
